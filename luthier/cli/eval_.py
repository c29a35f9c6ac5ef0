"""`luthier eval`: base against tuned on the project's suite, held against its gate."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show, show_failed


@click.command()
@click.argument("model", required=False)
@project_option
@click.option("--junit", type=click.Path(path_type=Path), help="Write the verdict as JUnit XML for CI.")
@json_option
def command(model: str | None, project: Path, junit: Path | None, as_json: bool) -> None:
    """Measure MODEL (default: the newest) beside the base. Exit code 3 where the gate does not pass."""
    from luthier.cli.comparison import comparison
    from luthier.errors import GateFailed
    from luthier.evaluation.junit import junit as as_junit
    from luthier.store.files import writable
    from luthier.workflows.evaluation import compare

    with session(project, quiet=as_json, create=False) as opened:
        found = compare(opened, model)
    if junit:
        with writable(junit):
            junit.write_text(as_junit(found.verdict), encoding="utf-8")
    data = {
        "base": found.base.model_dump(mode="json"),
        "tuned": found.tuned.model_dump(mode="json"),
        "verdict": found.verdict.model_dump(mode="json") | {"id": found.verdict.id},
    }
    table = comparison(found.base, found.tuned, found.verdict)
    if found.verdict.outcome != "pass":
        failed = GateFailed(f"the gate did not pass: {found.verdict.outcome}", "see the reasons above")
        show_failed(data, failed, as_json=as_json, table=table)
    show(data, as_json=as_json, table=table)
