"""Dialogues + documents → training rows that carry retrieved passages exactly as the gateway renders them.

A small model knows nothing about the company, but it can learn to read: each question is searched for as it will be
when served, the answer keeps its words and cites the passage that carries it. Some rows lose the right passage and
are answered with the policy's own sentence for "I could not find this", so that the model learns when not to answer.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from luthier.errors import BadData, Missing
from luthier.gateway.policy_file import read_policy
from luthier.lm import grounding
from luthier.lm.sentences import sentences
from luthier.records.base import Parent, canonical, sha256
from luthier.records.data import DatasetVersion, Message, Row
from luthier.records.knowledge import IndexVersion, Passage
from luthier.workflows import data, knowledge
from luthier.workflows.release import newest_index
from luthier.workflows.session import Session

Search = Callable[[str, int, str], list[Passage]]
"""(question, how many, language) → passages that a public caller may see, best first."""

ROLE = "scrubbed dialogues"
ALONE = 0.75
"""Share of the rows that come without the turns before: most questions are the first of their dialogue."""


def ground(
    session: Session, dialogues: DatasetVersion, index: IndexVersion, search: Search, abstain: dict[str, str]
) -> DatasetVersion:
    """The rows of `dialogues`, one for each assistant turn, with passages of `index`.

    `abstain` has the policy's sentence for questions that the documents do not answer, by language.
    Raises BadData where no answer could be grounded.
    """
    blobs = session.workspace.blobs
    turns = answers([Row.model_validate(line) for line in blobs.lines(dialogues.rows)], session.project.training.seed)
    most = session.project.training.most_rows or len(turns)
    rows: dict[str, Row] = {}
    made: dict[str, list[str]] = defaultdict(list)
    trained = 0
    for done, (dialogue, at) in enumerate(turns, start=1):
        if dialogue.split == "train" and trained == most:
            continue
        row = one_turn(session, dialogue, at, search, abstain)
        if row and row.id not in rows:
            rows[row.id] = row
            made[dialogue.id].append(row.id)
            trained += row.split == "train"
        session.progress("ground", done, len(turns))
    session.progress("ground", len(turns), len(turns))
    if not trained:
        raise BadData(
            "no answer of the dialogues is carried by a passage of the documents",
            "check that the dialogues speak about these documents, or train without knowledge",
        )
    version = DatasetVersion(
        name=f"{dialogues.name}-grounded",
        rows=blobs.put_lines(row.body() for row in rows.values()),
        sources=dialogues.sources,
        counts=dict(Counter(row.split for row in rows.values())),
        languages=dict(Counter(row.language for row in rows.values())),
        personal=dialogues.personal,
        subjects=blobs.put_lines(followed(blobs.lines(dialogues.subjects), made)) if dialogues.subjects else None,
        made_from=(Parent(ROLE, dialogues.id), Parent("passages", index.id)),
        seed=session.project.training.seed,
        builder=dialogues.builder,
    )
    session.workspace.ledger.put(version, session.by)
    return version


def followed(subjects: Iterable[dict[str, Any]], made: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Who is spoken of in which rows: `subjects` of dialogues, these replaced by the rows that were `made` of them."""
    for subject in subjects:
        if rows := [row for dialogue in subject["rows"] for row in made.get(dialogue, ())]:
            yield {"key": subject["key"], "rows": sorted(rows)}


def answers(dialogues: Sequence[Row], seed: int) -> list[tuple[Row, int]]:
    """Every assistant turn (dialogue, place), in an order drawn by a keyed hash.

    A limit on the rows then takes a fair sample, and rows that are added elsewhere do not change it.
    """
    found = [(d, at) for d in dialogues for at in range(1, len(d.messages)) if is_answer(d, at)]
    return sorted(found, key=lambda turn: sha256(f"{seed}/{turn[0].id}/{turn[1]}".encode()))


def is_answer(dialogue: Row, at: int) -> bool:
    """Whether the turn at `at` says something to a user, and is to be learnt."""
    before, turn = dialogue.messages[at - 1], dialogue.messages[at]
    return (before.role, turn.role) == ("user", "assistant") and bool(turn.content) and turn.weight != 0


def one_turn(session: Session, dialogue: Row, at: int, search: Search, abstain: dict[str, str]) -> Row | None:
    """The turn at `at` with passages, or None where no passage carries its answer."""
    project = session.project
    count = project.knowledge.passages
    draw = random.Random(f"{project.training.seed}/{dialogue.id}/{at}")
    question = dialogue.messages[at - 1].content
    answer = dialogue.messages[at].content
    sentence = abstain.get(dialogue.language) or next(iter(abstain.values()))
    found = search(question, count + 4, dialogue.language)
    named = dialogue.metadata.get("documents")
    if named is None:  # nobody said which documents answer it: those that carry the answer do
        documents = {p.document for p in found if carries(p, answer)}
    else:
        documents = {name for name in named.split(",") if name}
    if named is not None and not documents:  # a question that the documents do not answer
        passages, answer = found[:count], sentence
    elif draw.random() < project.training.unanswerable:
        passages, answer = [p for p in found if p.document not in documents][:count], sentence
    else:
        passages = shuffled_in(found, count, answer, documents, draw)
        answer = grounding.with_citations(answer, passages)
        cited = grounding.cite(answer, passages)
        if not cited or not all(citation.verified for citation in cited):
            return None
    # Earlier answers are context: their own passages are not in this prompt, so they could only be learnt by heart.
    history = [m.model_copy(update={"weight": 0}) for m in dialogue.messages[: at - 1] if m.role != "system"]
    if draw.random() < ALONE:
        history = []
    asked = [*history, Message(role="user", content=question)]
    prompt = grounding.compose(asked, passages, project.serving.instructions)
    messages = (*prompt, Message(role="assistant", content=answer))
    return dialogue.model_copy(update={"id": row_id(messages), "messages": messages})


def shuffled_in(
    found: Sequence[Passage], count: int, answer: str, documents: set[str], draw: random.Random
) -> list[Passage]:
    """The best `count` passages in any order. One that carries the answer and was missed narrowly takes a place."""
    carrying = [p for p in found if p.document in documents and carries(p, answer)]
    passages = list(found[:count])
    if carrying and not any(p in passages for p in carrying):
        passages[draw.randrange(len(passages))] = carrying[0]
    draw.shuffle(passages)
    return passages


def carries(passage: Passage, answer: str) -> bool:
    """Whether the passage supports at least one sentence of the answer."""
    return any(grounding.support(sentence.text, passage) for sentence in sentences(answer))


def row_id(messages: Sequence[Message]) -> str:
    """The row's name: sha256 of its messages, first 16 letters."""
    return sha256(canonical([message.model_dump(mode="json", exclude_defaults=True) for message in messages]))[:16]


def newest_grounded(session: Session, engine_url: str) -> DatasetVersion:
    """The project's newest dialogues, grounded in its newest index."""
    dialogues, index = data.latest(session), newest_index(session)
    if dialogues is None:
        raise Missing("there is no dataset yet", "build one first: luthier data build")
    search = knowledge.searcher(session, index, engine_url)
    abstain = read_policy(session.root / session.project.serving.policy).messages["abstain"]
    return ground(session, dialogues, index, search, abstain)
