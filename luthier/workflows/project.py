"""Reading `luthier.yaml`: a typed project, or one sentence with file, line and the nearest right name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ValidationError

from luthier.errors import BadConfig, LuthierError, UnknownName
from luthier.records.project import Project

FILE = "luthier.yaml"
Location = tuple[str | int, ...]


class Opened(NamedTuple):
    """A project and the folder that its paths are relative to."""

    project: Project
    root: Path

    @property
    def workspace(self) -> Path:
        return self.root / self.project.workspace


def read(path: Path) -> Opened:
    """The project in `path` (a file, or a folder with `luthier.yaml` in it). Raises BadConfig or UnknownName."""
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadConfig(f"there is no {file}", "write one with: luthier init") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file} cannot be read ({error})", "give a YAML file in UTF-8") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        why = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be read")
        raise BadConfig(f"{where} is not YAML ({why})", "mend that line") from error
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-45, or brackets without end
        raise BadConfig(f"{file} holds a value that YAML cannot read ({error})", "put it between quotes") from error
    if not isinstance(data, dict):
        raise BadConfig(f"{file} holds no settings", "write some with: luthier init")
    try:
        return Opened(Project.model_validate(data), file.parent.resolve())
    except ValidationError as error:
        raise refusal(file, node, error) from error


def refusal(file: Path, node: yaml.Node | None, error: ValidationError) -> LuthierError:
    """One problem as a person wants to read it: a wrong name first, since it is why the right one is missing."""
    problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    location: Location = problem["loc"]
    if problem["type"] not in ("extra_forbidden", "missing"):
        location = written(node, location)
    where = f"{file}:{line_of(node, location)}"
    name = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = fields_at(location[:-1])
        near = get_close_matches(str(location[-1]), known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
        return UnknownName(f"{where}: no setting is called {name!r}", mend)
    if problem["type"] == "missing":
        return BadConfig(f"{where}: {name} is missing", "add it; `luthier init` writes a commented example")
    return BadConfig(f"{where}: {name} is wrong ({problem['msg']})", "see `luthier init --schema` for what is allowed")


def written(node: yaml.Node | None, location: Location) -> Location:
    """`location` as far as it stands in the file: pydantic adds the name of the type that it tried."""
    for depth, part in enumerate(location):
        below = child(node, part)
        if below is None:
            return location[:depth]
        node = below[1]
    return location


def line_of(node: yaml.Node | None, location: Sequence[str | int]) -> int:
    """The line (from 1) that `location` stands on, or that of the nearest thing above it."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        below = child(node, part)
        if below is None:
            return line
        line, node = below
    return line


def child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """What stands in `node` under `part`, and its line; of two equal keys the last, which is the one that counts."""
    if isinstance(node, yaml.MappingNode):
        found = [(key.start_mark.line + 1, value) for key, value in node.value if key.value == str(part)]
        return found[-1] if found else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def fields_at(location: Sequence[str | int]) -> list[str]:
    """The settings that may stand at `location`."""
    model: type[BaseModel] = Project
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = next(iter(models_in(model.model_fields[part].annotation)), None)
            model = inner or model
    return list(model.model_fields)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models named in a type such as `tuple[SourceSpec, ...]` or `LoraSpec | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in models_in(inner)]
