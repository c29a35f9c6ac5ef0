"""Answers from the passage: `examples.grounded`, tuned model beside the untouched base.

    python -m benchmarks.grounded --data ../shared/data --json

xquad, English (CC-BY-SA-4.0): about 200 questions on held-out articles. Further flags go to the example.
"""

from __future__ import annotations

from benchmarks._example import effort, flags, gain, measure, result
from benchmarks.machine import show

FLOOR = 0.10
"""What F1 has to rise by."""


def main() -> None:
    asked, further = flags(__doc__, "xquad").parse_known_args()
    found = result(["examples.grounded", "--data", str(asked.data / "xquad"), "--json", *further])
    cells = [measure("xquad en, exact match", found, "exact"), measure("xquad en, F1", found, "f1")]
    cells += [*gain("xquad en, F1", found, "f1", FLOOR), *effort("xquad en", found["training"])]
    show(cells, asked.json)


if __name__ == "__main__":
    main()
