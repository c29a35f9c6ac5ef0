"""Intents of real bank messages from 1,500 training rows: `examples.triage`, tuned model beside the untouched base.

    python -m benchmarks.triage --data ../shared/data --json

banking77 (CC-BY-4.0): about 400 held-out rows of `train.csv`, 77 intents. Further flags go to the example.
"""

from __future__ import annotations

from benchmarks._example import effort, flags, gain, measure, result
from benchmarks.machine import show

FLOOR = 0.65
"""Exact intents that 1,500 rows have to reach."""


def main() -> None:
    asked, further = flags(__doc__, "banking77").parse_known_args()
    found = result(["examples.triage", "--data", str(asked.data / "banking77"), "--json", *further])
    cells = [measure("banking77, exact intent", found, "exact", FLOOR)]
    cells += gain("banking77, exact intent", found, "exact")
    cells += [measure("banking77, no such intent", found, "invalid"), *effort("banking77", found["training"])]
    show(cells, asked.json)


if __name__ == "__main__":
    main()
