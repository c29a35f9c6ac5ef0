"""Marks by a model of our own that learnt from preferences: the score of its head at the answer's end.

Takes a ModelVersion of the ledger or the folder of one: a PEFT adapter with its head, or a whole model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.errors import BadConfig, BadData
from luthier.records.base import Value
from luthier.records.data import Message
from luthier.records.training import ModelVersion
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, understood


class RewardModel(Value):
    """Which model marks."""

    name: str = ""
    """What people call it."""
    model: str
    """Id of a model that was trained with method `reward`, or the folder of its files."""
    base: str = ""
    """The base below an adapter in a folder; the ledger knows it of its own models."""
    at_once: int = 16
    """Dialogues that go through it together."""


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """The score of each answer behind its prompt."""
    from luthier.lm.chat import Chat
    from luthier.lm.pull import local
    from luthier.lm.scored import score

    given = understood(RewardModel, spec, "reward_model")
    folder, base = found(given, folders)
    model = read(folder, base)
    chat = Chat.load(local(base) if base else folder)
    window = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)

    def ids(sample: Sample) -> list[int] | str:
        try:
            whole = chat.training_ids((*sample.prompt, Message(role="assistant", content=sample.answer))).ids
        except BadData as error:
            return error.what
        return whole if len(whole) <= window else f"the dialogue has {len(whole)} tokens, the model takes {window}"

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        made = [ids(sample) for sample in samples]
        grades = [Grade(0.0, each if isinstance(each, str) else "") for each in made]
        texts = sorted(
            ((n, each) for n, each in enumerate(made) if isinstance(each, list)), key=lambda pair: len(pair[1])
        )
        for start in range(0, len(texts), given.at_once):
            some = texts[start : start + given.at_once]
            for (n, _), number in zip(some, score(model, [text for _, text in some]), strict=True):
                grades[n] = Grade(number) if math.isfinite(number) else Grade(0.0, f"the score is {number}")
        return grades

    return grade


def found(given: RewardModel, folders: Folders) -> tuple[Path, str]:
    """The folder of the model's files, and its base (empty for a whole model). Raises UnknownName or BadConfig."""
    from luthier.store.workspace import Workspace

    there = Path(given.model).expanduser()
    if there.is_dir():
        adapter = (there / "adapter_config.json").is_file()
        if adapter and not given.base:
            raise BadConfig(f"{there} is an adapter, and nothing says of which base", "say base: NAME in the grader")
        return there, given.base if adapter else ""
    if folders.workspace is None:
        raise BadConfig(f"there is no folder {there}", "give the folder of a model trained with method reward")
    there = folders.run / given.model
    with Workspace.open(folders.workspace) as workspace:
        version = workspace.ledger.get(given.model, ModelVersion)
        for name, digest in version.files.items():
            if not (there / name).is_file():
                workspace.blobs.fetch(digest, there / name)
    return there, version.base if "adapter_config.json" in version.files else ""


def read(folder: Path, base: str) -> Any:
    """The scoring model in eval mode, with its adapter where it has one. Raises BadConfig where it has no head."""
    from luthier.lm.pull import local
    from luthier.lm.scored import load_scored

    if not base:
        return load_scored(folder)
    from peft import PeftModel

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("task_type") != "SEQ_CLS":
        raise BadConfig(f"{folder} is an adapter that speaks, not one that scores", "train one with method: reward")
    return PeftModel.from_pretrained(load_scored(local(base)), str(folder)).eval()
