"""The engine and the gateway as processes of their own, started for a while and stopped again."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import httpx

from luthier.errors import BadConfig, Busy, RunFailed
from luthier.lm.pull import local
from luthier.records.training import ModelVersion
from luthier.workflows import child
from luthier.workflows.session import Session

START = 180.0
"""Most seconds that a server may take to come up: a large base is read from a cold disk."""


class Server(NamedTuple):
    """A running server."""

    url: str
    process: Popen[bytes]


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int) -> None:
    """Raise Busy where somebody listens on that port already, BadConfig where we may not listen there at all."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                what = f"{host}:{port} cannot be listened on ({error.strerror or error})"
                raise BadConfig(what, "give an address of this machine and a port from 1024 up") from error
            raise Busy(
                f"port {port} on {host} is in use", "choose another with --port, or stop what is there"
            ) from error


@contextlib.contextmanager
def engine(session: Session, adapters: Mapping[str, Path] | None = None) -> Iterator[Server]:
    """The inference server of the project's base with `adapters` (name → folder) and the embedding model."""
    port = free_port()
    project = session.project
    local(project.knowledge.embedder)  # said here and now, not in the log of a child
    arguments = ["--base", str(local(project.base)), "--name", project.base]
    arguments += ["--embedder", project.knowledge.embedder]
    arguments += ["--host", "127.0.0.1", "--port", str(port)]
    for name, folder in (adapters or {}).items():
        arguments += ["--adapter", f"{name}={folder}"]
    with serving("luthier.engine", arguments, port, session.workspace.folder / "logs" / "engine.log") as server:
        yield server


@contextlib.contextmanager
def gateway(session: Session, engine_url: str) -> Iterator[Server]:
    """The API in front of `engine_url`, on a free loopback port."""
    port = free_port()
    arguments = ["--project", str(session.root), "--engine", engine_url, "--host", "127.0.0.1", "--port", str(port)]
    with serving("luthier.api", arguments, port, session.workspace.folder / "logs" / "api.log") as server:
        yield server


@contextlib.contextmanager
def serving(module: str, arguments: list[str], port: int, log: Path) -> Iterator[Server]:
    """A server process that answers on /health before the block begins."""
    url = f"http://127.0.0.1:{port}"
    with child.running(module, arguments, log) as process:
        wait(url, process, log, module)
        yield Server(url, process)


def wait(url: str, process: Popen[bytes], log: Path, what: str) -> None:
    """Wait until `url` is healthy. Raises the error that the process ended with, or RunFailed after a while."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            child.require_success(process, log, what)
            raise RunFailed(f"{what} ended at once", f"its output is in {log}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200:  # past a company's proxy
                return
        time.sleep(0.1)
    raise RunFailed(f"{what} did not come up within {START:.0f} s", f"its output is in {log}")


def adapter_folder(session: Session, model: ModelVersion) -> Path:
    """The files of `model` in a folder that an engine can load; fetched from the blobs where they are not there yet."""
    if not model.files:
        raise BadConfig(f"{model.name} is the untouched base and has no adapter", "ask for the base by its own name")
    folder = session.workspace.folder / "adapters" / model.id
    for name, digest in model.files.items():
        if not (folder / name).is_file():
            session.workspace.blobs.fetch(digest, folder / name)
    return folder
