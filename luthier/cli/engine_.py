"""`luthier engine`: a base model and its adapters behind vLLM's HTTP API, without gateway, policy or ledger."""

from __future__ import annotations

import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.pass_context
def command(context: click.Context) -> None:
    """Serve a base and its adapters: --base NAME [--adapter NAME=FOLDER …] [--port N]; --help lists the rest."""
    from luthier.engine.__main__ import main

    sys.exit(main(context.args))
