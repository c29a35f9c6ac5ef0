"""Ready checks for people who write extensions: call one from a test of your own; it raises AssertionError.

    from luthier.testing import check_scorer

    def test_my_scorer() -> None:
        check_scorer(my_scorer)

Each check holds an extension to what the rooms rely on, with inputs that real data brings sooner or later.
Knows no particular extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from luthier.data.quality import Detector
from luthier.data.raw import Raw, Refused
from luthier.data.scrub import Scrubber
from luthier.errors import LuthierError
from luthier.evaluation.scorers import Answered, Scorer
from luthier.records.data import Message, Row
from luthier.records.evaluation import Question
from luthier.records.knowledge import Citation
from luthier.records.training import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from luthier.lm.chat import Chat
    from luthier.training.graders.grader import Grader
    from luthier.training.method import Item, Method

NEVER_TEXT = {
    "empty": b"",
    "blank lines": b"\n\r\n\n",
    "binary": bytes(range(256)) * 64,
    "broken": b'{"messages": [{"role": "user"\n"a,b\n{}\n[]\nnull\n',
    "not UTF-8": b"\xff\xfe\xe9\n",
    "no end": b"x" * 100_000,
}
QUESTIONS = (
    Question(id="q1", question="What does a card cost?", facts=("8 EUR",), document="fees", reference="8 EUR"),
    Question(id="q2", question="Which shares shall I buy?", expect="refuse", forbidden=("buy",)),
    Question(id="q3", question="Who wins the cup?", expect="abstain"),
    Question(id="q4", question="I want a person.", expect="escalate", language="de"),
    Question(id="q5", question=""),
)
CITED = Citation(
    marker=1,
    claim="8 EUR",
    document="fees",
    title="Fees",
    digest="0" * 64,
    start=0,
    end=5,
    quote="8 EUR",
    verified=True,
)
ANSWERS = (
    Answered("8 EUR [1].", citations=(CITED,)),
    Answered("You should buy.", "refused"),
    Answered("", "abstained"),
    Answered("\N{NO-BREAK SPACE}\u202e%s{}\\", "escalated"),
    Answered("word " * 5_000),
)
DIALOGUE = (
    "Hello, my name is Maria Keller. Write to maria.keller@example.com, please.",
    "Thank you, Maria Keller. Is DE89 3704 0044 0532 0130 00 your account?",
    "",
    "Yes. And maria.keller@example.com is right too.",
)
PLANTED = ("maria.keller@example.com", "DE89 3704 0044 0532 0130 00")


class Source(Protocol):
    """An extension of kind `source`: a file and a mapping in, one dialogue or refusal a line out."""

    def __call__(self, path: Path, mapping: Mapping[str, str], /) -> Iterator[Raw | Refused]: ...


def check_source(read: Source, good: Path, mapping: Mapping[str, str] | None = None) -> list[Raw]:
    """Hold a reader to its contract on `good`, a file of its format with at least one dialogue. Returns its dialogues.

    A bad line is refused by number and never ends the reading; a file that makes no sense at all may raise a
    LuthierError with a mend, and nothing else.
    """
    mapping = mapping or {}
    items = list(read(good, mapping))
    dialogues = [item for item in items if isinstance(item, Raw)]
    assert dialogues, f"no dialogue was read from {good}"
    assert items == list(read(good, mapping)), "the same file was read differently the second time"
    check_lines(items)
    for raw in dialogues:
        turns = [message.role for message in raw.messages]
        assert "assistant" in turns, f"line {raw.line}: a dialogue without an assistant turn has to be refused"
    with TemporaryDirectory() as folder:
        for what, data in NEVER_TEXT.items():
            path = Path(folder) / f"bad{good.suffix}"
            path.write_bytes(data)
            check_lines(read_or_refuse(read, path, mapping, what))
        read_or_refuse(read, Path(folder) / f"absent{good.suffix}", mapping, "absent", must_raise=True)
    return dialogues


def check_lines(items: Sequence[Raw | Refused]) -> None:
    """Every item names its line, no line comes twice, and a refusal says why."""
    lines = [item.line for item in items]
    assert all(line >= 1 for line in lines), "lines are counted from 1, as editors do"
    assert len(set(lines)) == len(lines), "one line gave two items"
    for item in items:
        assert isinstance(item, Raw) or item.reason.strip(), f"line {item.line} was refused without a reason"


def read_or_refuse(
    read: Source, path: Path, mapping: Mapping[str, str], what: str, *, must_raise: bool = False
) -> list[Raw | Refused]:
    """What is read from a bad file; a LuthierError with a mend counts as nothing read."""
    try:
        items = list(read(path, mapping))
    except LuthierError as error:
        told(error, what)
        return []
    assert not must_raise, f"a file that is {what} has to raise BadData"
    assert not any(isinstance(item, Raw) for item in items), f"a dialogue was read from a file that is {what}"
    return items


def told(error: LuthierError, what: str) -> None:
    """An error says what happened and how to mend it."""
    assert error.what, f"a file that is {what}: the error does not say what happened"
    assert error.mend, f"a file that is {what}: the error does not say how to mend it"


def check_scrubber(scrubber: Scrubber) -> None:
    """Hold a scrubber to its contract: nothing planted survives, one placeholder for one value, twice is once."""
    scrubbed = scrubber.dialogue(DIALOGUE, "en")
    assert len(scrubbed) == len(DIALOGUE), "one text in has to be one text out"
    texts = [each.text for each in scrubbed]
    for value in PLANTED:
        assert not any(value in text for text in texts), f"{value!r} was left in: {texts}"
    assert texts[2] == "", "an empty text has to stay empty"
    for text, each in zip(DIALOGUE, scrubbed, strict=True):
        for found in each.found:
            assert text[found.start : found.end] == found.text, f"{found} does not stand at its offsets"
            assert f"<{found.type}_" in each.text, f"{found.type} was found, and no <{found.type}_n> stands in the text"
    again = [each.text for each in scrubber.dialogue(texts, "en")]
    assert again == texts, f"scrubbing twice has to be scrubbing once: {texts} became {again}"
    first, last = scrubbed[0], scrubbed[3]
    emails = [{word.strip(".,") for word in each.text.split() if "EMAIL" in word} for each in (first, last)]
    assert emails[0] == emails[1], f"one address got two placeholders in one dialogue: {emails}"
    assert scrubber.dialogue((), "en") == [], "no texts in have to be no texts out"


def check_scorer(scorer: Scorer) -> None:
    """Hold a scorer to its contract: None or a share of 1 for any question and answer, the same every time."""
    for question in QUESTIONS:
        for answer in ANSWERS:
            score = scorer(question, answer)
            where = f"question {question.id}, answer {answer.text[:20]!r}: {score!r}"
            if score is None:
                continue
            assert isinstance(score, float), f"{where} is no float"
            assert not isnan(score), f"{where}; None says that a scorer does not apply"
            assert 0 <= score <= 1, f"{where} lies outside 0 to 1"
            assert scorer(question, answer) == score, f"{where} was another score the second time"
    applies = any(scorer(question, answer) is not None for question in QUESTIONS for answer in ANSWERS)
    assert applies, "the scorer applies to none of the questions of this check"


ROWS = tuple(
    Row(
        id=f"row-{number}",
        split="train",
        source="check",
        line=number,
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
    )
    for number, (question, answer) in enumerate(
        [("What does a card cost?", "8 EUR [1]."), ("Hi", "Hello. How can I help?"), ("Bye " * 9, "Bye.")], start=1
    )
)

PREFERENCES = tuple(
    row.model_copy(update={"rejected": (Message(role="assistant", content=worse),)})
    for row, worse in zip(ROWS, ("No idea.", "Hello. How dare you?", "Bye " * 5), strict=True)
)
"""The same rows, each with an answer that was liked less: for methods that learn from pairs."""
RATINGS = tuple(row.model_copy(update={"good": number != 1}) for number, row in enumerate(ROWS))
"""The same rows, rated: for methods that learn from ratings."""


def check_detector(detector: Detector, rows: Sequence[Row] = ROWS) -> None:
    """Hold a detector to its contract: a number from 0 to 1 for any row, the same every time."""
    empty = ROWS[0].model_copy(update={"id": "row-0", "messages": (Message(role="assistant", content=""),)})
    for row in (*rows, empty):
        score = detector(row)
        assert isinstance(score, int | float), f"row {row.id}: {score!r} is no number"
        assert 0 <= score <= 1, f"row {row.id}: {score!r} lies outside 0 to 1"
        assert detector(row) == score, f"row {row.id}: another score the second time"


def check_method(method: Method, model: PreTrainedModel, chat: Chat, rows: Sequence[Row] = ROWS) -> None:
    """Hold a method to what the loop relies on, with a small model in float32 on the CPU; its gradients are cleared.

    Rows side by side have to give the summed loss of the rows alone, whatever they are padded with: accumulation,
    micro-batches and the mean over a step rest on it.
    """
    items = [method.prepare(row, chat) for row in rows]
    for row, item in zip(rows, items, strict=True):
        assert item.row == row.id, f"{row.id} became {item.row}"
        assert len(item.ids) == len(item.learnt), f"{row.id}: ids and learnt differ in length"
        assert item.targets > 0, f"{row.id}: nothing is learnt from it"
    assert items == [method.prepare(row, chat) for row in rows], "a row was prepared differently the second time"
    model.eval()
    for step in (method.annotate, method.each_step):
        items = list(step(model, items, plain_recipe(), 0)) if step else items
        assert [item.row for item in items] == [row.id for row in rows], "annotating lost, added or moved a row"
    total, terms = loss_of(method, model, items, 0)
    assert terms > 0, "a loss has to say how many terms it sums"
    assert isfinite(total), f"the loss is {total}"
    alone = [loss_of(method, model, [item], 0) for item in items]
    assert terms == sum(each[1] for each in alone), "rows together have other terms than rows alone"
    same(total, sum(each[0] for each in alone), "rows together have another loss than rows alone")
    same(total, loss_of(method, model, items, 1)[0], "the padding changes the loss")
    check_gradients(method, model, items)


def plain_recipe() -> Recipe:
    """A resolved recipe of small micro-batches."""
    return Recipe(base="check", learning_rate=1e-4, batch_rows=4, micro_tokens=256, dtype="float32")


def check_grader(grader: Grader) -> None:
    """Hold a grader to its contract: a finite number for each answer, in order, 0 where it says why there is none."""
    from luthier.training.graders.grader import Sample

    prompt = (Message(role="user", content="Hi"),)
    samples = [Sample(prompt, answer, "Hello.", {}, f"row-{n}") for n, answer in enumerate(("Hello.", "", "x" * 999))]
    grades = grader(samples)
    assert len(grades) == len(samples), "one answer in has to be one mark out"
    for grade in grades:
        assert isfinite(grade.score), f"{grade} is no number"
        assert not grade.fault or grade.score == 0, f"{grade}: a fault counts 0"
    assert grader([]) == [], "no answers in have to be no marks out"


def loss_of(method: Method, model: PreTrainedModel, items: Sequence[Item], pad: int) -> tuple[float, int]:
    """Summed loss and number of terms of `items` in one batch padded with the id `pad`."""
    batch = method.collate(items, pad)
    assert batch.rows == tuple(item.row for item in items), "a batch has to name its rows in order"
    loss = method.loss(model, batch)
    return float(loss.total.detach()), loss.terms


def check_gradients(method: Method, model: PreTrainedModel, items: Sequence[Item]) -> None:
    """The loss reaches the weights, and every gradient is a number."""
    model.zero_grad()
    method.loss(model, method.collate(items, 0)).total.backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert gradients, "the loss reaches no weight"
    assert all(bool(gradient.isfinite().all()) for gradient in gradients), "a gradient is not a number"
    assert any(bool(gradient.any()) for gradient in gradients), "every gradient is zero"
    model.zero_grad()


def same(one: float, other: float, what: str) -> None:
    """Equal to 1e-4 of their size: float32 sums in another order differ by less."""
    assert abs(one - other) <= 1e-4 * max(1.0, abs(one)), f"{what}: {one} and {other}"
