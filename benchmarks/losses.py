"""Whether our losses are TRL's: both on the same batches of real preferences, in float32, loss and gradient.

    python -m benchmarks.losses --trl PYTHON --data ../shared/data/hh_rlhf

The model is a random Llama with the tokenizer of a base; what is trained has moved away from its reference, so that no
term of a loss is 0. ORPO is compared pair by pair: TRL averages its supervised part over the tokens of a whole batch.
Exits with 1 where a loss or a gradient differs by more than 1e-4.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.lm.pull import local
from luthier.lm.scored import load_scored
from luthier.records.data import Message, Row
from luthier.records.training import Recipe
from luthier.training import dpo, ipo, kto, orpo, reward, simpo
from luthier.training.method import Item, Method

BAR = 1e-4
LONGEST = 1200
"""Letters of a line that is taken."""
OURS = {
    "dpo": dpo.method({"beta": 0.2}),
    "ipo": ipo.method({"tau": 0.3}),
    "kto": kto.method({"beta": 0.2, "wanted": 1.2, "unwanted": 0.9}),
    "orpo": orpo.method({"strength": 0.3, "prompts": True}),
    "simpo": simpo.method({"beta": 1.5, "gamma": 0.6}),
    "reward": reward.method({"centre": 0.05}),
}
THEIRS: dict[str, dict[str, Any]] = {
    "dpo": {"beta": 0.2},
    "ipo": {"beta": 0.3, "loss_type": "ipo"},
    "kto": {"beta": 0.2, "desirable_weight": 1.2, "undesirable_weight": 0.9},
    "orpo": {"beta": 0.3},
    "simpo": {"beta": 1.5, "simpo_gamma": 0.6},
    "reward": {"center_rewards_coefficient": 0.05},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl", type=Path, required=True, help="Python of an environment with trl 1.16")
    parser.add_argument("--data", type=Path, required=True, help="folder of hh_rlhf")
    parser.add_argument("--base", default="smollm2-135m-instruct", help="whose tokenizer and template")
    parser.add_argument("--rows", type=int, default=4)
    given = parser.parse_args()
    disable_progress_bar()
    torch.manual_seed(0)
    base = local(given.base)
    chat = Chat.load(base)
    rows = preferences(given.data, given.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder, chat)
        pairs = [OURS["dpo"].prepare(row, chat) for row in rows]
        ratings = [OURS["kto"].prepare(rated(row, number % 2 == 0), chat) for number, row in enumerate(rows)]
        task = {"options": THEIRS, "rows": list(map(parts, pairs)), "ratings": [part(item) for item in ratings]}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        rival = Path(__file__).with_name("losses_rival.py")
        done = subprocess.run([given.trl, rival, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 2
        theirs = json.loads(done.stdout.strip().splitlines()[-1])
        print(f"{'method':8}{'ours':>12}{'TRL':>12}{'difference':>14}{'gradient':>12}")
        worst = 0.0
        for method, loss in theirs.items():
            ours, gradient = compute(method, ratings if method == "kto" else pairs, folder)
            far = apart(gradient, load_file(folder / f"{method}.safetensors"))
            print(f"{method:8}{ours:12.6f}{loss:12.6f}{abs(ours - loss):14.2e}{far:12.2e}")
            worst = max(worst, abs(ours - loss), far)
    return int(not worst <= BAR)


def preferences(data: Path, count: int) -> list[Row]:
    """The first short pairs of hh_rlhf."""
    rows: list[Row] = []
    with gzip.open(data / "harmless_pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            given = json.loads(line)
            sides = [turns(given[side]) for side in ("chosen", "rejected")]
            chosen, rejected = sides
            said = all(side and side[-1].role == "assistant" and side[-1].content for side in sides)
            if not said or chosen[:-1] != rejected[:-1] or chosen == rejected or len(line) > LONGEST:
                continue
            made = {"id": f"hh-{number}", "split": "train", "source": "hh_rlhf", "line": number}
            rows.append(Row(**made, messages=chosen, rejected=rejected[-1:]))
            if len(rows) == count:
                break
    return rows


def turns(text: str) -> tuple[Message, ...]:
    """`\\n\\nHuman: … \\n\\nAssistant: …` as messages."""
    made: list[Message] = []
    for part in text.split("\n\n"):
        for role, mark in (("user", "Human:"), ("assistant", "Assistant:")):
            if part.startswith(mark):
                made.append(Message(role=role, content=part.removeprefix(mark).strip()))  # type: ignore[arg-type]
                break
        else:
            if made:
                made[-1] = made[-1].model_copy(update={"content": f"{made[-1].content}\n\n{part}"})
    return tuple(made)


def rated(row: Row, good: bool) -> Row:
    """One side of a pair as a rating."""
    messages = row.messages if good else (*row.messages[:-1], *row.rejected)
    return row.model_copy(update={"messages": messages, "rejected": (), "good": good})


def parts(item: Item) -> dict[str, list[int]]:
    """A pair as TRL's collators take it."""
    begin, rejected = item.branches
    return {"prompt_ids": item.ids[:begin], "chosen_ids": item.ids[begin:rejected], "rejected_ids": item.ids[rejected:]}


def part(item: Item) -> dict[str, Any]:
    """A rating as TRL's collator takes it."""
    begin = item.branches[0]
    return {"prompt_ids": item.ids[:begin], "completion_ids": item.ids[begin:], "label": item.known[1] > 0}


def make_models(folder: Path, chat: Chat) -> None:
    """A random Llama as it was before training, as it is now, and with a head that scores."""
    config = LlamaConfig(
        vocab_size=len(chat.tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, max_position_embeddings=2048,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for name, shift in (("before", 0.08), ("now", 0.02)):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(shift * torch.randn(weight.shape))
        model.save_pretrained(folder / name)
        chat.tokenizer.save_pretrained(folder / name)
    scored = load_scored(folder / "now", "float32", attention="eager")
    scored.config.pad_token_id = 0  # no text here ends with it
    scored.save_pretrained(folder / "scored")


def compute(name: str, items: Sequence[Item], folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """Our mean loss and its gradient."""
    method: Method = OURS[name]
    recipe = Recipe(base="", batch_rows=len(items), micro_tokens=4096, learning_rate=1e-4)
    model: PreTrainedModel
    if method.task == "score":
        model = load_scored(folder / "scored", "float32", attention="eager")
    else:
        model = load_model(folder / "now", "float32", attention="eager")
        if method.annotate:
            before = load_model(folder / "before", "float32", attention="eager")
            items = method.annotate(before, items, recipe, 0)
        if name == "kto":
            items = kto.each_step(model, items, recipe, 0)
    loss = method.loss(model, method.collate(items, 0))
    mean = loss.total / loss.terms
    torch.autograd.backward(mean)
    return float(mean.detach()), {key: w.grad for key, w in model.named_parameters() if w.grad is not None}


def apart(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of two gradients, as a share of the largest number in them."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"other weights have a gradient: {sorted(ours.keys() ^ theirs.keys())}")
    largest = max(float(each.abs().max()) for each in theirs.values())
    return max(float((ours[key] - theirs[key]).abs().max()) for key in theirs) / largest


if __name__ == "__main__":
    sys.exit(main())
