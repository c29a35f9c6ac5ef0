"""What a dataset is made of, as one HTML file that needs nothing else: where rows come from, what left them, how good.

Every text in it stood in the store already, so it is scrubbed. Scores are those of the build; a version that was built
without detectors is judged here, by the default ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from luthier import __version__
from luthier.data import quality
from luthier.data.agreement import Agreement, agreement
from luthier.data.build import rows as rows_of
from luthier.data.detectors.contradictions import Contradiction, contradictions
from luthier.data.labels import settle
from luthier.data.overview import BINS, Overview, quantile
from luthier.errors import Missing
from luthier.records.base import short
from luthier.records.data import DatasetVersion
from luthier.records.kinds import BY_KIND
from luthier.records.labels import Label, LabelQuestion, LabelSchema, LabelSet
from luthier.store.files import writable
from luthier.workflows import charts
from luthier.workflows.data import latest
from luthier.workflows.report import environment
from luthier.workflows.session import Session

COLUMNS = 36
"""Bars of a histogram of lengths, at most."""
WIDTHS = tuple(unit * 10**power for power in range(9) for unit in (1, 2, 5))
"""Words that one bar stands for."""
NAMED = 14
"""Labels that are listed by name."""
PAIRS = 12
"""Contradictions that are shown."""
REFUSED = 8
"""Reasons of refusals that are shown."""
RAN = re.compile(r"\bdetector ([\w-]+) \(")


class Card(NamedTuple):
    """What one detector said, ready for the page."""

    name: str
    meaning: str
    flagged: int
    high: int
    picture: Markup
    worst: Sequence[Any]


class Reason(NamedTuple):
    """Why rows were refused or left out, and where the first of them stands."""

    said: str
    rows: int
    first: str
    excerpt: str


class Asked(NamedTuple):
    """One question of a labelling schema, and how its answers stand."""

    agreement: Agreement | None
    question: LabelQuestion
    settled: int
    still_open: int


class Written(NamedTuple):
    """The page, and the figures that it shows."""

    path: Path
    dataset: str
    rows: int
    flagged: dict[str, int]
    contradictions: int


def chosen(session: Session, dataset: str | None = None) -> DatasetVersion:
    """The version of that id, by default the newest. Raises Missing where there is none, UnknownName for a wrong id."""
    version = session.workspace.ledger.get(dataset, DatasetVersion) if dataset else latest(session)
    if version is None:
        raise Missing("there is no dataset yet", "build one first: luthier data build")
    return version


def write(session: Session, version: DatasetVersion, path: Path) -> Written:
    """Write the report of a version to `path`. Raises UnknownName where its rows were erased, NoRoom."""
    blobs = session.workspace.blobs
    overview = looked_over(session, version)
    found = contradictions(lambda: rows_of(version, blobs))
    cards = carded(overview)
    page = (
        environment()
        .get_template("data_report.html.j2")
        .render(
            version=version,
            luthier=__version__,
            short=short,
            overview=overview,
            total=overview.spread.rows,
            read=overview.spread.rows + version.duplicates + version.quarantined + sum(version.left_out.values()),
            flow=flow(version, overview),
            plots=plots(version, overview),
            label=overview.spread.labels(),
            lengths=lengths(overview),
            cards=[card for card in cards if card.flagged],
            clean=[card for card in cards if not card.flagged],
            reasons=reasons(version, session),
            pairs=found[:PAIRS],
            found=len(found),
            rows_in_doubt=in_doubt(found),
            asked=asked(session, version),
            balances=overview.spread.whole(),
            percent=charts.percent,
        )
    )
    with writable(path):
        path.write_text(page, encoding="utf-8")
    flagged = {card.name: card.flagged for card in cards}
    return Written(path, version.id, overview.spread.rows, flagged, len(found))


def looked_over(session: Session, version: DatasetVersion) -> Overview:
    """Every row of the version, counted."""
    names = tuple(RAN.findall(version.builder))
    judge = None if names else quality.Judge()
    licences = {source.name: source.licence for source in version.sources}
    consents = {source.name: source.consent for source in version.sources}
    overview = Overview(names or quality.DEFAULT, licences, consents)
    total = sum(version.counts.values())
    for row in rows_of(version, session.workspace.blobs):
        overview.add(judge(row).row if judge else row)
        if overview.spread.rows % 1000 == 0:
            session.progress("look over", overview.spread.rows, total)
    session.progress("look over", overview.spread.rows, total)
    return overview


def flow(version: DatasetVersion, overview: Overview) -> dict[str, int]:
    """What became of every row that was read."""
    counts = {"kept": overview.spread.rows, "duplicates": version.duplicates, "refused": version.quarantined}
    return {name: count for name, count in (counts | {"left out": sum(version.left_out.values())}).items() if count}


def plots(version: DatasetVersion, overview: Overview) -> dict[str, Markup]:
    """The rankings of the page, by name; those without anything to show are left out."""
    spread, labels = overview.spread, overview.spread.labels()
    counted: dict[str, Mapping[str, int]] = {
        "source": spread.sources,
        "licence": overview.licences,
        "consent": overview.consents,
        "language": spread.languages,
        "split": spread.splits,
        "personal": version.personal,
        "kind": overview.kinds if len(overview.kinds) > 1 else {},
    }
    drawn = {name: charts.ranking(counts, name, 10) for name, counts in counted.items()}
    drawn["label"] = labelled(labels[1]) if labels else ""
    months = [charts.Column("", rows, f"{month}: {rows:,} rows") for month, rows in sorted(overview.months.items())]
    drawn["month"] = charts.histogram(months, "Rows by the month in which they were said") if len(months) > 1 else ""
    return {name: Markup(picture) for name, picture in drawn.items() if picture}


def labelled(counts: Mapping[str, int]) -> str:
    """The labels: by name where a page holds them, else as a slope from the commonest to the rarest."""
    if len(counts) <= NAMED:
        return charts.ranking(counts, "Rows by label", NAMED)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    columns = [charts.Column("", rows, f"{name}: {rows:,} rows") for name, rows in ordered]
    ends = {0: ordered[0][0], len(ordered) - 1: ordered[-1][0]}
    return charts.histogram(
        [column._replace(label=charts.cut(ends.get(place, ""))) for place, column in enumerate(columns)],
        "Rows by label, the commonest first",
    )


def lengths(overview: Overview) -> list[tuple[str, Markup, str]]:
    """Name, histogram and figures of the lengths: questions, answers."""
    found = []
    for name, counts in (("questions", overview.asked), ("answers", overview.said)):
        picture = Markup(charts.histogram(binned(counts), f"Words in the {name} of a row"))
        middle, high, most = quantile(counts, 0.5), quantile(counts, 0.95), max(counts, default=0)
        found.append((name, picture, f"median {middle:,}, 95 % below {high + 1:,}, longest {most:,}"))
    return found


def binned(counts: Mapping[int, int]) -> list[charts.Column]:
    """Lengths in bars of one width up to the 99th percentile; the last bar is everything above."""
    if not counts:
        return []
    lowest, high = min(counts), quantile(counts, 0.99)
    width = next(width for width in WIDTHS if (high - lowest) / width < COLUMNS)
    low = lowest // width * width
    last = (high - low) // width
    bars: Counter[int] = Counter()
    for value, rows in counts.items():
        bars[min((value - low) // width, last + 1)] += rows
    columns = []
    for place in range(last + 1 + (bars[last + 1] > 0)):
        start = low + place * width
        said = f"{start:,}" if width == 1 else f"{start:,} to {start + width - 1:,}"
        label = f"{start:,}" if start % (5 * width) == 0 and place <= last - 2 else ""
        if place > last:
            said, label = f"{start:,} and more", f"≥ {start:,}"
        columns.append(charts.Column(label, bars[place], f"{said} words: {bars[place]:,} rows"))
    return columns


def carded(overview: Overview) -> list[Card]:
    """One card a detector, the one that flags most rows at 0.5 or more first."""
    cards = []
    for name, measured in overview.measured.items():
        edges = [(place / BINS, (place + 1) / BINS) for place in range(BINS)]
        marks = {0: "0", BINS // 2: "0.5", BINS - 1: "1"}
        columns = [
            charts.Column(marks.get(place, ""), rows, f"{low:.2f} to {high:.2f}: {rows:,} rows")
            for place, ((low, high), rows) in enumerate(zip(edges, measured.bins, strict=True))
        ]
        picture = Markup(charts.histogram(columns, f"Scores of {name} above 0", width=300, height=110))
        cards.append(Card(name, quality.meaning(name), measured.flagged, measured.high, picture, measured.worst))
    return sorted(cards, key=lambda card: (-card.high, -card.flagged, card.name))


def reasons(version: DatasetVersion, session: Session) -> list[Reason]:
    """Why rows are not in the version, the commonest reason first."""
    found: dict[str, Reason] = {}
    for line in quarantined(version, session):
        place = f"{line['source']}:{line['line']}"
        known = found.setdefault(line["reason"], Reason(line["reason"], 0, place, line.get("excerpt", "")))
        found[known.said] = known._replace(rows=known.rows + 1)
    if version.duplicates:
        found["duplicate"] = Reason("says the same as an earlier row", version.duplicates, "", "")
    return sorted(found.values(), key=lambda reason: (-reason.rows, reason.said))[:REFUSED]


def quarantined(version: DatasetVersion, session: Session) -> Iterator[dict[str, Any]]:
    """The lines of the quarantine blob; none where it was erased or there never was one."""
    if version.quarantine and session.workspace.blobs.has(version.quarantine):
        yield from session.workspace.blobs.lines(version.quarantine)


def asked(session: Session, version: DatasetVersion) -> list[Asked]:
    """The questions of the newest set of labels for this version; none where it was never labelled."""
    ledger, blobs = session.workspace.ledger, session.workspace.blobs
    sets = ledger.ls(LabelSet.kind) if LabelSet.kind in BY_KIND else []
    newest = next((each for each in sets if isinstance(each, LabelSet) and each.dataset == version.id), None)
    if newest is None:
        return []
    schema = ledger.get(newest.schema_id, LabelSchema)
    labels = [Label.model_validate(line) for line in blobs.lines(newest.labels)]
    agreed = {each.question: each for each in agreement(labels, schema)}
    settled = settle(labels, schema)
    found = []
    for question in schema.questions:
        own = [each for each in settled if each.question == question.name]
        done = sum(each.value is not None for each in own)
        found.append(Asked(agreed.get(question.name), question, done, len(own) - done))
    return found


def in_doubt(found: Sequence[Contradiction]) -> int:
    """Rows that take part in a contradiction."""
    return len({said.row for pair in found for said in (pair.one, pair.other)})
