"""`luthier data scrub`: FILE or the project's sources without personal data, and how much of it is found there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luthier.cli.common import json_option, project_option, show, show_failed, table_of

if TYPE_CHECKING:
    from luthier.data.raw import Raw, Refused
    from luthier.data.scrub import Scrubber

READ = 5000
"""Texts that are read, at most."""


@click.command("scrub")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--report", is_flag=True, help="Put canaries into the texts and say how many are found, type by type.")
@click.option("--at-least", multiple=True, metavar="TYPE=SHARE", help="Fail where recall is lower; may be repeated.")
@click.option(
    "--per-type", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Canaries of each type."
)
@click.option("--seed", default=0, show_default=True, help="The same seed puts in the same canaries.")
@project_option
@json_option
def scrub(
    file: Path | None, report: bool, at_least: tuple[str, ...], per_type: int, seed: int, project: Path, as_json: bool
) -> None:
    """FILE (default: the project's sources) without its personal data; with --report, how much of it is found."""
    from luthier.data.canaries import measure, require
    from luthier.data.scrub import scrub_all
    from luthier.errors import GateFailed

    limits = limits_of(at_least)
    scrubber, texts = opened(project, file)
    if not (report or limits):
        for text, (scrubbed,) in zip(
            texts, scrub_all(scrubber, [([t], language) for t, language in texts]), strict=True
        ):
            if as_json:
                found = [item.type for item in scrubbed.found]
                show({"text": scrubbed.text, "language": text[1], "found": found}, as_json=True)
            else:
                click.echo(scrubbed.text)
        return
    measured = measure(scrubber, texts, seed, per_type)
    rows = []
    for kind, recall in measured.recall.items():
        precision = measured.precision[kind]
        rows.append(
            (kind, recall.of, recall.share, between(recall.interval), precision.share, between(precision.interval))
        )
    table = table_of(
        f"Canaries in {measured.texts} texts (seed {seed})",
        ("type", "canaries", "recall", "95 %", "precision", "95 % "),
        rows,
    )
    try:
        require(measured, limits)
    except GateFailed as failed:
        show_failed(measured.body(), failed, as_json=as_json, table=table)
    show(measured.body(), as_json=as_json, table=table)


def between(interval: tuple[float, float]) -> str:
    """An interval as people read it."""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def limits_of(at_least: tuple[str, ...]) -> dict[str, float]:
    """`PERSON=0.95` and the like. Raises BadConfig."""
    from luthier.errors import BadConfig

    limits: dict[str, float] = {}
    for pair in at_least:
        kind, _, share = pair.partition("=")
        try:
            limits[kind.upper()] = float(share)
        except ValueError:
            raise BadConfig(f"--at-least {pair!r} names no share", "write it as --at-least PERSON=0.95") from None
    return limits


def opened(project: Path, file: Path | None) -> tuple[Scrubber, list[tuple[str, str]]]:
    """The project's scrubber (the usual one where FILE stands in no project), and texts with their languages."""
    from luthier import plugins
    from luthier.data.sources import opened as sources
    from luthier.workflows.project import read

    if file and not (project / "luthier.yaml" if project.is_dir() else project).is_file():
        return plugins.find("scrubber", "presidio")(), list(islice(texts_in(file), READ))
    found = read(project)
    part = found.project.data
    made: Scrubber = plugins.find("scrubber", part.scrubber)(allow=part.allow)
    if file:
        return made, list(islice(texts_in(file), READ))
    rows = (row for source in sources(part.sources, found.root, ()) for row in source.rows())
    return made, list(islice(spoken(rows), READ))


def texts_in(file: Path) -> Iterator[tuple[str, str]]:
    """The messages of a file of dialogues in whatever shape; of any other text file its paragraphs."""
    from luthier.data.recognise import read
    from luthier.errors import BadData
    from luthier.lm.language import language_of

    if file.suffix in {".jsonl", ".json", ".csv", ".parquet"}:
        yield from spoken(read(file, {}))
        return
    try:
        whole = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{file} cannot be read as text: {error}", "give a UTF-8 text, or dialogues as .jsonl") from error
    yield from ((text, language_of(text)) for text in re.split(r"\n\s*\n", whole) if text.strip())


def spoken(rows: Iterable[Raw | Refused]) -> Iterator[tuple[str, str]]:
    """The texts of dialogues, each with the language of its dialogue."""
    from luthier.data.raw import Raw
    from luthier.lm.language import language_of

    for row in rows:
        if isinstance(row, Raw):
            texts = [message.content for message in row.messages if message.content.strip()]
            language = row.language or language_of("\n".join(texts))
            yield from ((text, language) for text in texts)
