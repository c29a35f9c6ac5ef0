"""One scripted engine for the room; a fresh desk and traces for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from luthier.gateway.app import application
from luthier.gateway.desk import Desk
from luthier.gateway.exchange import Exchange
from luthier.gateway.pipeline import answer
from luthier.gateway.requests import Asked
from luthier.lm.client import Client
from luthier.records.data import Message
from luthier.records.serving import Trace
from tests.gateway.bench import CARD_FEES, HOTLINE, KEYS, STAFF, Script, Shelf, engine_app, make_desk, served

Ask = Callable[..., Exchange]


@pytest.fixture(scope="session")
def engine_url() -> Iterator[tuple[str, Script]]:
    script = Script()
    with served(engine_app(script)) as url:
        yield url, script


@pytest.fixture
def script(engine_url: tuple[str, Script]) -> Script:
    fresh = engine_url[1]
    fresh.__init__()  # type: ignore[misc]
    return fresh


@pytest.fixture
def traces() -> dict[str, Trace]:
    return {}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf([CARD_FEES, HOTLINE, STAFF])


@pytest.fixture
def desk(engine_url: tuple[str, Script], script: Script, traces: dict[str, Trace], shelf: Shelf) -> Iterator[Desk]:
    with Client(engine_url[0], timeout=10) as client:
        yield make_desk(client, lambda trace: traces.update({trace.id: trace}), shelf)


@pytest.fixture
def ask(desk: Desk) -> Ask:
    """Ask the desk in process."""

    def asking(question: str, *before: tuple[str, str], key: str = "sk-anna", **fields: Any) -> Exchange:
        turns = [Message(role=role, content=text) for role, text in before]  # type: ignore[arg-type]
        asked = Asked("support", (*turns, Message(role="user", content=question)), question, **fields)
        return answer(desk, KEYS[key], asked)

    return asking


@pytest.fixture
def http(desk: Desk) -> Iterator[TestClient]:
    headers = {"authorization": "Bearer sk-anna"}
    with TestClient(application(desk), headers=headers, raise_server_exceptions=False) as client:
        yield client
