"""Learning from rewards: draws follow from their seeds, rewards rise, the leash holds, an engine draws as we do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from scipy.stats import chisquare, ttest_ind

from luthier.errors import BadConfig, LuthierError, RunFailed, UnknownName
from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.records.data import Message, Row
from luthier.records.training import ModelVersion
from luthier.store.workspace import Workspace
from luthier.training import finish
from luthier.training.rollouts import Asked, Draw, Drawn, as_answer, asked, local, seed_of
from luthier.training.run import execute
from tests.training.making import Bench, bench, dialogue, make_recipe, put_dataset, row

HAS_A = {"type": "string_check", "operation": "like", "reference": "a"}
QUICK = {"grader": HAS_A, "samples": 16, "max_tokens": 6, "beta": 0.0}
Lines = list[dict[str, float]]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish, "LONGEST_ANSWER", 4)


def prompts(count: int = 4) -> list[Row]:
    """Rows with a question and nothing else."""
    return [row(n, (Message(role="user", content=f"Is card {n} blocked?"),)) for n in range(count)]


def learn(folder: Path, base: Path, method: str = "grpo", rows: list[Row] | None = None, **options: Any) -> Bench:
    """A run of 16 steps over four prompts, unless `options` has recipe fields that say otherwise."""
    fields = {"learning_rate": 1e-2, "epochs": 16, "schedule": "constant", "warmup": 0.0, "micro_tokens": 2048}
    fields |= {name: options.pop(name) for name in ("max_steps", "lora", "seed", "learning_rate") if name in options}
    recipe = make_recipe(base, method=method, options=QUICK | options, **fields)
    return bench(folder, recipe, rows or prompts())


def run(bench: Bench) -> tuple[ModelVersion, Lines]:
    with Workspace.open(bench.folder) as workspace:
        model = execute(workspace, bench.order)
    return model, [json.loads(line) for line in (bench.run / "metrics.jsonl").read_text().splitlines()]


# Draws


def test_draws_follow_the_models_chances() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf])
    draw = Draw(1, 1, 0.8, 0)
    seeds = [seed_of(0, 0, "row", n) for n in range(20_000)]
    scores = Drawn(seeds, 3, draw)(torch.zeros(20_000, 3), logits.expand(20_000, 5))
    counts = Counter(scores.argmax(-1).tolist())
    wanted = (logits / 0.8).double().softmax(-1)[:4]
    assert counts[4] == 0
    assert chisquare([counts[k] for k in range(4)], wanted * 20_000).pvalue > 0.01


def test_an_answer_does_not_depend_on_its_company(base: Path) -> None:
    chat, model = Chat.load(base), load_model(base, "float32")
    questions = [asked(each, chat) for each in prompts(3)]
    draw = Draw(4, 8, 1.0, 3)
    together = local(model, chat, draw)(questions, 5)
    alone = [local(model, chat, draw)([one], 5)[0] for one in questions]
    assert together == alone
    assert len({tuple(answer.ids) for group in together for answer in group}) > 8
    assert local(model, chat, draw)(questions, 6) != together
    assert local(model, chat, draw._replace(seed=4))(questions, 5) != together
    assert all(answer.stopped == (answer.ids[-1] in chat.stop_ids) for group in together for answer in group)


def test_a_generation_config_does_not_bend_the_draws(base: Path) -> None:
    chat, model = Chat.load(base), load_model(base, "float32")
    one = [asked(prompts(1)[0], chat)]
    before = local(model, chat, Draw(8, 8, 1.0, 0))(one, 0)
    model.generation_config.update(repetition_penalty=5.0, no_repeat_ngram_size=1, top_k=1)
    assert local(model, chat, Draw(8, 8, 1.0, 0))(one, 0) == before


def test_what_a_row_asks(base: Path) -> None:
    chat = Chat.load(base)
    whole = row(1, dialogue("Hi", "Hello.", "Bye?", "Bye."))
    one = asked(whole, chat)
    assert (one.reference, len(one.messages)) == ("Bye.", 3)
    assert one.ids == chat.prompt_ids(whole.messages[:3])
    assert asked(whole.model_copy(update={"good": False}), chat).reference == ""
    assert asked(prompts(1)[0], chat).reference == ""


# Learning


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("grpo", {}),
        ("grpo", {"normalise": "none", "updates": 2}),
        ("rloo", {}),
        ("grpo", {"lora": None, "learning_rate": 2e-3}),
    ],
)
def test_rewards_rise(method: str, options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    """From about half of the answers to nearly all, and not by luck."""
    model, lines = run(learn(tmp_path, base, method, **options))
    early, late = ([line["reward"] for line in part] for part in (lines[:4], lines[-4:]))
    assert mean(late) > mean(early) + 0.15
    assert ttest_ind(late, early, alternative="greater").pvalue < 0.01
    assert model.figures["steps"] == 16
    assert all(line["faults"] == 0 for line in lines)


def test_rewards_of_validation_rows_are_measured(base: Path, tmp_path: Path) -> None:
    held_out = row(9, (Message(role="user", content="And card 9?"),), "validation")
    model, lines = run(learn(tmp_path, base, rows=[*prompts(), held_out], max_steps=2))
    assert 0 <= model.figures["validation_reward"] <= 1
    assert {"reward", "reward_std", "degenerate", "length", "stopped", "clipped", "rollout_seconds"} <= lines[0].keys()


def test_equal_rewards_teach_nothing(base: Path, tmp_path: Path) -> None:
    """Groups without a better answer are counted, and a run of nothing else does not pass for a trained model."""
    never = {"type": "string_check", "operation": "like", "reference": "no answer has this"}
    one = learn(tmp_path, base, grader=never, max_steps=3)
    with pytest.raises(RunFailed, match="are what they were before"):
        run(one)
    lines = [json.loads(line) for line in (one.run / "metrics.jsonl").read_text().splitlines()]
    assert [line["degenerate"] for line in lines] == [1, 1, 1]
    assert [line["norm"] for line in lines] == [0, 0, 0]


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_the_leash_holds(method: str, base: Path, tmp_path: Path) -> None:
    tight, loose = (run(learn(tmp_path / f"{beta}", base, method, beta=beta))[1] for beta in (5.0, 0.001))
    assert tight[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert mean(line["kl"] for line in tight[-4:]) < 0.5 * mean(line["kl"] for line in loose[-4:])


def test_one_that_marks_nothing_stops_at_the_first_step(base: Path, tmp_path: Path) -> None:
    broken = {"type": "text_similarity"}  # and the rows have no reference
    with pytest.raises(RunFailed, match="no answer of the first step could be marked: row train-00"):
        run(learn(tmp_path, base, grader=broken))


def test_faults_are_counted_and_do_not_stop_it(base: Path, tmp_path: Path) -> None:
    source = "def grade(sample, item):\n    return 1 / (len(sample['output_text']) % 2)"
    _, lines = run(learn(tmp_path, base, grader={"type": "python", "source": source}, max_steps=2))
    assert all(0 < line["faults"] < 64 for line in lines)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"grader": {"type": "strin_check"}}, UnknownName, "did you mean 'string_check'"),
        ({"samples": 1}, BadConfig, "options of grpo: samples"),
        ({"grader": HAS_A | {"operation": "is"}}, BadConfig, "grader string_check: operation"),
        ({"engine": "http://127.0.0.1:9", "lora": None}, BadConfig, "an engine takes an adapter"),
        ({"engine": "http://127.0.0.1:9"}, LuthierError, "no server answers"),
    ],
)
def test_what_is_refused(
    options: dict[str, Any], error: type[LuthierError], words: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        run(learn(tmp_path, base, **options))


# From preferences to a better model


def preferences(base: Path, count: int) -> list[Row]:
    """Two of the model's own answers to each prompt; people like the one that has more of the letter a."""
    chat, model = Chat.load(base), load_model(base, "float32")
    asking = prompts(count)
    drawn = local(model, chat, Draw(6, 8, 1.0, 1))([asked(each, chat) for each in asking], 0)
    rows = []
    for each, group in zip(asking, drawn, strict=True):
        texts = sorted({answer.text.strip() for answer in group} - {""}, key=lambda text: text.count("a"))
        if texts[0].count("a") < texts[-1].count("a"):
            liked, other = (Message(role="assistant", content=text) for text in (texts[-1], texts[0]))
            rows.append(each.model_copy(update={"messages": (*each.messages, liked), "rejected": (other,)}))
    return rows


