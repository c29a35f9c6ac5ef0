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
        raise BadConfig(f"{where} is not YAML ({getattr(error, 'problem', error)})", "mend that line") from error
    try:
        return Opened(Project.model_validate(data), file.parent.resolve())
    except ValidationError as error:
        raise refusal(file, node, error) from error


def refusal(file: Path, node: yaml.Node | None, error: ValidationError) -> LuthierError:
    """The first problem that pydantic saw, as a person wants to read it."""
    problem = error.errors()[0]
    location: Location = problem["loc"]
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


def line_of(node: yaml.Node | None, location: Sequence[str | int]) -> int:
    """The line (from 1) that `location` stands on, or that of the nearest thing above it."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


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
