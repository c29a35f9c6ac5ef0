"""`luthier feedback`: what people think of answers, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, key_option, principal, project_option, session, show, table_of


@click.group()
def command() -> None:
    """Corrections and ratings: give, list, decide."""


@command.command()
@click.argument("answer")
@click.option("--rating", type=click.Choice(["up", "down"]))
@click.option("--comment", default="")
@click.option("--correction", default="", help="The answer as it should have been.")
@project_option
@key_option
@json_option
def give(
    answer: str, rating: str | None, comment: str, correction: str, project: Path, key: str | None, as_json: bool
) -> None:
    """Say what is wrong or right with ANSWER (the id of a completion). It is scrubbed before it is kept."""
    from luthier.feedback import reviews
    from luthier.workflows import data

    with session(project, key=key, quiet=as_json, create=False) as opened:
        scrub = data.scrubber(opened).dialogue
        item = reviews.give(
            opened.workspace,
            answer,
            rating=rating,  # type: ignore[arg-type]
            comment=comment,
            correction=correction,
            by=opened.by,
            scrub=scrub,
        )
    show({"review": item.id, "reason": item.reason, "correction": item.correction}, as_json=as_json)


@command.command("list")
@click.option(
    "--state", type=click.Choice(["waiting", "accepted", "rejected", "all"]), default="waiting", show_default=True
)
@project_option
@json_option
def list_reviews(state: str, project: Path, as_json: bool) -> None:
    """The queue, the oldest first."""
    from luthier.feedback import reviews

    with session(project, quiet=as_json, create=False) as opened:
        queue = reviews.queue(opened.workspace.ledger, None if state == "all" else state)  # type: ignore[arg-type]
    rows = [(q.item.id, q.state, q.item.reason, q.item.by, (q.item.correction or q.item.comment)[:60]) for q in queue]
    data = {"reviews": [{"id": q.item.id, "state": q.state} | q.item.body() for q in queue]}
    show(data, as_json=as_json, table=table_of("Reviews", ("review", "state", "reason", "by", "text"), rows))


@command.command()
@click.argument("review")
@click.option("--accept/--reject", required=True, default=None, help="Accepted corrections join the next dataset.")
@project_option
@key_option
@json_option
def decide(review: str, accept: bool, project: Path, key: str | None, as_json: bool) -> None:
    """Accept or reject REVIEW."""
    from luthier.feedback import reviews

    with session(project, key=key, quiet=as_json, create=False) as opened:
        done = reviews.decide(opened.workspace.ledger, review, accept, principal(opened, key))
    show({"review": done.item.id, "state": done.state, "by": done.by}, as_json=as_json)
