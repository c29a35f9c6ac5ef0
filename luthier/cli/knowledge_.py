"""`luthier knowledge`: the documents that answers are taken from."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show, table_of


@click.group()
def command() -> None:
    """Documents: build the index, search it."""


@command.command()
@project_option
@json_option
def build(project: Path, as_json: bool) -> None:
    """Index the documents; those that have not changed are not embedded again."""
    from luthier.records.base import short
    from luthier.workflows import knowledge, servers

    with session(project, quiet=as_json) as opened, opened.workspace.lock("indexing"), servers.engine(opened) as engine:
        version = knowledge.build(opened, engine.url)
    text = f"[bold]{short(version.id)}[/bold] {len(version.documents)} documents, {version.chunks} passages"
    show({"id": version.id} | version.body(), as_json=as_json, table=text)


@command.command()
@click.argument("question")
@click.option("-k", "count", default=5, show_default=True)
@click.option("--audience", type=click.Choice(["public", "staff"]), default="public", show_default=True)
@click.option("--locale", help="Prefer documents in this language.")
@project_option
@json_option
def search(question: str, count: int, audience: str, locale: str | None, project: Path, as_json: bool) -> None:
    """The passages that would be read for QUESTION."""
    from luthier.knowledge.search import Searcher
    from luthier.workflows import knowledge, servers
    from luthier.workflows.release import newest_index

    with session(project, quiet=as_json, create=False) as opened, servers.engine(opened) as engine:
        index = newest_index(opened)
        searcher = Searcher(opened.workspace, index, knowledge.embedder(opened, engine.url))
        found = searcher.search(question, count, audience, locale, opened.project.knowledge.search)  # type: ignore[arg-type]
    rows = [(p.document, p.heading, p.score, p.text[:70].replace("\n", " ")) for p in found]
    data = {"passages": [passage.model_dump(mode="json") for passage in found]}
    show(data, as_json=as_json, table=table_of("Passages", ("document", "heading", "score", "text"), rows))