def test_human_feedback_end_to_end(base: Path, tmp_path: Path) -> None:
    """Pairs, a reward model that learns from them, and GRPO that learns from the reward model, held to what it was:
    its answers have more of what people liked, which nobody told GRPO."""
    pairs = preferences(base, 300)  # as many as it takes to learn the letter rather than the pairs
    assert len(pairs) > 250
    fields = {"learning_rate": 1e-2, "epochs": 8, "batch_rows": 16, "warmup": 0.1, "micro_tokens": 4096}
    first = bench(tmp_path, make_recipe(base, method="reward", **fields), pairs)
    with Workspace.open(tmp_path) as workspace:
        reward = execute(workspace, first.order)
        grader = {
            "type": "multi",
            "graders": {"liked": {"type": "reward_model", "model": reward.id}, "has_a": HAS_A},
            "calculate_output": "liked + 0 * has_a",
        }
        options = QUICK | {"grader": grader, "max_tokens": 8, "beta": 0.01}
        fields = {"learning_rate": 1e-2, "epochs": 16, "schedule": "constant", "warmup": 0.0, "micro_tokens": 2048}
        recipe = workspace.ledger.put(make_recipe(base, method="grpo", options=options, **fields))
        dataset = put_dataset(workspace, prompts())
        order = first.order._replace(run=first.order.run[:-1] + "t", recipe=recipe, dataset=dataset)
        execute(workspace, order)
    lines = [json.loads(line) for line in (tmp_path / "runs" / order.run / "metrics.jsonl").read_text().splitlines()]
    for figure in ("reward_liked", "reward_has_a"):
        early, late = ([line[figure] for line in part] for part in (lines[:4], lines[-4:]))
        assert ttest_ind(late, early, alternative="greater").pvalue < 0.01, figure


