"""`luthier forget`: a person leaves the workspace, and a byte scan shows that they did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from luthier.cli.common import json_option, project_option, session, show

if TYPE_CHECKING:
    from luthier.workflows.person import Found


@click.command()
@click.argument("subject", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@project_option
@json_option
def command(subject: tuple[str, ...], yes: bool, dry_run: bool, project: Path, as_json: bool) -> None:
    """Remove everything about SUBJECT: one person's name, IBAN, e-mail …, as they were written, or a row's subject key.

    Rows, traces, reviews, documents and logs go for good, and a byte scan of the workspace shows that they did. No
    later build takes the person's rows again. `-` reads the values from standard input, one a line, so that they do
    not stay in the shell's history. Cut off, the same command goes on.
    """
    from luthier.errors import BadConfig
    from luthier.workflows import forget as forgetting
    from luthier.workflows import person

    asked = [line.strip() for line in sys.stdin if line.strip()] if subject == ("-",) else list(subject)
    if as_json and not (yes or dry_run):
        raise BadConfig("nobody can be asked while printing for machines", "add --yes, or --dry-run to look first")
    with session(project, quiet=as_json, create=False) as opened, opened.workspace.lock("forgetting a person"):
        if dry_run or not yes:
            found = person.find(opened, person.subject_of(opened, asked))
            if dry_run:
                show(as_data(found) | {"dry_run": True}, as_json=as_json, table=in_words(found, "would go"))
                return
            show({}, as_json=False, table=in_words(found, "will go"))
            click.confirm("This cannot be undone. Forget them?", abort=True)
        done = forgetting.forget(opened, asked)
    proof = f"[green]✓[/green] {done.files} files, {done.bytes} bytes of the workspace: nothing of them is left"
    again = f"\n[dim]forgotten before, on {done.earlier[:10]}[/dim]" if done.earlier else ""
    data = as_data(done.found) | {"files": done.files, "bytes": done.bytes, "earlier": done.earlier}
    show(data, as_json=as_json, table=f"{in_words(done.found, 'went')}\n{proof}{again}")


def as_data(found: Found) -> dict[str, Any]:
    """What was found, for machines; texts of the rows are not among it."""
    return {
        "rows": {version: sorted(rows) for version, rows in found.rows.items()},
        "traces": list(found.traces),
        "reviews": list(found.reviews),
        "documents": list(found.documents),
        "blobs": list(found.blobs),
        "labels": list(found.labels),
        "logs": list(found.files),
        "lines": {file: list(numbers) for file, numbers in found.lines.items()},
        "seen": [{"kind": seen.record.kind, "id": seen.id, "mend": seen.mend} for seen in found.seen],
    }


def in_words(found: Found, verb: str) -> str:
    """What was found, for people."""
    from luthier.records.base import short

    lines = [f"{len(rows)} rows of [bold]{short(version)}[/bold] {verb}" for version, rows in found.rows.items()]
    counted = {
        "traces": found.traces,
        "reviews (their words)": found.reviews,
        f"documents ({', '.join(found.documents)})": found.documents,
        "other blobs": found.blobs,
        "sets of labels (their lines)": found.labels,
        "logs (their lines)": found.files,
    }
    lines += [f"{len(things)} {escape(name)} {verb}" for name, things in counted.items() if things]
    lines = lines or [f"nothing in the workspace {verb}"]
    if found.seen:
        lines.append("\nhad seen them; what makes each anew:")
        lines += [f"  {s.record.kind} [bold]{short(s.id)}[/bold] [dim]{escape(s.mend)}[/dim]" for s in found.seen]
    if found.lines:
        lines.append("\nyour own files name them still; no build takes these rows, and taking them out is yours to do:")
        lines += [f"  {escape(file)}: line {', '.join(map(str, n[:20]))}" for file, n in found.lines.items()]
    return "\n".join(lines)
