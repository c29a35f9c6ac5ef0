"""What is exported, in llama.cpp itself: the same tokens, logits and greedy text as transformers gives.

    python -m benchmarks.export --data ../shared/data
    python -m benchmarks.export --rival /path/of/an/environment/with/xllamacpp/bin/python

A base is tuned for a few steps on `xquad`, then exported as GGUF in full precision, int8 and int4; llama.cpp reads each
file and gets the same prompts as transformers, which computes with base and adapter apart. Random models of the other
shapes (Mistral, Qwen2, Qwen3, Llama 3's stretched positions) follow in float32. Exits with 1 where a full-precision
file gives another tokenisation, other greedy text, or log-probabilities that differ by more than 1e-3.

llama.cpp lives in an environment of its own; `--rival` names a Python that has it, else one is made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import Cell, show
from luthier.lm.pull import local

RIVAL = "xllamacpp==2026.10.11549"
BAR = 1e-3
MOST_TOKENS = 24
ROWS = 24
FORMS = ("gguf", "int8", "int4")
QUESTIONS = (
    "What does a replacement card cost?",
    "Name the capital of France and its river.",
    "Write one sentence about rain.",
    "How many days has a week? Count them.",
)
TEXTS = (
    "What does a card cost? 8.50 EUR, 1,234 in all.\n\n1. Call 4040.\n2. Wait.",
    "Grüße! Wie hoch ist die Gebühr   für die Überziehung? 1.234,50 €",
    "¿Cuánto cuesta la tarjeta, señor Peña? It's Anna's, they'd said.\t\tEnd  ",
    "def f(x):\n    return x**2  # 3.14159\n\n\n\nprint(f(10))",
    "日本語のテキスト, русский текст, עברית, 🙂👍🏽",
    "<|im_start|>user\nhello<|im_end|>\n",
)
Line = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="holds xquad")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rival", type=Path, help="a Python that has xllamacpp")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        here = Path(scratch)
        python = asked.rival or environment(here / "rival")
        base = local(asked.model)
        adapter = tuned(here / "workspace", base, asked.data)
        cells: list[Cell] = []
        reference = ours(base, adapter)
        for form in FORMS:
            child([sys.executable, "-m", "luthier.lm.export", "--base", base, "--adapter", adapter,
                   "--to", here / form, "--as", form, "--dtype", "float32"])  # fmt: skip
            file = here / form / "model.gguf"
            cells += compared(f"tuned, {form}", file, reference, theirs(python, file, here), exact=form == "gguf")
        for name, folder in shapes(here / "shapes", base):
            child([sys.executable, "-m", "luthier.lm.export", "--base", folder, "--to", here / name, "--as", "gguf"])
            file = here / name / "model.gguf"
            cells += compared(name, file, ours(folder, None), theirs(python, file, here), exact=True)
    show(cells, asked.json)
    missed = [cell for cell in cells if cell.unit == "missed" and cell.ours]
    return 1 if missed else 0


def environment(folder: Path) -> Path:
    """The Python of a fresh environment with llama.cpp."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", RIVAL], check=True, stdout=sys.stderr)
    return python


def child(command: list[Any]) -> Line:
    """The JSON object that a process of its own prints last."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-3000:]}")
    found: Line = json.loads(done.stdout.splitlines()[-1])
    return found


def tuned(folder: Path, base: Path, data: Path) -> Path:
    """The adapter that a few steps on real rows leave."""
    from benchmarks.training import MESSAGES, short
    from luthier.lm import adapters
    from luthier.lm.chat import Chat
    from luthier.lm.folders import folder_digest
    from luthier.lm.load import load_model
    from luthier.progress import silent
    from luthier.records.data import Row
    from luthier.records.training import LoraSpec, Recipe
    from luthier.training.loop import Work, train
    from luthier.training.sft import SFT

    chat = Chat.load(base)
    rows = [
        Row(id=f"row-{at}", split="train", source="xquad", line=at, messages=line[MESSAGES])
        for at, line in enumerate(islice(short(data), ROWS), 1)
    ]
    recipe = Recipe(
        base=str(base), learning_rate=2e-3, epochs=1, batch_rows=8, micro_tokens=256, dtype="float32", warmup=0.0
    )
    model = adapters.put_on(load_model(base, "float32", attention="eager"), LoraSpec(rank=16), 0)
    items = [SFT.prepare(row, chat) for row in rows]
    outcome = train(Work(model, SFT, recipe, items, (), min(chat.stop_ids), folder, {}), silent)
    stamp = adapters.Stamp(folder_digest(base), chat.template_digest, chat.tokenizer_digest)
    adapters.write(model, outcome.masters, folder / "adapter", stamp)
    return folder / "adapter"


def shapes(folder: Path, base: Path) -> Iterator[tuple[str, Path]]:
    """Random models of the other shapes, with the tokenizer of `base`."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        LlamaConfig,
        MistralConfig,
        Qwen2Config,
        Qwen3Config,
    )

    size = {
        "vocab_size": 49152, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "eos_token_id": 2,
    }  # fmt: skip
    stretched = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
    stretched |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    tokenizer = AutoTokenizer.from_pretrained(base)
    for name, config in {
        "mistral": MistralConfig(**size, head_dim=32, sliding_window=None),
        "qwen2": Qwen2Config(**size),
        "qwen3": Qwen3Config(**size, head_dim=32),
        "llama, stretched positions": LlamaConfig(**size, rope_parameters=stretched, attention_bias=True),
        "llama, linear positions": LlamaConfig(
            **size, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
        ),
    }.items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for part, weight in model.named_parameters():
            torch.nn.init.normal_(weight, mean=1.0 if "norm" in part else 0.0, std=0.15)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        yield name, folder / name


