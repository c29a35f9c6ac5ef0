"""Several processes that train one model: which one this is, and what they add up. One process is a world of its own.

Each process takes its share of a step's micro-batches; gradients are summed before the update, so that every process
makes the same one. With `shard` the weights are cut up among the processes as well (FSDP2, torch's `fully_shard`):
a model that fits in no single device's memory. `torchrun` says who is who in the environment; processes on several
machines share the workspace's folder. Knows nothing of losses and rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from luthier.training.batches import Micro, Step

Thing = TypeVar("Thing")
Model = TypeVar("Model", bound=torch.nn.Module)


class World(NamedTuple):
    """The processes of one run."""

    rank: int = 0
    size: int = 1
    shard: bool = False
    """Each process holds a part of the weights."""

    @property
    def first(self) -> bool:
        """Whether this process writes what there is to write."""
        return self.rank == 0

    def shares(self, step: Step) -> list[tuple[Micro, bool]]:
        """This process's micro-batches of a step, and whether each counts.

        Every process gets as many, for they wait for each other inside; one that has none left computes another's
        again, uncounted.
        """
        rounds = list(zip_longest(*(step[rank :: self.size] for rank in range(self.size))))
        return [(micros[self.rank] or micros[0], micros[self.rank] is not None) for micros in rounds]

    def reduce(self, gradients: Iterable[torch.Tensor]) -> None:
        """Sum every process's gradients, in place."""
        for gradient in gradients if self.size > 1 else ():
            if isinstance(gradient, DTensor):
                gradient.mul_(self.size)  # summed already, and divided, on their way back through the model
            else:
                dist.all_reduce(gradient)

    def totals(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The sums of every process's figures; each has to name the same ones, in any order."""
        if self.size == 1:
            return dict(figures)
        names = sorted(figures)
        sums = torch.tensor([figures[name] for name in names], dtype=torch.float64, device=here())
        dist.all_reduce(sums)
        return dict(zip(names, sums.tolist(), strict=True))

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            dist.barrier()

    def first_before_others(self, work: Callable[[], Thing]) -> Thing:
        """Do `work` in the first process, then in the others."""
        if not self.first:
            self.wait()
        done = work()
        if self.first:
            self.wait()
        return done

    def sharded(self, model: Model) -> Model:
        """`model` with its weights cut up among the processes, layer by layer; as it is where that is not asked for."""
        if self.shard and self.size > 1:
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh(here().type, (self.size,))
            for layers in [part for part in model.modules() if isinstance(part, torch.nn.ModuleList)]:
                for layer in layers:
                    fully_shard(layer, mesh=mesh)
            # The root keeps its weights together behind a forward pass unless told otherwise; parameters that are
            # listed meanwhile would point to memory that is then given back.
            fully_shard(model, mesh=mesh, reshard_after_forward=True)
        return model


ALONE = World()


def here() -> torch.device:
    """The device of this process."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def joined(*, shard: bool = False) -> World:
    """The world that `torchrun` (or Ray) has put this process into; ALONE where there is none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return World(dist.get_rank(), size, shard)


def left(world: World) -> None:
    """Take leave of the other processes."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor, of which this process may hold a part. Every process has to ask."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full


def part_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What this process holds of `tensor` where `like` is held in parts, else `tensor`."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def wholes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`whole` of each, in one order for every process."""
    return {name: whole(tensor) for name, tensor in tensors.items()}
