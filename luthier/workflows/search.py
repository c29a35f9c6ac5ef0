"""Search over a recipe's fields: Optuna proposes, every trial is a run of its own, the worse ones end early.

The study is a journal file in the workspace, and a trial notes its run before it begins. So a search that was killed
asks the journal what is open, goes on with that run from its newest checkpoint, and then with the trials that are
left; each trial draws with a seed of its own, so what is proposed does not depend on where the search was cut.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError, model_validator

from luthier.errors import BadConfig, LuthierError, Missing, RunFailed, as_dict
from luthier.records.base import Value, canonical, sha256
from luthier.records.training import ModelVersion, Recipe
from luthier.workflows import training
from luthier.workflows.session import Session

if TYPE_CHECKING:
    import optuna

SCALE = 100
"""Places along a run at which trials are compared: hundredths, since runs have unequal numbers of steps."""


class Dimension(Value):
    """What one field may be: one of `choices`, or a number between `low` and `high`."""

    choices: tuple[Any, ...] = ()
    """Values to choose from."""
    low: float | int | None = None
    """Smallest number; whole where both ends are."""
    high: float | int | None = None
    """Largest number."""
    log: bool = False
    """Draw the number's logarithm evenly: for rates."""

    @model_validator(mode="after")
    def one_kind(self) -> Dimension:
        """Either a list or a range."""
        ranged = self.low is not None and self.high is not None
        if bool(self.choices) == ranged or (ranged and not self.low < self.high):  # type: ignore[operator]
            raise ValueError("give `choices`, or `low` and a larger `high`")
        return self


class Space(Value):
    """What is searched, and how."""

    fields: dict[str, Dimension] = Field(min_length=1)
    """Fields of a recipe by name, with dots for inner ones, such as `learning_rate` or `lora.rank`."""
    trials: int = Field(default=12, ge=1)
    """Runs in all."""
    measure: str = "validation_loss"
    """A figure of the finished model."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Whether less or more of it is better."""
    warm: float = Field(default=0.2, ge=0, le=1)
    """Share of a run before which it is not ended early."""
    startup: int = Field(default=3, ge=1)
    """Finished trials before any is ended early."""
    seed: int = 0
    """Fixes what is proposed."""
    recipe: str | None = None
    """A recipe's file to begin with; none: the project's."""


class Trial(NamedTuple):
    """How one trial ended."""

    number: int
    run: str
    fields: dict[str, Any]
    state: str
    value: float | None


class Best(NamedTuple):
    """What a search found."""

    recipe: Recipe
    run: str
    value: float
    trials: tuple[Trial, ...]


def read_space(path: Path) -> Space:
    """The search that a YAML file asks for. Raises BadConfig."""
    try:
        return Space.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise BadConfig(
            f"{path} asks for no search ({said})", "give `fields`, each with choices, or low and high"
        ) from error


def search(session: Session, space: Space, asked: Recipe, dataset: str, live: training.Live) -> Best:
    """Run every trial that is not behind us. Raises RunFailed where none came to its end."""
    study = opened(session, space, asked, dataset)
    for trial in open_trials(study, space):
        session.progress("search", trial.number, space.trials)
        attempt(session, study, trial, space, asked, dataset, live)
    session.progress("search", space.trials, space.trials)
    trials = tuple(as_trial(each) for each in study.get_trials(deepcopy=False))
    done = [each for each in trials if each.value is not None and each.state == "complete"]
    if not done:
        raise RunFailed(
            f"none of {len(trials)} trials came to its end", "look at their errors: luthier jobs, or the log"
        )
    best = (min if space.direction == "minimize" else max)(done, key=lambda each: float(each.value or 0.0))
    return Best(with_fields(asked, best.fields), best.run, float(best.value or 0.0), trials)


