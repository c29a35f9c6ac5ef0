"""What a ring made, as one HTML file that needs nothing else: verdict, measures, loss, data, answers, lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from luthier import __version__, plugins
from luthier.records.base import short
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport, Verdict
from luthier.records.knowledge import IndexVersion
from luthier.records.training import ModelVersion, Run
from luthier.workflows import charts
from luthier.workflows.lineage import why
from luthier.workflows.session import Session
from luthier.workflows.words import in_words


def write(session: Session, made: dict[str, Any], path: Path) -> Path:
    """Write the report of a ring (the ids in `made`) to `path`."""
    ledger = session.workspace.ledger
    base, tuned = ledger.get(made["base_report"], EvalReport), ledger.get(made["report"], EvalReport)
    run, model = ledger.get(made["run"], Run), ledger.get(made["model"], ModelVersion)
    dialogues, rows = ledger.get(made["dialogues"], DatasetVersion), ledger.get(made["dataset"], DatasetVersion)
    finished = ledger.events(subject=run.id, verb="finished")[-1].body
    losses = [line["loss"] for line in session.workspace.blobs.lines(finished["metrics"])]
    measures = [name for name in sorted(tuned.measures) if "@" not in name]
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            project=session.project,
            version=__version__,
            verdict=ledger.get(made["verdict"], Verdict),
            measures=[
                (name, meaning(name), base.measures.get(name), tuned.measures[name], tuned.differences.get(name))
                for name in measures
            ],
            bars=Markup(
                charts.bars([charts.Bar(name, base.measures.get(name), tuned.measures[name]) for name in measures])
            ),
            curve=Markup(charts.curve(losses)),
            languages=Markup(charts.composition(dialogues.languages)),
            personal=Markup(charts.composition(dialogues.personal)),
            dialogues=dialogues,
            rows=rows,
            index=ledger.get(made["index"], IndexVersion),
            model=model,
            run=run,
            finished=finished,
            answers=[(role, session.workspace.traces.get(trace)) for role, trace in made.get("answers", {}).items()],
            chain=chain(session, made),
            following=ledger.get(made["next"], DatasetVersion) if made.get("next") else None,
            short=short,
        )
    )
    path.write_text(page, encoding="utf-8")
    return path


def meaning(measure: str) -> str:
    """What a measure says, in the words of its scorer; nothing where the scorer is not installed here."""
    if measure not in plugins.offered("scorer"):
        return ""
    return (plugins.find("scorer", measure).__doc__ or "").strip().partition("\n")[0]


def chain(session: Session, made: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Role, id and words of every record behind the answered question, the nearest first."""
    answered = made.get("answers", {}).get("answered")
    if not answered:
        return []
    steps = sorted(why(session, answered).steps, key=lambda step: step.depth)
    return [(step.role, short(step.id), in_words(step.record)) for step in steps]


def environment() -> Environment:
    """Templates of this room; everything in them is escaped unless it is marked as our own SVG."""
    loaded = Environment(loader=PackageLoader("luthier", "workflows"), autoescape=select_autoescape(default=True))
    loaded.filters["points"] = lambda value: f"{100 * value:.1f}"
    loaded.filters["signed"] = lambda value: f"{100 * value:+.1f}"
    return loaded
