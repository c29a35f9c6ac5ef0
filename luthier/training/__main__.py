"""`python -m luthier.training`: one run in a process of its own: what dies here takes no server along.

Under `torchrun` every process trains its share: `torchrun --nproc-per-node 2 -m luthier.training …`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from luthier.errors import LuthierError, as_dict
from luthier.process import end_with_parent
from luthier.store.workspace import Workspace
from luthier.training.run import Order, assist, execute
from luthier.training.world import joined, left


def main() -> int:
    """Train what the arguments ask for; the last line of standard error is the error as JSON, if there was one."""
    end_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    # Not as flags: torchrun would take some of them for its own.
    parser.add_argument("order", nargs="+", metavar="FIELD=VALUE", help=", ".join(Order._fields))
    parser.add_argument("--shard", action="store_true", help="cut the weights up among the processes")
    given = vars(parser.parse_args())
    order = Order(**dict(part.split("=", 1) for part in given["order"]))
    world = joined(shard=given["shard"])
    try:
        with Workspace.open(given["workspace"]) as workspace:
            if world.first:
                sys.stdout.write(f"{execute(workspace, order, world=world).id}\n")
            else:
                assist(workspace, order, world)
    except LuthierError as error:
        sys.stderr.write(f"{json.dumps(as_dict(error))}\n")
        return error.exit_code
    finally:
        left(world)
    return 0


if __name__ == "__main__":
    sys.exit(main())
