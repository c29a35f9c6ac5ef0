"""`luthier serve`: the engine in a process of its own, and the API in front of it."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import project_option, session


@click.command()
@project_option
@click.option("--host", help="Default: what luthier.yaml says.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: what luthier.yaml says.")
def command(project: Path, host: str | None, port: int | None) -> None:
    """Serve the deployed assistant over the OpenAI API, until it is interrupted."""
    from luthier.workflows import serving

    with session(project, create=False) as opened:
        address = host or opened.project.serving.host, port if port is not None else opened.project.serving.port
        with serving.serving(opened, *address) as server:
            click.echo(serving.usage(opened, server.url, "$LUTHIER_KEY"))
            click.echo("Ctrl-C stops it. A key for callers: luthier keys add NAME --role caller")
            server.process.wait()
