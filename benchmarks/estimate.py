"""What `luthier train estimate` says beside what is then measured: peak memory and seconds of real short runs.

    python -m benchmarks.estimate [NAME …]

Each run and each estimate is a process of its own: peak memory is the kernel's figure for that process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from luthier.records.data import DatasetVersion, Message, Row, SourceUse
from luthier.records.training import Recipe
from luthier.store.workspace import Workspace

BASE = "smollm2-135m-instruct"
RUN = "run-0123456789abcdefghjkmnpqrs"
WORDS = (
    "the",
    "card",
    "is",
    "sent",
    "by",
    "post",
    "within",
    "five",
    "working",
    "days",
    "and",
    "has",
    "to",
    "be",
    "signed",
)
Case = dict[str, Any]
CASES: dict[str, Case] = {
    "short rows, bfloat16": {"words": 60, "dtype": "bfloat16"},
    "middling rows, bfloat16": {"words": 180, "dtype": "bfloat16"},
    "long rows, bfloat16": {"words": 600, "dtype": "bfloat16"},
    "middling rows, float32": {"words": 180, "dtype": "float32"},
    "middling rows, twice the batch": {"words": 180, "dtype": "bfloat16", "micro_tokens": 1536},
    "short rows, packed": {"words": 60, "dtype": "bfloat16", "packing": True},
    "middling rows, every weight": {"words": 180, "dtype": "bfloat16", "lora": None},
}


class Figures(NamedTuple):
    """Bytes at the worst moment, and seconds of the steps."""

    memory: float
    seconds: float


def rows(words: int, count: int = 24) -> list[Row]:
    """Dialogues around a length, no two alike; the answers are a fifth of them."""
    draw = random.Random(words)
    made = []
    for number in range(count):
        size = round(words * draw.uniform(0.6, 1.4))
        text = [draw.choice(WORDS) for _ in range(size)]
        cut = size * 4 // 5
        said = (
            Message(role="user", content=" ".join(text[:cut])),
            Message(role="assistant", content=" ".join(text[cut:])),
        )
        made.append(Row(id=f"train-{number:03d}", split="train", source="made", line=number + 1, messages=said))
    return made


def recipe(case: Case) -> Recipe:
    """Six steps of four rows."""
    own = {name: value for name, value in case.items() if name != "words"}
    return Recipe(base=BASE, **{"batch_rows": 4, "epochs": 1, "learning_rate": 1e-4, "max_length": 2048} | own)


def estimated(case: Case) -> Figures:
    """What is said before, by a process that has imported what a run imports."""
    from luthier.lm.chat import Chat
    from luthier.lm.load import has_fast_bfloat16
    from luthier.lm.pull import local
    from luthier.training import estimate, run
    from luthier.training.method import chosen
    from luthier.training.settings import resolve

    given, asked = rows(case["words"]), recipe(case)
    resolved = resolve(asked, len(given), fast_bfloat16=has_fast_bfloat16()).recipe
    resolved = resolved.model_copy(update={"recompute": resolved.recompute is True})
    items = estimate.sample(given, chosen(resolved), Chat.load(local(resolved.base)), resolved)
    found = estimate.estimate(resolved, items)
    assert run.METRICS
    return Figures(found.memory.total, found.pace.seconds)


def measured(case: Case) -> Figures:
    """A real run."""
    given = rows(case["words"])
    with TemporaryDirectory() as folder:
        with Workspace.open(Path(folder), create=True) as workspace:
            source = SourceUse(name="made", digest="0" * 64, licence="CC0-1.0", consent="contract", rows=len(given))
            digest = workspace.blobs.put_lines(row.body() for row in given)
            version = DatasetVersion(name="made", rows=digest, sources=(source,), counts={"train": len(given)})
            order = [f"dataset={workspace.ledger.put(version)}", f"recipe={workspace.ledger.put(recipe(case))}"]
        order += [f"run={RUN}", "name=made"]
        command = [sys.executable, "-m", "luthier.training", "--workspace", folder, *order]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"the run ended with status {status}")
        lines = (Path(folder) / "runs" / RUN / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return Figures(usage.ru_maxrss * 1024, sum(json.loads(line)["seconds"] for line in lines))


def main() -> None:
    """Every case, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--estimate", action="store_true", help="print the estimate of one case as JSON")
    given = parser.parse_args()
    if given.estimate:
        print(json.dumps(estimated(CASES[given.names[0]])))
        return
    print(f"{'':34}{'memory GB':>22}{'':8}{'seconds':>20}")
    for name in given.names:
        told = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--estimate", name], stdout=subprocess.PIPE, check=True
        )
        before, after = Figures(*json.loads(told.stdout)), measured(CASES[name])
        off = [a / b - 1 for a, b in zip(before, after, strict=True)]
        print(
            f"{name:34}{before.memory / 1e9:10.2f} /{after.memory / 1e9:6.2f} {off[0]:+8.1%}"
            f"{before.seconds:14.1f} /{after.seconds:6.1f} {off[1]:+8.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
