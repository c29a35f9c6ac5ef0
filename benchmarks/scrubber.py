"""Personal data found in 1,500 sentences with known spans: ours beside Presidio as it comes, in turns.

    python -m benchmarks.scrubber --data ../shared/data --score ../shared/checks/pii_score.py --json

presidio_research, synth_dataset_v2 (MIT). Counted in words by `pii_score.py`: personal or not, of whatever type. Both
sides use the same spaCy model (Presidio as it comes would take the large English one, ten times its size). Ours is
measured with the types that it replaces by default, and with every type that it knows, which adds organisations,
places and web addresses; Presidio finds all of its own but for organisations. Its time is that of finding, ours that
of finding and replacing: in one process as the rival, and in one process per core, as a build of many rows runs
(`luthier.data.workers`; both sides were started before the clock).

The recognisers were mended by the errors on rows with an even `template_id`; the odd ones are given apart. On texts
that nobody looked at meanwhile, words of persons alone count: wikigold (CC-BY-4.0) and wnut17 (CC-BY-4.0).
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import Cell, show
from luthier.data.one_thread import one_thread
from luthier.data.scrub import MODEL, PERSONAL, PresidioScrubber
from luthier.data.workers import CHUNK
from luthier.lm.pull import local

FILE = "presidio_research/synth_dataset_v2.json"
EVERY = PERSONAL | {"ORGANISATION", "PLACE", "URL"}
ROUNDS = 3
"""Each side goes over the rows so often; the middle one of its times counts."""
RIVAL = "presidio's own recognisers"
CORES = "every type, a process per core"
PERSONS = (("wikigold", "wikigold/wikigold.conll.txt", " "), ("wnut17", "wnut17/train.conll", "\t"))
"""Name, file and what stands between word and label."""
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
    rival = as_it_comes()
    finders = {
        "default types": ours(PresidioScrubber()),
        "every type": ours(PresidioScrubber(types=EVERY)),
        CORES: on_every_core(),
        RIVAL: rival,
    }
    seconds: dict[str, list[float]] = {name: [] for name in finders}
    found: dict[str, list[list[Span]]] = {}
    for _ in range(ROUNDS):
        for name, find in finders.items():
            began = time.perf_counter()
            found[name] = find(texts)
            seconds[name].append(time.perf_counter() - began)
            print(f"{name}: {len(texts) / seconds[name][-1]:.0f} rows/s", file=sys.stderr)
    assert found[CORES] == found["every type"], "processes change what is found"
    scores = {name: scored(asked.score, gold, spans) for name, spans in found.items()}
    for half, odd in (("even", 0), ("odd", 1)):
        chosen = [place for place, row in enumerate(gold) if row["template_id"] % 2 == odd]
        for name in ("every type", RIVAL):
            spans = [found[name][place] for place in chosen]
            scores[f"{name}, {half} templates"] = scored(asked.score, [gold[place] for place in chosen], spans)
    speed = {name: round(len(texts) / median(times), 1) for name, times in seconds.items()}
    cells = []
    for name in (name for name in scores if not name.startswith(RIVAL)):
        label, other = f"presidio_research, {name}", name.replace("every type", RIVAL) if "templates" in name else RIVAL
        if name != CORES:
            cells += [Cell(f"{label}, {m}", "share", scores[name][m], {RIVAL: scores[other][m]}) for m in MEASURES]
        if name in speed:
            cells.append(Cell(f"{label}, speed", "rows/s", speed[name], {RIVAL: speed[RIVAL]}))
    for name, path, split in PERSONS:
        sentences = list(conll(asked.data / path, split))[: asked.rows]
        both = [
            persons(sentences, finder([text for text, _ in sentences])) for finder in (finders["default types"], rival)
        ]
        cells += [
            Cell(f"{name}, persons, {m}", "share", both[0][m], {RIVAL: both[1][m]}) for m in ("recall", "precision")
        ]
    show(cells, asked.json)


def ours(scrubber: PresidioScrubber) -> Finder:
    """Our scrubber, all texts as dialogues of one text, so that they go through the model together."""

    def find(texts: Sequence[str]) -> list[list[Span]]:
        dialogues = scrubber.dialogues([([text], "en") for text in texts])
        return [[(hit.start, hit.end, hit.type) for hit in scrubbed.found] for (scrubbed,) in dialogues]

    return find


def on_every_core() -> Finder:
    """The same in one process per core, chunk by chunk."""
    cores = len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn"), initializer=one_thread)
    for future in [pool.submit(find_there, ["Anna Schmidt was here."] * 64) for _ in range(4 * cores)]:
        future.result()  # every process has loaded its model

    def find(texts: Sequence[str]) -> list[list[Span]]:
        chunks = [texts[begin : begin + CHUNK] for begin in range(0, len(texts), CHUNK)]
        return [spans for chunk in pool.map(find_there, chunks) for spans in chunk]

    return find


@cache
def finder_there() -> Finder:
    return ours(PresidioScrubber(types=EVERY))


def find_there(texts: Sequence[str]) -> list[list[Span]]:
    """What is found in one chunk, in whatever process this runs."""
    return finder_there()(texts)


def conll(path: Path, split: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Sentences of a file in CoNLL's columns, words joined by blanks, and where the words of persons stand."""
    for block in path.read_text(encoding="utf-8").replace("\r", "").split("\n\n"):
        text, spans = "", []
        for line in block.splitlines():
            word, _, label = line.rpartition(split)
            if label.lower().endswith(("per", "person")):
                spans.append((len(text), len(text) + len(word)))
            text += f"{word} "
        if text.strip():
            yield text, spans


def persons(
    sentences: Sequence[tuple[str, list[tuple[int, int]]]], found: Sequence[Sequence[Span]]
) -> dict[str, float]:
    """Recall of words of persons, by whatever type; precision of words that were found as persons."""
    marked = hit = named = right = 0
    for (text, gold), spans in zip(sentences, found, strict=True):
        people = [(low, high) for low, high, kind in spans if kind == "PERSON"]
        for match in re.finditer(r"\w+", text):
            truth = any(low <= match.start() < high for low, high in gold)
            marked += truth
            hit += truth and any(low <= match.start() < high for low, high, _ in spans)
            guess = any(low <= match.start() < high for low, high in people)
            named += guess
            right += guess and truth
    return {"recall": round(hit / max(marked, 1), 4), "precision": round(right / max(named, 1), 4)}


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
