"""Personal data found in 1,500 sentences with known spans: ours beside Presidio as it comes, in turns.

    python -m benchmarks.scrubber --data ../shared/data --score ../shared/checks/pii_score.py --json

presidio_research, synth_dataset_v2 (MIT). Counted in words by `pii_score.py`: personal or not, of whatever type. Both
sides use the same spaCy model (Presidio as it comes would take the large English one, ten times its size). Ours is
measured twice: with the types that it replaces by default, and with every type that it knows, which adds
organisations, places and web addresses; Presidio finds all of its own but for organisations. Its time is that of
finding, ours that of finding and replacing.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import Cell, show
from luthier.data.scrub import MODEL, PERSONAL, PresidioScrubber
from luthier.lm.pull import local

FILE = "presidio_research/synth_dataset_v2.json"
EVERY = PERSONAL | {"ORGANISATION", "PLACE", "URL"}
ROUNDS = 3
"""Each side goes over the rows so often; the middle one of its times counts."""
RIVAL = "presidio's own recognisers"
MEASURES = ("f2", "recall", "precision")

Span = tuple[int, int, str]
Finder = Callable[[Sequence[str]], list[list[Span]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="holds presidio_research")
    parser.add_argument("--score", type=Path, default=Path("../shared/checks/pii_score.py"), help="counts the words")
    parser.add_argument("--rows", type=int, help="only so many of the first rows")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    gold = json.loads((asked.data / FILE).read_text(encoding="utf-8"))[: asked.rows]
    texts = [row["full_text"] for row in gold]
    finders = {"default types": ours(PresidioScrubber()), "every type": ours(PresidioScrubber(types=EVERY))}
    finders[RIVAL] = as_it_comes()
    seconds: dict[str, list[float]] = {name: [] for name in finders}
    found: dict[str, list[list[Span]]] = {}
    for _ in range(ROUNDS):
        for name, find in finders.items():
            began = time.perf_counter()
            found[name] = find(texts)
            seconds[name].append(time.perf_counter() - began)
            print(f"{name}: {len(texts) / seconds[name][-1]:.0f} rows/s", file=sys.stderr)
    scores = {name: scored(asked.score, gold, spans) for name, spans in found.items()}
    speed = {name: round(len(texts) / median(times), 1) for name, times in seconds.items()}
    cells = []
    for name in (name for name in finders if name != RIVAL):
        label = f"presidio_research, {name}"
        cells += [Cell(f"{label}, {m}", "share", scores[name][m], {RIVAL: scores[RIVAL][m]}) for m in MEASURES]
        cells.append(Cell(f"{label}, speed", "rows/s", speed[name], {RIVAL: speed[RIVAL]}))
    show(cells, asked.json)


def ours(scrubber: PresidioScrubber) -> Finder:
    """Our scrubber, all texts as dialogues of one text, so that they go through the model together."""

    def find(texts: Sequence[str]) -> list[list[Span]]:
        dialogues = scrubber.dialogues([([text], "en") for text in texts])
        return [[(hit.start, hit.end, hit.type) for hit in scrubbed.found] for (scrubbed,) in dialogues]

    return find


def as_it_comes() -> Finder:
    """Presidio's analyzer with its own settings and recognisers; only the spaCy model is ours."""
    import presidio_analyzer
    import yaml
    from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    logging.getLogger("tldextract").setLevel(logging.CRITICAL)  # asks the web for a list, and has one when it cannot
    settings = Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml"
    asked = yaml.safe_load(settings.read_text(encoding="utf-8"))
    asked["models"] = [{"lang_code": "en", "model_name": str(local(MODEL))}]
    engine = NlpEngineProvider(nlp_configuration=asked).create_engine()
    analyzer = BatchAnalyzerEngine(AnalyzerEngine(nlp_engine=engine))

    def find(texts: Sequence[str]) -> list[list[Span]]:
        results = analyzer.analyze_iterator(texts, language="en", batch_size=64)
        return [[(hit.start, hit.end, hit.entity_type) for hit in hits] for hits in results]

    return find


def scored(score: Path, gold: list[dict[str, object]], found: Sequence[Sequence[Span]]) -> dict[str, float]:
    """What `score` says of the spans."""
    with TemporaryDirectory() as scratch:
        truth, predicted = Path(scratch) / "gold.json", Path(scratch) / "found.jsonl"
        truth.write_text(json.dumps(gold), encoding="utf-8")
        predicted.write_text("".join(json.dumps({"spans": spans}) + "\n" for spans in found), encoding="utf-8")
        command = [sys.executable, str(score), str(truth), str(predicted), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
