"""What annotators' labels come to: settled by an event, worked out anew for each build. Knows no file and no tool.

The event names the set of labels and how to decide; what was decided is stored nowhere, so whoever is forgotten takes
their labels along.
"""

from __future__ import annotations

from collections.abc import Sequence

from luthier.data.labels import Settled, settle
from luthier.data.settled import SettledLabels
from luthier.errors import BadConfig, Missing
from luthier.records.base import Parent
from luthier.records.labels import Label, LabelSchema, LabelSet
from luthier.store import erasure
from luthier.store.ledger import Event, Ledger
from luthier.workflows.session import Session

ALL = 1_000_000
SETTLED = "settled"


def schema_of(ledger: Ledger, name: str | None = None) -> LabelSchema:
    """The newest schema of that name, or that of an id; else the only one there is. Raises BadConfig, Missing."""
    if name and name.startswith(f"{LabelSchema.kind}-"):
        return ledger.get(name, LabelSchema)
    every = [schema for schema in ledger.ls(LabelSchema.kind, ALL) if isinstance(schema, LabelSchema)]
    names = sorted({schema.name for schema in every})
    if not every:
        raise Missing("there is no labelling schema yet", "write one and put it in: luthier data labels schema FILE")
    if name is None and len(names) > 1:
        raise BadConfig("there are several labelling schemas", f"name one with --schema: {', '.join(names)}")
    found = next((schema for schema in every if name in (None, schema.name)), None)
    if found is None:
        raise BadConfig(f"no labelling schema is called {name!r}", f"there are: {', '.join(names)}")
    return found


def newest(ledger: Ledger, schema: LabelSchema) -> LabelSet | None:
    """The newest set of labels under a schema: it holds all that were given."""
    sets = (each for each in ledger.ls(LabelSet.kind, ALL) if isinstance(each, LabelSet))
    return next((each for each in sets if each.schema_id == schema.id), None)


def labels_of(session: Session, labels: LabelSet | None) -> list[Label]:
    """The labels of a set, as far as they are left."""
    if labels is None:
        return []
    left = erasure.left_of(session.workspace.ledger, labels)
    return [Label.model_validate(line) for line in session.workspace.blobs.lines(left.labels)]


def required(session: Session, schema: LabelSchema) -> LabelSet:
    """The newest set of labels under a schema. Raises Missing."""
    labels = newest(session.workspace.ledger, schema)
    if labels is None:
        raise Missing(
            f"nobody has labelled under {schema.name!r} yet", "export tasks, then: luthier data labels import"
        )
    return labels


def decide(
    session: Session, schema: LabelSchema, *, at_least: int = 1, adjudicators: Sequence[str] = ()
) -> list[Settled]:
    """Settle the labels under a schema: from now on they are the rows' labels in every build.

    Raises Missing where there is none, BadConfig for an adjudicator who has said nothing.
    """
    labels = required(session, schema)
    said = labels_of(session, labels)
    unknown = sorted(set(adjudicators) - {label.by for label in said})
    if unknown:
        there = ", ".join(labels.annotators) or "nobody"
        raise BadConfig(f"{unknown[0]!r} has labelled nothing under {schema.name!r}", f"there are: {there}")
    settled = settle(said, schema, adjudicators=adjudicators, at_least=at_least)
    told = {"at_least": at_least, "adjudicators": sorted(adjudicators)}
    before = session.workspace.ledger.events(labels.id, SETTLED)
    if not before or before[-1].body != told:
        session.workspace.ledger.tell(labels.id, SETTLED, told, session.by)
    return settled


def adjudicators_of(event: Event) -> tuple[str, ...]:
    """Whose word stands, by the event that settled labels."""
    return tuple(event.body["adjudicators"])


def settled_labels(session: Session) -> SettledLabels:
    """What was settled under every schema, the latest last: what a build applies to its rows."""
    ledger = session.workspace.ledger
    standing: dict[str, Event] = {}
    sets = {each.id: each for each in ledger.ls(LabelSet.kind, ALL) if isinstance(each, LabelSet)}
    for event in ledger.events(verb=SETTLED):
        if event.subject in sets:
            schema_id = sets[event.subject].schema_id
            standing.pop(schema_id, None)  # settled anew, it comes last
            standing[schema_id] = event
    found = []
    for schema_id, event in standing.items():
        schema = ledger.get(schema_id, LabelSchema)
        said = labels_of(session, sets[event.subject])
        settled = settle(said, schema, adjudicators=adjudicators_of(event), at_least=event.body["at_least"])
        found.append((schema, settled))
    return SettledLabels(found, tuple(Parent("labels", event.subject) for event in standing.values()))
