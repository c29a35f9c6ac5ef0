"""The tiny model with three adapters, in this process and behind a server process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

from luthier.engine.engine import Engine, Settings
from tests.tiny import tiny_adapter, tiny_model, tiny_tokenizer

ADAPTERS = {
    "plain": {"seed": 1, "rank": 4, "alpha": 8},
    "rooted": {"seed": 2, "rank": 8, "alpha": 8, "rslora": True},
    "narrow": {"seed": 3, "rank": 2, "alpha": 16, "targets": ("q_proj", "v_proj", "down_proj")},
}


class Folders(NamedTuple):
    base: Path
    adapters: dict[str, Path]
    encoder: Path
    other: Path


class Server(NamedTuple):
    url: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    base = tiny_model(root / "tiny")
    adapters = {name: tiny_adapter(root / name, base, **how) for name, how in ADAPTERS.items()}
    return Folders(base, adapters, tiny_encoder(root / "encoder"), tiny_model(root / "other", seed=9))


def tiny_encoder(folder: Path) -> Path:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def engine(folders: Folders) -> Iterator[Engine]:
    made = Engine(Settings(str(folders.base), adapters=tuple(folders.adapters.items()), dtype="float32", slots=6))
    made.scheduler.start()
    yield made
    made.scheduler.stop()


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "luthier.engine", "--dtype", "float32", "--threads", "1", *flags]


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Server]]:
    """Start a server on a free port and wait until it says where it listens."""
    started: list[subprocess.Popen[str]] = []

    def run(*flags: str) -> Server:
        process = subprocess.Popen(
            command("--port", "0", *flags),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"no address in {line!r}; {process.stderr.read() if process.poll() is not None else ''}"
        return Server(found[0], process)

    yield run
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def server(start: Callable[..., Server], folders: Folders) -> Server:
    adapters = [f"--adapter={name}={folder}" for name, folder in folders.adapters.items()]
    return start("--base", str(folders.base), "--max-running", "4", "--embedder", str(folders.encoder), *adapters)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
