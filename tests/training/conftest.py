from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model."""
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")
