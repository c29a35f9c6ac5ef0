"""`luthier models export`: a model version in a form that others load."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show


@click.command()
@click.argument("model")
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="The folder to write, which is not there yet."
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["adapter", "merged", "gguf", "onnx", "int8", "int4"]),
    required=True,
    help="PEFT's folder; whole safetensors; GGUF for llama.cpp, also in 8 or 4 bits; ONNX.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Precision of merged and gguf; auto is the base's own.",
)
@project_option
@json_option
def command(model: str, to: Path, form: str, dtype: str, project: Path, as_json: bool) -> None:
    """Write MODEL (an id or a live alias) into a folder, checked against what was trained. In 8 or 4 bits it is
    another model: that is recorded, and measured beside MODEL."""
    from rich.markup import escape

    from luthier.records.base import short
    from luthier.workflows.export_model import export

    with session(project, quiet=as_json, create=False) as opened:
        done = export(opened, model, to, form, dtype)  # type: ignore[arg-type]
    report = done.report
    data = {
        "model": done.model.id,
        "form": done.form,
        "folder": str(done.folder),
        "change": done.change,
        "compressed": done.compressed.id if done.compressed else None,
        "report": report.id if report else None,
        "differences": {name: m.model_dump() for name, m in report.differences.items()} if report else {},
        "said": done.said,
    }
    lines = [f"[bold]{escape(str(done.folder))}[/bold] {short(done.model.id)} as {done.form}"]
    if done.change:
        found = done.change
        lines.append(
            f"[dim]the likeliest token stayed at {100 * found['same']:.2f} % of the places; log-probability of a "
            f"token {found['logprob_change']:+.4f}; a logit moved by at most {found['logits']:.2g} of the largest[/dim]"
        )
    if done.compressed:
        lines.append(f"recorded as [bold]{short(done.compressed.id)}[/bold] {escape(done.compressed.name)}")
    for name, difference in (report.differences if report else {}).items():
        low, high = 100 * difference.low, 100 * difference.high
        lines.append(f"{name}: {100 * difference.mean:+.1f} points ({low:+.1f} to {high:+.1f}, n = {difference.n})")
    lines += [escape(sentence) for sentence in done.said]
    show(data, as_json=as_json, table="\n".join(lines))