def ours(base: Path, adapter: Path | None) -> Line:
    """What transformers makes of the prompts, base and adapter apart, in float32."""
    import torch

    from luthier.lm import adapters
    from luthier.lm.chat import Chat
    from luthier.lm.load import load_model
    from luthier.records.data import Message

    chat, model = Chat.load(base), load_model(base, "float32")
    if adapter is not None:
        model = adapters.read_onto(model, adapter).eval()
    prompts = [chat.prompt_ids([Message(role="user", content=question)]) for question in QUESTIONS]
    answers = []
    with torch.no_grad():
        for ids in prompts:
            logits_V = model(torch.tensor([ids])).logits[0, -1]
            said = model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=MOST_TOKENS,
                do_sample=False, eos_token_id=sorted(chat.stop_ids), pad_token_id=min(chat.stop_ids),
            )[0, len(ids) :].tolist()  # fmt: skip
            said = said[: next((at for at, token in enumerate(said, 1) if token in chat.stop_ids), len(said))]
            answers.append({"logprobs": logits_V.log_softmax(-1).tolist(), "said": said})
    rendered = [chat.text([Message(role="user", content=question)], prompt=True) for question in QUESTIONS]
    return {
        "prompts": prompts,
        "answers": answers,
        "texts": [chat.encode(text) for text in TEXTS],
        "rendered": rendered,
    }


def theirs(python: Path, file: Path, folder: Path) -> Line:
    """What llama.cpp makes of them."""
    task = {"file": str(file), "questions": QUESTIONS, "texts": TEXTS, "tokens": MOST_TOKENS}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    return child([python, Path(__file__).with_name("llama_rival.py"), folder / "task.json"])


def compared(name: str, file: Path, wanted: Line, found: Line, *, exact: bool) -> Iterator[Cell]:
    """The cells of one file, and whether a full-precision one misses its bar."""
    same_texts = sum(a == b for a, b in zip(wanted["texts"], found["texts"], strict=True))
    same_prompts = sum(a == b for a, b in zip(wanted["prompts"], found["prompts"], strict=True))
    pairs = list(zip(wanted["answers"], found["answers"], strict=True))
    apart = max(abs(a["logprobs"][int(token)] - p) for a, b in pairs for token, p in b["top"].items())
    first = sum(common(a["said"], b["said"]) for a, b in pairs)
    length = sum(max(len(a["said"]), len(b["said"])) for a, b in pairs)
    yield Cell(f"{name}, size", "MiB", round(file.stat().st_size / 2**20, 1))
    yield Cell(f"{name}, texts tokenised alike", f"of {len(TEXTS)}", same_texts)
    yield Cell(f"{name}, prompts rendered alike", f"of {len(QUESTIONS)}", same_prompts)
    yield Cell(f"{name}, largest log-prob difference", "nats", round(apart, 6), floor=BAR if exact else None)
    yield Cell(f"{name}, greedy tokens alike", "share", round(first / max(length, 1), 4))
    if exact:
        whole = same_texts == len(TEXTS) and same_prompts == len(QUESTIONS) and first == length and apart <= BAR
        yield Cell(f"{name}, bar", "missed", float(not whole))


def common(one: list[int], other: list[int]) -> int:
    """Tokens until two answers part."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main())
