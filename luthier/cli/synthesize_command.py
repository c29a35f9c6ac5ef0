"""`luthier data synthesize`: rows that a model writes, checked one by one before they may join."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from luthier.cli.common import json_option, project_option, session, show
from luthier.data.synthetic.templates import Kind

if TYPE_CHECKING:
    from luthier.data.synthetic.generator import Report

PATH = click.Path(dir_okay=False, path_type=Path)


@click.command("synthesize")
@click.argument("kind", type=click.Choice(get_args(Kind)))
@click.option("--count", type=click.IntRange(1), required=True, help="Rows that there shall be.")
@click.option("--to", type=PATH, required=True, help="JSONL file to write; what an earlier run wrote stays.")
@click.option("--rejected", type=PATH, help="Write the candidates that may not join, with their reasons.")
@click.option("--endpoint", default="", metavar="URL", help="OpenAI-shaped server. Default: the project's own engine.")
@click.option("--model", default="", help="The model there that writes. Default: the project's base.")
@click.option("--key-env", metavar="VAR", help="Environment variable that holds the endpoint's key.")
@click.option("--seed", default=0, show_default=True, help="Another seed asks about other things first.")
@click.option("--most-asked", type=click.IntRange(1), help="Candidates at most.  [default: 10 times --count]")
@project_option
@json_option
def synthesize(  # noqa: PLR0913, PLR0917
    kind: Kind,
    count: int,
    to: Path,
    rejected: Path | None,
    endpoint: str,
    model: str,
    key_env: str | None,
    seed: int,
    most_asked: int | None,
    project: Path,
    as_json: bool,
) -> None:
    """Have a model write rows of KIND from the documents, the newest dataset or the policy.

    A row is kept where its source carries it, where nothing nearly the same is there, and where it gives no protected
    question away. The file is then a source like any other: format `chat-jsonl`, or `preferences`.
    """
    from luthier.errors import BadConfig
    from luthier.workflows.synthetic import body
    from luthier.workflows.synthetic import synthesize as made
    from luthier.workflows.writers import Wanted

    key = os.environ.get(key_env, "") if key_env else ""
    if key_env and not key:
        raise BadConfig(f"the environment variable {key_env} is not set", "put the endpoint's key there")
    wanted = Wanted(kind, count, seed, endpoint, model, key, most_asked or 0)
    with session(project, quiet=as_json) as opened:
        report = made(opened, wanted, to, rejected)
    show({"file": str(to)} | body(report), as_json=as_json, table=None if as_json else told(report, to))


def told(report: Report, to: Path) -> str:
    """The report in a few lines."""
    from rich.markup import escape

    earlier = f" beside {report.there} of an earlier run" if report.there else ""
    refused = "".join(f"\n  {count:>6}  {escape(reason)}" for reason, count in report.refused.items())
    varied = f"{report.distinct[0]:.2f} of the words, {report.distinct[1]:.2f} of the pairs of words"
    meaning = f", and by meaning with {escape(report.meaning)}" if report.meaning else " alone"
    return (
        f"[bold]{escape(str(to))}[/bold]\n"
        f"kept       {report.kept} {report.kind}{earlier}, from {report.sources} places\n"
        f"asked      {report.asked} candidates, {report.share:.0%} of which were kept\n"
        f"no repeat  {varied}\n"
        f"judged     by words{meaning}\n"
        f"refused    {sum(report.refused.values())}{refused}"
    )
