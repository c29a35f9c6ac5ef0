"""An engine to stand in for the real one, over real HTTP: adapters come and go, and what it says is scripted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from luthier.workflows.session import Session
from tests.gateway.bench import Words, served
from tests.workflows.making import World, project, world

BASE = "tiny"


class Standin:
    """A server with the engine's contract, as far as the API uses it."""

    def __init__(self) -> None:
        self.words = Words()
        self.says = "A second Lark card costs 9 EUR per year [1]."
        self.loads: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.start()

    def start(self) -> None:
        """As after a restart: only the base is there."""
        self.models = {BASE}

    async def listing(self, _: Request) -> JSONResponse:
        return JSONResponse({"data": [{"id": name} for name in sorted(self.models)]})

    async def chat(self, request: Request) -> JSONResponse:
        model = (await request.json())["model"]
        self.asked.append(model)
        if model not in self.models:
            return JSONResponse({"error": {"message": f"no model is called {model!r}"}}, 404)
        choice = {"message": {"role": "assistant", "content": self.says}, "finish_reason": "stop"}
        return JSONResponse({"id": "x", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})

    async def load(self, request: Request) -> JSONResponse | PlainTextResponse:
        body = await request.json()
        if body["lora_name"] in self.models:
            return JSONResponse({"error": {"message": "is loaded already"}}, 400)
        self.models.add(body["lora_name"])
        self.loads.append((body["lora_name"], body["lora_path"]))
        return PlainTextResponse("ok")

    async def embed(self, request: Request) -> JSONResponse:
        vectors = self.words((await request.json())["input"])
        return JSONResponse({"data": [{"index": n, "embedding": v.tolist()} for n, v in enumerate(vectors)]})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self.listing),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/load_lora_adapter", self.load, methods=["POST"]),
                Route("/v1/embeddings", self.embed, methods=["POST"]),
            ]
        )


class Engine(NamedTuple):
    url: str
    standin: Standin


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def engine() -> Iterator[Engine]:
    standin = Standin()
    with served(standin.app()) as url:
        yield Engine(url, standin)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session.open(project(tmp_path / "bank"))
    yield opened
    opened.close()


@pytest.fixture
def made(session: Session) -> World:
    return world(session)
