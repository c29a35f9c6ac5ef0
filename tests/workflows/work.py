"""A job of two steps that the tests kill: `python -m tests.workflows.work FOLDER HOW`.

HOW: `wait` sleeps in the second step, `fail` fails in it, `go` does it. Each step leaves a line in FOLDER/marks.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from dbos import DBOS

from luthier.errors import BadData
from luthier.workflows import jobs

HOW = {"now": ""}


def mark(folder: str, text: str) -> None:
    with (Path(folder) / "marks").open("a") as file:
        file.write(text + "\n")


@DBOS.workflow()
def both(folder: str) -> dict[str, Any]:
    made = first(folder)
    return {"first": made, "second": second(folder)}


@DBOS.step()
def first(folder: str) -> str:
    mark(folder, "first")
    return "dataset-ü"


@DBOS.step()
def second(folder: str) -> list[int]:
    mark(folder, f"second {HOW['now']}")
    if HOW["now"] == "wait":
        time.sleep(120)
    if HOW["now"] == "fail":
        raise BadData("the rows are bad", "mend them")
    return [1, 2]


def main(folder: str, how: str) -> None:
    HOW["now"] = how
    with jobs.launched(Path(folder)):
        try:
            print(json.dumps(jobs.run_or_resume("both", both, folder)))
        except BadData as error:
            print(json.dumps({"error": [error.what, error.mend]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
