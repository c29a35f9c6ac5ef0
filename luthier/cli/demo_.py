"""`luthier demo`: the whole loop on the bundled sample."""

from __future__ import annotations

import shutil
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from luthier.cli.bars import bars
from luthier.cli.common import json_option, show, show_failed

if TYPE_CHECKING:
    from luthier.workflows.session import Session


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="luthier-demo")
@click.option("--serve", is_flag=True, help="Leave the assistant running and print how to call it.")
@click.option("--port", default=8080, show_default=True, help="For --serve.")
@json_option
def command(folder: Path, serve: bool, port: int, as_json: bool) -> None:
    """Make a company's support assistant in FOLDER and put it to work: data, training, gate, release, answers.

    Killed anywhere and started again, it goes on where it stopped. Exit code 3 where the gate does not pass.
    """
    from luthier.errors import GateFailed
    from luthier.workflows import jobs, report, ring
    from luthier.workflows.crew import Crew, enter

    lay_out(folder)
    began = time.monotonic()
    with bars(quiet=as_json) as progress:
        crew = Crew(folder, progress)
        enter(crew)
        try:
            with jobs.launched(crew.session.workspace.folder):
                made = jobs.run_or_resume("ring", ring.ring, str(folder))
            page = report.write(crew.session, made, folder / "report.html")
        finally:
            enter(None)
            crew.leave()
    seconds = time.monotonic() - began
    data = made | {"seconds": round(seconds, 1), "report": str(page)}
    if not as_json:
        tell(folder, made, page, seconds)
    try:
        ring.require_deployed(made)
    except GateFailed as failed:
        if as_json:
            show_failed(data, failed, as_json=True)
        raise
    if as_json:
        show(data, as_json=True)
    if serve:
        keep_serving(folder, port)


def lay_out(folder: Path) -> None:
    """Copy the bundled sample into `folder`; what is there already is left alone."""
    with as_file(files("luthier") / "sample") as sample:
        for source in sorted(sample.rglob("*")):
            target = folder / source.relative_to(sample)
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


def tell(folder: Path, made: dict[str, Any], page: Path, seconds: float) -> None:
    """The table, the answers, the lineage and where to look next."""
    from luthier.cli.comparison import comparison
    from luthier.cli.why_ import as_tree
    from luthier.records.evaluation import EvalReport, Verdict
    from luthier.workflows.lineage import why
    from luthier.workflows.session import Session

    console = Console(highlight=False)
    session = Session.open(folder, create=False)
    ledger = session.workspace.ledger
    base, tuned = ledger.get(made["base_report"], EvalReport), ledger.get(made["report"], EvalReport)
    console.print()
    console.print(comparison(base, tuned, ledger.get(made["verdict"], Verdict)))
    for role, trace in made.get("answers", {}).items():
        console.print(answer(session, role, trace))
    if "answered" in made.get("answers", {}):
        console.print(as_tree(why(session, made["answers"]["answered"])))
    console.print(f"\n[bold]{page}[/bold] has the plots. [dim]{seconds:.0f} s in all.[/dim]")
    console.print(
        f"[dim]next: cd {folder} && luthier why ANSWER · luthier impact 'Marta Kovar' · luthier audit verify[/dim]"
    )
    session.close()


def answer(session: Session, role: str, trace_id: str) -> Panel:
    """One question and what became of it."""
    trace = session.workspace.traces.get(trace_id)
    text = Text(f"{trace.messages[-1].content}\n", style="dim")
    text.append(trace.answer, style="not dim bold")
    for citation in trace.citations:
        if citation.verified:
            text.append(f"\n[{citation.marker}] {citation.title}: “{citation.quote}” ✓", style="not dim green")
    for decision in trace.decisions:
        text.append(f"\nrule {decision.rule}: {decision.why}", style="not dim yellow")
    return Panel(text, title=f"{role} · {trace.id}", title_align="left", border_style="dim")


def keep_serving(folder: Path, port: int) -> None:
    """Serve until interrupted, with a key for trying out."""
    from luthier.store import keys
    from luthier.workflows import serving
    from luthier.workflows.session import Session

    session = Session.open(folder, create=False)
    secret = keys.issue(session.workspace.ledger, "demo-caller", ("caller",), "public", "owner")
    with serving.serving(session, "127.0.0.1", port) as server:
        click.echo(serving.usage(session, server.url, secret))
        click.echo("Ctrl-C stops it.")
        server.process.wait()
