"""`luthier`: one command for the whole loop. Each sub-command is a module that is imported when it is called."""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence

import click

from luthier import __version__
from luthier.errors import BadConfig, LuthierError, NoRoom, RunFailed, as_dict

COMMANDS = {
    "demo": "The whole loop on the bundled sample, from documents to a served assistant.",
    "init": "Write a commented luthier.yaml, or print its JSON Schema.",
    "doctor": "Check that this machine has what the project needs.",
    "models": "Base models and helpers: list, pull.",
    "data": "Datasets: build, show, check a file, score the scrubber.",
    "knowledge": "Documents: build the index, search it.",
    "train": "Fine-tune the base on the newest dataset.",
    "eval": "Measure base and tuned model, hold them against the gate.",
    "release": "Propose, approve, deploy, roll back; model cards.",
    "serve": "Serve the deployed assistant over the OpenAI API.",
    "engine": "Serve a base model and its adapters, without gateway.",
    "feedback": "Corrections and ratings: give, list, decide.",
    "why": "The whole chain behind an answer.",
    "impact": "What a person, a row or a document went into.",
    "forget": "Remove a person from the workspace, and prove it.",
    "audit": "Verify the workspace: ledger, lineage, blobs.",
    "jobs": "Durable jobs and where they stand.",
    "keys": "API keys: add, list, revoke.",
}


class Lazy(click.Group):
    """A group whose commands live in modules of their own; the list of them costs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"luthier.cli.{cmd_name}_")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="luthier %(version)s")
def luthier() -> None:
    """Fine-tune GPT-like models on your own data and run them in production, on your own machines.

    Begin with `luthier demo`, or `luthier init` in a folder of your own.
    Exit codes: 0 ok, 1 configuration, 2 run time, 3 gate failed, 4 waiting for approval, 6 integrity.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors end in one sentence with the mend and the exit code of their kind."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        luthier.main(given, prog_name="luthier", standalone_mode=False)
    except LuthierError as error:
        say(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        if "--json" in given:
            say(BadConfig(error.format_message(), "add --help to the command"), as_json=True)
        else:
            error.show()
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        refused = from_system(error)
        say(refused, as_json="--json" in given)
        sys.exit(refused.exit_code)


def from_system(error: OSError) -> LuthierError:
    """What the operating system refused, where no room said it better."""
    where = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoRoom(f"the disk takes no more bytes: {where} could not be written", "free some space and repeat")
    return RunFailed(f"{where}: {error.strerror or error}", "check the path, its rights and the disk, then repeat")


def say(error: LuthierError, *, as_json: bool) -> None:
    """Print the error for a person or for a machine."""
    if as_json:
        click.echo(json.dumps({"error": as_dict(error)}))
    else:
        click.secho(error.what, fg="red", err=True)
        if error.mend:
            click.echo(f"→ {error.mend}", err=True)


if __name__ == "__main__":
    main()
