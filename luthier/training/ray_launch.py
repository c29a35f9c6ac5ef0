"""Several machines, by Ray Train: `python -m luthier.training.ray_launch` starts the processes that torchrun would.

Ray finds places for the workers, tells each who it is, and starts all of them again where one was lost; what a worker
does is what `luthier.training` does anywhere, so the run goes on from its newest checkpoint. The machines share the
folder of the workspace. An error that is the run's own (bad data, a number that is not finite) ends it at once: trying
again would find it again. Ray's usage reports are switched off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadConfig, LuthierError, Missing, RunFailed, as_dict, from_dict
from luthier.process import end_with_parent
from luthier.training.ray_worker import REFUSED, work
from luthier.training.run import Order

STORE = 128 << 20
"""Bytes of memory for objects that workers hand each other through Ray: ours hand none."""


class Cluster(NamedTuple):
    """Where a run trains, and with how many processes."""

    workers: int
    address: str = ""
    """Of a cluster that runs already, or `auto`; empty: one is started on this machine, for this run."""
    cpus: int = 1
    """Processor threads of each worker."""
    shard: bool = False
    """The weights are cut up among the workers."""
    failures: int = 3
    """How many times lost workers are started again."""


def launch(workspace: Path, order: Order, cluster: Cluster) -> None:
    """Carry out `order`; it is finished, and in the ledger, when this returns. Each worker gets a GPU where there are
    as many.

    Raises the run's own error; Missing without Ray; BadConfig where the cluster cannot be reached; RunFailed where
    workers were lost more often than `failures`.
    """
    folder = workspace.absolute() / "runs" / order.run
    folder.mkdir(parents=True, exist_ok=True)
    refused = folder / REFUSED
    refused.unlink(missing_ok=True)
    ray, error_of_ray = connected(cluster)
    train = ray.train
    gpu = ray.cluster_resources().get("GPU", 0) >= cluster.workers
    one_gpu = {"GPU": 1} if gpu else {}
    trainer = train.torch.TorchTrainer(
        work,
        train_loop_config={"workspace": str(workspace.absolute()), "order": order._asdict(), "shard": cluster.shard},
        scaling_config=train.ScalingConfig(
            num_workers=cluster.workers, use_gpu=gpu, resources_per_worker={"CPU": cluster.cpus} | one_gpu
        ),
        run_config=train.RunConfig(
            name=f"launch-{time.time_ns()}",
            storage_path=str(folder / "ray"),
            failure_config=train.FailureConfig(max_failures=cluster.failures),
        ),
    )
    try:
        trainer.fit()
    except error_of_ray as error:
        if not refused.is_file():
            raise RunFailed(
                f"workers of {order.run} were lost more than {cluster.failures} times, the last one with: "
                f"{str(error).strip().splitlines()[-1][:300]}",
                "see what ends them (out of memory?), then run the same command again: it goes on where it stopped",
            ) from error
    finally:
        ray.shutdown()  # and with it what workers still say: the error is to be the last line
    if refused.is_file():
        raise from_dict(json.loads(refused.read_text(encoding="utf-8")))


def connected(cluster: Cluster) -> tuple[Any, type[Exception]]:
    """Ray, on a cluster that answers, and the error that it gives up with."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    try:
        import ray
        import ray.train.torch
        from ray.train.v2.api.exceptions import TrainingFailedError
    except ImportError as error:
        raise Missing(f"Ray Train is not installed ({error})", "install it: pip install 'luthier[ray]'") from error
    if not ray.is_initialized():
        quiet: dict[str, Any] = {"include_dashboard": False, "configure_logging": False, "log_to_driver": True}
        local = quiet | {"address": "local", "num_cpus": cluster.workers * cluster.cpus, "object_store_memory": STORE}
        try:
            ray.init(**({"address": cluster.address, "log_to_driver": True} if cluster.address else local))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadConfig(
                f"the Ray cluster at {cluster.address or 'this machine'} cannot be used ({error})",
                "start it with: ray start --head; or leave the address out",
            ) from error
    return ray, TrainingFailedError


def main(arguments: list[str] | None = None) -> int:
    """Train what the arguments ask for; the last line of standard error is the error as JSON, if there was one."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m luthier.training.ray_launch", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("order", nargs="+", metavar="FIELD=VALUE", help=", ".join(Order._fields))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--address", default="", help="of a running cluster, or auto; else one is started here")
    parser.add_argument("--cpus", type=int, default=1, help="threads of each worker")
    parser.add_argument("--shard", action="store_true", help="cut the weights up among the workers")
    parser.add_argument("--failures", type=int, default=3, help="how often lost workers are started again")
    given = vars(parser.parse_args(arguments))
    order = Order(**dict(part.split("=", 1) for part in given.pop("order")))
    try:
        launch(given.pop("workspace"), order, Cluster(**given))
    except LuthierError as error:
        sys.stderr.write(f"{json.dumps(as_dict(error))}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