# Through an engine


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "luthier.engine", "--base", str(base), "--dtype", "float32", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ)
    )
    assert process.stdout
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(20)


def test_an_engine_draws_with_the_adapter_of_the_step(
    engine: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log-probabilities are ours, step after step, though the weights move: it has the step's own adapter."""
    monkeypatch.setenv("ENGINE", engine)
    _, lines = run(learn(tmp_path, base, engine="$ENGINE", samples=20, max_steps=3, learning_rate=5e-2))
    assert all(line["norm"] > 0 for line in lines)
    assert all(line["engine_known"] > 0.9 for line in lines), "the engine does not name tokens by their ids"
    assert all(line["engine_off_most"] < 1e-4 for line in lines)


def test_an_engine_of_another_template_is_refused(base: Path) -> None:
    from luthier.lm.client import Reply
    from luthier.training.rollouts import answers_in

    one = Asked("row-1", (Message(role="user", content="Hi"),), [1, 2, 3], "", {})
    with pytest.raises(BadConfig, match="renders row row-1 as 9 tokens, and we as 3"):
        answers_in(Reply("", "stop", 9, 1, "", {"choices": []}), one, Chat.load(base))


def test_an_answer_without_token_ids_is_tokenised_again(base: Path) -> None:
    chat = Chat.load(base)
    one = asked(prompts(1)[0], chat)
    text = "Call the hotline at once."
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": None}
    made = as_answer(choice, one, chat)
    assert chat.tokenizer.decode(made.ids, skip_special_tokens=True) == text
    assert made.ids[-1] == chat.tokenizer.eos_token_id
    assert all(each != each for each in made.said)  # not a number: nothing is known
    cut = as_answer(choice | {"finish_reason": "length"}, one, chat)
    assert cut.ids == made.ids[:-1]
    assert not cut.stopped