def opened(session: Session, space: Space, asked: Recipe, dataset: str) -> optuna.Study:
    """The study of exactly this search: what would compare unlike things has another name."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise Missing("optuna is not installed", "install it with: pip install 'luthier[search]'") from error
    optuna.logging.set_verbosity(logging.ERROR)
    folder = session.workspace.folder / "searches"
    folder.mkdir(exist_ok=True)
    own = space.model_dump(mode="json", exclude={"trials"})  # more trials go on with the same search
    name = sha256(canonical([own, asked.body(), dataset]))[:16]
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / f"{name}.log"))),
        study_name=name,
        direction=space.direction,
        pruner=optuna.pruners.MedianPruner(space.startup, n_warmup_steps=round(space.warm * SCALE)),
        load_if_exists=True,
    )


def open_trials(study: optuna.Study, space: Space) -> Any:
    """Trials that were cut off, then new ones until there are as many as asked for."""
    import optuna

    for frozen in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        yield optuna.trial.Trial(study, frozen._trial_id)
    while (number := len(study.get_trials(deepcopy=False))) < space.trials:
        study.sampler = optuna.samplers.TPESampler(seed=space.seed + number, n_startup_trials=max(3, space.trials // 4))
        yield study.ask()


def attempt(
    session: Session,
    study: optuna.Study,
    trial: optuna.Trial,
    space: Space,
    asked: Recipe,
    dataset: str,
    live: training.Live,
) -> None:
    """Run one trial to its end, or to where it is clear that others do better."""
    from optuna.trial import TrialState

    fields = propose(trial, space)
    run = trial.user_attrs.get("run") or training.new_run_id()
    trial.set_user_attr("run", run)  # noted before it begins: whoever goes on finds it
    trial.set_user_attr("fields", fields)
    live.say(f"trial {trial.number}: {', '.join(f'{name} {value}' for name, value in fields.items())} ({run})")

    def worse(lines: Sequence[training.Line], looks: Sequence[training.Line]) -> bool:
        told = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for place, value in progress_of(lines, looks, space):
            if place not in told:
                trial.report(value, place)
        return bool(trial.should_prune())

    try:
        recipe = with_fields(asked, fields)
        own = live._replace(halt=worse, trackers=training.trackers(session, run, ()))
        model = training.train_or_halt(session, run, dataset, recipe, own)
    except LuthierError as error:
        trial.set_user_attr("error", as_dict(error))
        study.tell(trial.number, state=TrialState.FAIL)
        live.say(f"trial {trial.number} failed: {error}")
        return
    if model is None:
        session.workspace.ledger.tell(run, "pruned", {"trial": trial.number, "search": study.study_name}, session.by)
        study.tell(trial.number, state=TrialState.PRUNED)
        live.say(f"trial {trial.number} ended early: others did better by then")
        return
    study.tell(trial.number, measured(model, space))


def progress_of(
    lines: Sequence[training.Line], looks: Sequence[training.Line], space: Space
) -> list[tuple[int, float]]:
    """How well a run does, by hundredths of its way: at its looks where it has any, else by its training loss."""
    if not lines:
        return []
    whole = lines[-1]["of"]
    if looks and space.direction == "maximize":
        return [(round(SCALE * look["step"] / whole), look["mean"]) for look in looks]
    if looks:
        return [(round(SCALE * each["step"] / whole), each["loss"]["loss"]) for each in looks if each["loss"]]
    sign = 1.0 if space.direction == "minimize" else -1.0
    recent = training.RECENT
    placed: dict[int, float] = {}
    for at, line in enumerate(lines):
        few = lines[max(0, at + 1 - recent) : at + 1]
        place = SCALE * int(line["step"]) // int(whole) // 5 * 5
        placed[place] = sign * sum(each["loss"] for each in few) / len(few)
    return sorted(placed.items())[:-1]  # the last one is not complete yet


def measured(model: ModelVersion, space: Space) -> float:
    """The figure that the search is after. Raises BadConfig where the model has none of that name."""
    value = model.figures.get(space.measure)
    if value is None or not isfinite(value):
        raise BadConfig(f"the model has no figure {space.measure!r}", f"it has: {', '.join(model.figures)}")
    return value


def propose(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """A value for each field; those of a trial that was cut off are what they were."""
    drawn: dict[str, Any] = {}
    for name, dimension in space.fields.items():
        low, high = dimension.low, dimension.high
        if low is None or high is None:
            drawn[name] = trial.suggest_categorical(name, dimension.choices)
        elif isinstance(low, int) and isinstance(high, int):
            drawn[name] = trial.suggest_int(name, low, high, log=dimension.log)
        else:
            drawn[name] = trial.suggest_float(name, low, high, log=dimension.log)
    return drawn


def with_fields(recipe: Recipe, fields: dict[str, Any]) -> Recipe:
    """`recipe` with some fields set, inner ones by their dotted names. Raises BadConfig where that is no recipe."""
    data = recipe.model_dump(mode="json")
    for name, value in fields.items():
        *path, last = name.split(".")
        part = data
        for step in path:
            inner = dict(part.get(step) or {})
            part[step] = inner
            part = inner
        part[last] = value
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadConfig(f"the search sets {where}: {first['msg']}", "mend `fields` in the search's file") from error


def as_trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    """A trial as Optuna keeps it, in our words."""
    attrs = frozen.user_attrs
    value = frozen.value if frozen.state.name == "COMPLETE" else None
    return Trial(frozen.number, attrs.get("run", ""), attrs.get("fields", {}), frozen.state.name.lower(), value)
