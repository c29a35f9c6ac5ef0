"""What the server of the forked runs does once, so that they need not: fills transformers' and PEFT's tables.

Imported for its effect, by that server alone.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.tiny import tiny_model
from tests.training.making import make_recipe, ready

torch.set_num_threads(1)
with TemporaryDirectory() as folder:
    ready(make_recipe(tiny_model(Path(folder) / "tiny")))
