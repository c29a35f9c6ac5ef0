"""`python -m luthier.engine`: flags → a server in a process of its own. Heavy imports come after the cheap refusals."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from luthier.errors import BadConfig, Busy, LuthierError, as_dict
from luthier.lm.pull import local
from luthier.process import MARK, end_with_parent


def flags() -> argparse.ArgumentParser:
    """What can be set."""
    parser = argparse.ArgumentParser(prog="python -m luthier.engine", description="Serve a model and its adapters.")
    parser.add_argument("--base", required=True, metavar="NAME_OR_FOLDER", help="a pulled model or a model's folder")
    parser.add_argument("--name", default="", help="what callers call the base (its folder's name)")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER", help="a LoRA; repeatable")
    parser.add_argument("--embedder", default="", metavar="NAME_OR_FOLDER", help="also serve /v1/embeddings")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one and prints it")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="processor threads (all)")
    parser.add_argument("--max-running", type=int, default=16, metavar="N", help="answers at a time")
    parser.add_argument("--max-model-len", type=int, default=None, metavar="TOKENS", help="prompt + answer (≤ 8192)")
    parser.add_argument("--api-key", default=os.environ.get("LUTHIER_ENGINE_KEY", ""), help="or $LUTHIER_ENGINE_KEY")
    parser.add_argument("--drain", type=int, default=60, metavar="SECONDS", help="for running answers, on SIGTERM")
    return parser


def bind(host: str, port: int) -> socket.socket:
    """The server's socket, bound but not listening yet. Raises Busy where another process has the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise Busy(f"{host}:{port} cannot be listened on ({error})", "stop what runs there, or give --port") from error
    return bound


def named_folder(given: str) -> tuple[str, Path]:
    name, equals, folder = given.partition("=")
    if not (name and equals and folder):
        raise BadConfig(f"--adapter {given} names no folder", "write --adapter NAME=FOLDER")
    return name, Path(folder)


def serve(given: argparse.Namespace) -> None:
    """Load everything, then answer until SIGTERM or SIGINT."""
    if given.max_running < 1 or (given.max_model_len is not None and given.max_model_len < 16):
        raise BadConfig("--max-running is below 1 or --max-model-len below 16", "give larger numbers")
    adapters = tuple(named_folder(one) for one in given.adapter)
    for model in filter(None, (given.base, given.embedder)):
        local(model)
    bound = bind(given.host, given.port)

    import torch
    import uvicorn
    from transformers.utils import logging as transformers_logging

    from luthier.engine.engine import Engine, Settings
    from luthier.engine.server import app

    transformers_logging.disable_progress_bar()
    threads = given.threads if given.threads > 0 else torch.get_num_threads()
    torch.set_num_threads(1)  # this thread loads and answers HTTP; the scheduler's computes
    engine = Engine(
        Settings(
            base=given.base,
            name=given.name,
            adapters=adapters,
            embedder=given.embedder,
            dtype=given.dtype,
            slots=given.max_running,
            window=given.max_model_len,
            threads=threads,
        )
    )
    try:
        bound.listen(2048)
    except OSError as error:
        raise Busy(f"port {given.port} was taken meanwhile ({error})", "give another --port") from error
    config = uvicorn.Config(
        app(engine, given.api_key),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=given.drain,
    )
    for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn drains, then raises the signal again: let that end well
        signal.signal(stop, lambda *_: None)
    host, port = bound.getsockname()[:2]
    precision = str(engine.model.dtype).removeprefix("torch.")
    print(f"serving {engine.name} ({precision}) on http://{host}:{port}", flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[bound])


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after a clean stop, else that of the error, which is told in one sentence."""
    child = MARK in os.environ
    end_with_parent()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        serve(flags().parse_args(arguments))
    except LuthierError as error:
        print(json.dumps(as_dict(error)) if child else error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
