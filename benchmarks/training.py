"""Training beside TRL's trainers: tokens a second, peak memory and final loss, on the same rows, in turns.

    python -m benchmarks.training --data ../shared/data               every task
    python -m benchmarks.training --data ../shared/data --tasks sft-xquad dpo-hh --rounds 3

Both sides get the same model, rows, chat template, LoRA (rank 16, rank-stabilised, every linear layer), learning rate,
schedule and rows a step, and bfloat16 where the machine has it. TRL is tuned as its documentation advises: no gradient
checkpointing, loss on completions alone. A row's tokens are counted without padding, once an epoch, a pair's prompt
once for each of its answers: what is to be learnt from, whoever does it how. Time runs from the first step to the last;
loading, preparing and checking are left out on both sides. Each side runs in a process of its own, in turns.

TRL lives in an environment of its own; `--rival` names a Python that has it, else one is made.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.machine import Cell, show
from luthier.lm.pull import local

RIVALS = ("torch==2.13.0", "transformers==5.23.0", "peft==0.21.2", "accelerate==1.15.0", "trl==1.16.0")
Line = dict[str, Any]
MESSAGES, REJECTED = "messages", "rejected"


class Task(NamedTuple):
    """What is trained on, how, and how many times TRL's rate ours has to reach."""

    method: str
    rows: Callable[[Path], Iterator[Line]]
    count: int
    batch_rows: int
    learning_rate: float
    floor: float
    epochs: int = 1
    micro_rows: int = 8
    """Rows that TRL puts through the model at once: the best of 2, 4 and 8 on two cores."""
    options: dict[str, Any] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="holds xquad and hh_rlhf")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rival", type=Path, help="a Python that has TRL")
    parser.add_argument("--alone", action="store_true", help="ours alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(ours(json.loads(asked.child.read_text(encoding="utf-8")), asked.child.parent)))
        return
    with TemporaryDirectory() as scratch:
        here = Path(scratch)
        sides = {"ours": [sys.executable, "-m", "benchmarks.training", "--child"]}
        if not asked.alone:
            python = asked.rival or environment(here / "rival")
            sides["trl"] = [str(python), str(Path(__file__).with_name("trl_rival.py"))]
        cells: list[Cell] = []
        for name in asked.tasks:
            file = write(here / name, name, asked)
            found: dict[str, list[Line]] = {side: [] for side in sides}
            for _ in range(asked.rounds):
                for side, command in sides.items():
                    found[side].append(child([*command, str(file)]))
            cells += compared(name, TASKS[name], found)
    show(cells, asked.json)


def environment(folder: Path) -> Path:
    """The Python of a fresh environment with TRL."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for package in (RIVALS[:1], RIVALS):  # torch first and pinned: what depends on it must not choose another
        subprocess.run([python, "-m", "pip", "install", "-q", *package], check=True, stdout=sys.stderr)
    return python


def write(folder: Path, name: str, asked: argparse.Namespace) -> Path:
    """The task as one JSON file that both sides read."""
    folder.mkdir()
    task = TASKS[name]
    given = task._asdict() | {"rows": list(islice(task.rows(asked.data), task.count))}
    given["model"] = str(local(asked.model))
    file = folder / "task.json"
    file.write_text(json.dumps(given), encoding="utf-8")
    return file


def child(command: list[str]) -> Line:
    """What one side measured, in a process of its own."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: Line = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(task: Line, folder: Path) -> Line:
    """A whole run, from the ledger to the ledger; what is timed is its steps."""
    from luthier.lm.chat import Chat
    from luthier.records.data import DatasetVersion, Message, Row, SourceUse
    from luthier.records.training import LoraSpec, Recipe, Run
    from luthier.store.workspace import Workspace
    from luthier.training.run import METRICS, Order, execute

    rows = [
        Row(
            id=f"row-{number:05d}", split="train", source="made", line=number + 1,
            messages=tuple(Message(**turn) for turn in line[MESSAGES]),
            rejected=tuple(Message(**turn) for turn in line.get(REJECTED, ())),
        )
        for number, line in enumerate(task["rows"])
    ]  # fmt: skip
    recipe = Recipe(
        base=task["model"], method=task["method"], options=task["options"], lora=LoraSpec(rank=16),
        learning_rate=task["learning_rate"], epochs=task["epochs"], batch_rows=task["batch_rows"], warmup=0.0,
        max_length=4096, checkpoint_every=10_000,
    )  # fmt: skip
    number = "run-0123456789abcdefghjkmnpqrs"
    with TemporaryDirectory(dir=folder) as scratch, Workspace.open(Path(scratch), create=True) as workspace:
        version = DatasetVersion(
            name="made", rows=workspace.blobs.put_lines(row.body() for row in rows), counts={"train": len(rows)},
            sources=(SourceUse(name="made", digest="0" * 64, licence="", consent="", rows=len(rows)),),
        )  # fmt: skip
        ledger = workspace.ledger
        execute(workspace, Order(number, ledger.put(recipe), ledger.put(version), "made"))
        steps = [json.loads(line) for line in (Path(scratch) / "runs" / number / METRICS).open(encoding="utf-8")]
        seconds = ledger.events(subject=number, verb="finished")[0].body["seconds"]
        resolved = ledger.get(ledger.get(number, Run).recipe, Recipe)
    last = [step["loss"] for step in steps[-max(1, len(steps) // 10) :]]
    return {
        "tokens": tokens(Chat.load(Path(task["model"])), rows) * task["epochs"],
        "seconds": seconds,
        "loss": sum(last) / len(last),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "dtype": resolved.dtype,
    }


def tokens(chat: Any, rows: list[Any]) -> int:
    """Tokens of the rows, each answer with its prompt."""
    both = [row.messages for row in rows]
    both += [(*row.messages[:-1], *row.rejected) for row in rows if row.rejected]
    return sum(len(chat.training_ids(messages).ids) for messages in both)


def compared(name: str, task: Task, found: dict[str, list[Line]]) -> Iterator[Cell]:
    """The cells of one task: medians over the rounds."""

    def middle(side: str, figure: Callable[[Line], float]) -> float:
        return median(figure(line) for line in found[side])

    count = found["ours"][0]["tokens"]
    rates = {side: middle(side, lambda line: count / line["seconds"]) for side in found}
    others = [side for side in found if side != "ours"]
    yield Cell(f"{name}, tokens", "tok/s", round(rates["ours"], 1), {side: round(rates[side], 1) for side in others})
    for side in others:
        yield Cell(f"{name}, beside {side}", "times", round(rates["ours"] / rates[side], 2), floor=task.floor)
    for what, unit in (("peak", "MiB"), ("loss", "")):
        of = {side: round(middle(side, lambda line: float(line[what])), 4) for side in found}  # noqa: B023
        yield Cell(f"{name}, {what}", unit, of.pop("ours"), of)


def reading(data: Path) -> Iterator[Line]:
    """A passage with a question, and the span that answers it: about 217 tokens."""
    for context, question, answer in squad(data):
        prompt = f"{context}\n\nQuestion: {question}\nAnswer with words of the passage."
        yield spoken(prompt, answer)


def short(data: Path) -> Iterator[Line]:
    """Questions without their passage: 20 to 100 tokens."""
    for _, question, answer in squad(data):
        yield spoken(question, answer)


def long(data: Path) -> Iterator[Line]:
    """Ten passages, one of which answers: about 2,000 tokens."""
    everything = list(squad(data))
    passages = list(dict.fromkeys(context for context, _, _ in everything))
    for number, (context, question, answer) in enumerate(everything[::5]):
        others = [passages[(number * 9 + step) % len(passages)] for step in range(9)]
        yield spoken("\n\n".join([*others, context, f"Question: {question}"]), answer)


def preferences(data: Path) -> Iterator[Line]:
    """Pairs of answers to the same dialogue."""
    with gzip.open(data / "hh_rlhf" / "harmless_pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            pair = json.loads(line)
            chosen, rejected = (turns(pair[side]) for side in ("chosen", "rejected"))
            last = [side[-1] for side in (chosen, rejected)]
            answers = all(turn["role"] == "assistant" and turn["content"] for turn in last) and last[0] != last[1]
            if chosen[:-1] == rejected[:-1] and answers and len(pair["chosen"]) < 3000:
                yield {MESSAGES: chosen, REJECTED: rejected[-1:]}


def turns(text: str) -> list[Line]:
    """`Human: … Assistant: …` as messages."""
    found: list[Line] = []
    for part in text.split("\n\nHuman: ")[1:]:
        asked, *answers = part.split("\n\nAssistant: ")
        found.append({"role": "user", "content": asked.strip()})
        found += [{"role": "assistant", "content": answer.strip()} for answer in answers]
    return found


def squad(data: Path) -> Iterator[tuple[str, str, str]]:
    """Passage, question and answer."""
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                yield paragraph["context"], asked["question"], asked["answers"][0]["text"]


def spoken(prompt: str, answer: str) -> Line:
    """One question and its answer."""
    return {MESSAGES: [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


TASKS = {
    "sft-xquad": Task("sft", reading, 64, 8, 1e-3, floor=3.5),
    "dpo-hh": Task("dpo", preferences, 24, 8, 1e-4, floor=2.5, micro_rows=4),
    "sft-short": Task("sft", short, 128, 8, 1e-3, floor=1.0),
    "sft-long": Task("sft", long, 8, 4, 1e-3, floor=1.0, micro_rows=1),
}

if __name__ == "__main__":
    main()
