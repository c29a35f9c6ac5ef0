from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from luthier.progress import silent
from luthier.training.loop import Work, train
from luthier.training.sft import SFT
from tests.tiny import tiny_model
from tests.training.making import make_recipe, ready


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model."""
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="session")
def educated(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that does better than chance, as every real one: only there can a loss explode."""
    folder = tmp_path_factory.mktemp("educated")
    made = ready(make_recipe(base, lora=None, learning_rate=1e-2))
    train(Work(made.model, SFT, made.recipe, made.items, (), 0, folder / "run", {}), silent)
    shutil.copytree(base, folder / "tiny")
    made.model.save_pretrained(folder / "tiny")
    return folder / "tiny"
