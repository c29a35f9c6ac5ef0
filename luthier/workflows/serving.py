"""The assistant as callers reach it: engine and API together, and how to call them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from luthier.workflows import child, servers
from luthier.workflows.release import newest_index
from luthier.workflows.session import Session


@contextlib.contextmanager
def serving(session: Session, host: str, port: int) -> Iterator[servers.Server]:
    """Engine and API, the API on `host`:`port`. Raises Busy where somebody listens there already, Missing where the
    documents are not indexed yet: both before a model is loaded.
    """
    port = port or servers.free_port(host)
    servers.require_free(host, port)
    newest_index(session)
    with servers.engine(session) as engine:
        arguments = ["--project", str(session.root), "--engine", engine.url, "--host", host, "--port", str(port)]
        log = session.workspace.folder / "logs" / "api.log"
        with child.running("luthier.api", arguments, log) as process:
            url = f"http://{host}:{port}"
            servers.wait(url, process, log, "luthier.api")
            yield servers.Server(url, process)
            if process.poll() is not None:
                child.require_success(process, log, "luthier.api")


def usage(session: Session, url: str, key: str) -> str:
    """How to call the assistant, with curl and with the openai client."""
    alias = session.project.serving.alias
    return f"""\
{session.project.name} is served at {url}/v1

  curl {url}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{alias}", "messages": [{{"role": "user", "content": "What does a replacement card cost?"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  reply = client.chat.completions.create(model="{alias}", messages=[{{"role": "user", "content": "…"}}])
"""
