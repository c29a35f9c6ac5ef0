"""Adapters reach the engine when they are asked for, once, and again after it was restarted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from luthier.api.adapters import LoadingEngine
from luthier.errors import BadConfig, Tampered, UnknownName
from luthier.lm.client import Client
from luthier.workflows.servers import adapter_folder
from luthier.workflows.session import Session
from tests.api.conftest import BASE, Engine
from tests.workflows.making import World

ASKED = [{"role": "user", "content": "What does a card cost?"}]


def loading(engine: Engine) -> LoadingEngine:
    def folder_of(name: str) -> Path:
        if name.startswith("model-"):
            return Path("/adapters") / name
        raise UnknownName(f"no model is called {name!r}")

    return LoadingEngine(Client(engine.url), folder_of)


def test_an_adapter_is_loaded_when_it_is_first_asked_for(engine: Engine) -> None:
    client = loading(engine)
    assert client.chat(ASKED, BASE, max_tokens=8).text
    assert engine.standin.loads == []
    for _ in range(3):
        client.chat(ASKED, "model-a", max_tokens=8)
    assert engine.standin.loads == [("model-a", "/adapters/model-a")]
    assert engine.standin.asked == [BASE, *["model-a"] * 3], "no question is asked twice"


def test_an_engine_that_was_restarted_gets_it_again_though_many_ask_at_once(engine: Engine) -> None:
    client = loading(engine)
    client.chat(ASKED, "model-a", max_tokens=8)
    for _ in range(3):
        engine.standin.start()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: client.chat(ASKED, "model-a", max_tokens=8), range(16)))
        assert all(reply.text for reply in replies)
    assert len(engine.standin.loads) == 4


def test_a_model_that_nobody_has_is_said(engine: Engine) -> None:
    client = loading(engine)
    with pytest.raises(UnknownName):
        client.chat(ASKED, "nobody", max_tokens=8)
    assert client.chat(ASKED, "model-b", max_tokens=8).text


def test_the_files_of_an_adapter_come_from_the_blobs(session: Session, made: World) -> None:
    folder = adapter_folder(session, made.model)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    (folder / "adapter_config.json").unlink()
    assert adapter_folder(session, made.model) == folder
    assert (folder / "adapter_config.json").read_bytes() == b"{}"
    with pytest.raises(BadConfig, match="base"):
        adapter_folder(session, made.base)
    digest = made.model.files["adapter_config.json"]
    blob = session.workspace.folder / "blobs" / digest[:2] / digest
    blob.chmod(0o644)
    blob.write_bytes(b"[]")
    (folder / "adapter_config.json").unlink()
    with pytest.raises(Tampered):
        adapter_folder(session, made.model)
