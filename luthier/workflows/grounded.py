"""Dialogues + documents → training rows that carry retrieved passages exactly as the gateway renders them.

A small model knows nothing about the company, but it can learn to read: each question is searched for as it will be
when served, the answer keeps its words and cites the passage that carries it. Some rows lose the right passage and
are answered with the policy's own sentence for "I could not find this", so that the model learns when not to answer.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from luthier.data.dedupe import Said, row_id
from luthier.errors import BadData, Missing
from luthier.gateway.policy_file import read_policy
from luthier.lm import grounding
from luthier.lm.sentences import sentences
from luthier.records.base import Parent, sha256
from luthier.records.data import DatasetVersion, Message, Row
from luthier.records.knowledge import IndexVersion, Passage
from luthier.store import erasure
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
    erasure.require_whole(session.workspace.ledger, dialogues)
    blobs = session.workspace.blobs
    part = session.project.training
    turns = answers([Row.model_validate(line) for line in blobs.lines(dialogues.rows)], part.seed)
    most = part.most_rows or len(turns)
    openings = Openings(turns)
    rows: dict[str, Row] = {}
    made: dict[str, list[str]] = defaultdict(list)
    trained = 0
    for done, (dialogue, at) in enumerate(turns, start=1):
        if (dialogue.split == "train" and trained == most) or openings.used(dialogue, at):
            continue
        lesson = one_turn(session, dialogue, at, search, abstain)
        if lesson and lesson.row.id not in rows:
            row, others = openings.follow(lesson, dialogue, part.questions_per_row - 1)
            rows[row.id] = row
            for one in (dialogue, *others):
                made[one.id].append(row.id)
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
    spoken = (before.role, turn.role) == ("user", "assistant") and bool(turn.content)
    return spoken and turn.weight != 0 and dialogue.good is not False


class Lesson(NamedTuple):
    """A training row and the passages in its prompt; none where it teaches to abstain."""

    row: Row
    passages: Sequence[Passage] = ()


class Openings:
    """First questions of dialogues and their answers, waiting to follow another one about the same passages.

    A prompt with its passages is ten times as long as the answer that is learnt from it. Further questions that the
    same passages answer cost little more than their own words.
    """

    def __init__(self, turns: Sequence[tuple[Row, int]]) -> None:
        self.waiting: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
        for dialogue, at in turns:
            if opens(dialogue, at):
                self.waiting[key_of(dialogue)][dialogue.id] = dialogue
        self.taken: set[str] = set()

    def used(self, dialogue: Row, at: int) -> bool:
        """Whether this turn follows another one already."""
        return dialogue.id in self.taken and opens(dialogue, at)

    def follow(self, lesson: Lesson, dialogue: Row, most: int) -> tuple[Row, list[Row]]:
        """The row with up to `most` further questions that its passages answer, and whose dialogues these open."""
        messages = list(lesson.row.messages)
        others: list[Row] = []
        pile = self.waiting[key_of(dialogue)]
        pile.pop(dialogue.id, None)
        for other in list(pile.values()) if lesson.passages else ():
            if len(others) == most:
                break
            question, answer = opening(other)
            if cited := fully_cited(answer, lesson.passages):
                messages += [Message(role="user", content=f"Question: {question}")]
                messages += [Message(role="assistant", content=cited)]
                others.append(pile.pop(other.id))
        self.taken |= {other.id for other in others}
        if not others:
            return lesson.row, others
        metadata = lesson.row.metadata | {"also": ",".join(other.id for other in others)}
        return lesson.row.model_copy(update=renamed(tuple(messages)) | {"metadata": metadata}), others


def opens(dialogue: Row, at: int) -> bool:
    """Whether the turn at `at` answers the first question, and documents are known to carry it."""
    return all(m.role == "system" for m in dialogue.messages[: at - 1]) and bool(dialogue.metadata.get("documents"))


def opening(dialogue: Row) -> tuple[str, str]:
    """The first question of a dialogue and its answer."""
    at = next(n for n, message in enumerate(dialogue.messages) if message.role == "assistant")
    return dialogue.messages[at - 1].content, dialogue.messages[at].content


def key_of(dialogue: Row) -> tuple[str, ...]:
    """What has to be equal for two questions to stand in one row."""
    return dialogue.split, dialogue.language, dialogue.metadata.get("documents", "")


def renamed(messages: tuple[Message, ...]) -> dict[str, Any]:
    """The fields of a row that says `messages`."""
    return {"id": row_id(Said(messages)), "messages": messages}


def fully_cited(answer: str, passages: Sequence[Passage]) -> str:
    """`answer` with its citations, or "" where one of its claims is carried by none of the passages."""
    answer = grounding.with_citations(answer, passages)
    cited = grounding.cite(answer, passages)
    return answer if cited and all(citation.verified for citation in cited) else ""


def one_turn(session: Session, dialogue: Row, at: int, search: Search, abstain: dict[str, str]) -> Lesson | None:
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
        answer = fully_cited(answer, passages)
        if not answer:
            return None
    # Earlier answers are context: their own passages are not in this prompt, so they could only be learnt by heart.
    history = [m.model_copy(update={"weight": 0}) for m in dialogue.messages[: at - 1] if m.role != "system"]
    if draw.random() < ALONE:
        history = []
    asked = [*history, Message(role="user", content=question)]
    prompt = grounding.compose(asked, passages, project.serving.instructions)
    messages = (*prompt, Message(role="assistant", content=answer))
    return Lesson(dialogue.model_copy(update=renamed(messages)), () if answer == sentence else passages)


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


def newest_grounded(session: Session, engine_url: str) -> DatasetVersion:
    """The project's newest dialogues, grounded in its newest index."""
    dialogues, index = data.latest(session), newest_index(session)
    if dialogues is None:
        raise Missing("there is no dataset yet", "build one first: luthier data build")
    search = knowledge.searcher(session, index, engine_url)
    abstain = read_policy(session.root / session.project.serving.policy).messages["abstain"]
    return ground(session, dialogues, index, search, abstain)
