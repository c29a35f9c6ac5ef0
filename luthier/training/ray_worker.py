"""What each worker does that Ray has started: train its share, as under torchrun. Knows nothing of Ray.

A module of its own, which workers import by its name.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from luthier.errors import Busy, LuthierError, as_dict
from luthier.store.workspace import Workspace
from luthier.training.run import Order, assist, execute
from luthier.training.world import World, joined, left

REFUSED = "ray-refused.json"
"""Where a worker leaves the run's own error, in the run's folder."""
PATIENCE = 60.0
"""Seconds for which a worker waits until the one that was lost has let go of the run."""


def work(given: dict[str, Any]) -> None:
    """Train this worker's share of `given["order"]`. The run's own error is left for the launcher, and not raised:
    Ray would start everybody again, to the same error.
    """
    folder, order = Path(given["workspace"]), Order(**given["order"])
    refused = folder / "runs" / order.run / REFUSED
    if refused.is_file():  # started again because the others lost the one that refused
        return
    world = joined(shard=given["shard"])
    try:
        with Workspace.open(folder) as workspace:
            if world.first:
                lead(workspace, order, world)
            else:
                assist(workspace, order, world)
    except LuthierError as error:
        staged = refused.with_name(f"{REFUSED}.{world.rank}")
        staged.write_text(json.dumps(as_dict(error)), encoding="utf-8")
        staged.replace(refused)
    finally:
        left(world)


def lead(workspace: Workspace, order: Order, world: World) -> None:
    """The first worker's part. One that was lost may hold the run for a moment longer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            execute(workspace, order, world=world)
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
