"""`python -m luthier.training`: one run in a process of its own: what dies here takes no server along."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from luthier.errors import LuthierError, as_dict
from luthier.process import end_with_parent
from luthier.store.workspace import Workspace
from luthier.training.run import Order, execute


def main() -> int:
    """Train what the arguments ask for; the last line of standard error is the error as JSON, if there was one."""
    end_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    for field in Order._fields:
        parser.add_argument(f"--{field}", required=True)
    given = vars(parser.parse_args())
    try:
        with Workspace.open(given.pop("workspace")) as workspace:
            sys.stdout.write(f"{execute(workspace, Order(**given)).id}\n")
    except LuthierError as error:
        sys.stderr.write(f"{json.dumps(as_dict(error))}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
