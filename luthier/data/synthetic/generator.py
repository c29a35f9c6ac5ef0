"""Asks for candidates, judges each, and writes down those that may join. Knows no file format and no server.

Candidates come in an order drawn by a hash, so that a small number of rows is spread over all documents. Several are
asked at once, but judged in their order: with the same answers the same rows come out, whoever answers first, and a
run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from luthier.data.synthetic.diversity import Known, distinct_n
from luthier.data.synthetic.drafts import Ask, Draft, Refusal, Work
from luthier.data.synthetic.guarded import Guard
from luthier.data.synthetic.lines import Generator, key_in, line_of, refusal_line, said_in
from luthier.data.synthetic.templates import TEMPLATES, Kind, lettered
from luthier.data.synthetic.wording import foreign
from luthier.errors import BadConfig, BadData, LuthierError, RunFailed, UnknownName
from luthier.progress import Progress, silent

AT_ONCE = 4
"""Requests under way at the same time."""
ROUNDS = 8
"""How often one candidate is tried with other seeds, where all of them were tried."""
FAILURES = 8
"""Answers in a row that were none, after which the endpoint is given up."""
NO_ANSWER = "the endpoint gave no answer"


class Order(NamedTuple):
    """What is wanted."""

    kind: Kind
    rows: int
    generator: Generator
    most_asked: int
    """Candidates to ask for, at most."""


class Checks(NamedTuple):
    """What every kind of row has to stand."""

    known: Known
    guard: Guard
    languages: tuple[str, ...] = ()


class Report(NamedTuple):
    """What came of it."""

    kind: Kind
    there: int
    """Rows that an earlier run of the same order had written."""
    asked: int
    kept: int
    refused: dict[str, int]
    """Candidates that may not join, by reason."""
    distinct: tuple[float, float]
    """Share of words, and of pairs of words, in all questions of this kind that are no repetition."""
    sources: int
    """Different passages, rows or clauses that the new rows come from."""
    meaning: str = ""
    """The model by which meanings were compared; "": by words alone."""

    @property
    def share(self) -> float:
        """Share of the candidates that were kept."""
        return self.kept / self.asked if self.asked else 0.0


class Output(NamedTuple):
    """Where lines go, and the lines that were there."""

    keep: Callable[[Mapping[str, Any]], None]
    refuse: Callable[[Mapping[str, Any]], None]
    kept: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[Mapping[str, Any]] = ()


def generate(
    order: Order, works: Sequence[Work], ask: Ask, checks: Checks, output: Output, progress: Progress = silent
) -> Report:
    """Rows of one kind, until there are `order.rows` of this order or `order.most_asked` were asked for.

    Raises BadData where there is nothing to make rows from, BadConfig for a count below 1, and the error of an
    endpoint that cannot be reached or answers nothing time after time. What was written until then stays.
    """
    if order.rows < 1 or order.most_asked < 1:
        raise BadConfig("there is nothing to make", "ask for at least one row")
    if not works:
        raise BadData(f"nothing was found that {order.kind} can be made from", "look into documents, dataset or policy")
    checks.known.add((f"row {key_in(line)}", said_in(line)) for line in output.kept)
    mine = [(key, work) for key, work in keyed(order, works)]
    before = {key_in(line): said_in(line) for line in output.kept}
    done = before.keys() | {key_in(line) for line in output.refused}
    questions = [before[key] for key, _ in mine if key in before]
    there, asked, kept, failed = len(questions), 0, 0, 0
    refused: Counter[str] = Counter()
    sources: set[str] = set()
    left = [(key, work) for key, work in mine if key not in done][: order.most_asked] if there < order.rows else []
    for key, work, answers in answered(left, ask, order):
        asked += 1
        failed = failed + 1 if isinstance(answers, LuthierError) else 0
        if isinstance(answers, LuthierError) and failed == min(FAILURES, len(left)):
            raise answers
        found = judged(work, answers, checks)
        if isinstance(found, Draft):
            output.keep(line_of(order.kind, key, found, order.generator))
            checks.known.add([(f"row {key}", found.question)])
            questions.append(found.question)
            sources.add(work.unit.partition("/")[0])
            kept += 1
        else:
            output.refuse(refusal_line(order.kind, key, found, order.generator))
            refused[found.reason] += 1
        progress("synthesize", there + kept, order.rows, asked=asked)
        if there + kept >= order.rows:
            break
    varied = distinct_n(questions, 1), distinct_n(questions, 2)
    return Report(order.kind, there, asked, kept, dict(refused.most_common()), varied, len(sources))


def keyed(order: Order, works: Sequence[Work]) -> Iterator[tuple[str, Work]]:
    """Every candidate with its key, in the order in which they are asked: each once, then each once more …"""
    template, generator = TEMPLATES[order.kind], order.generator
    mixed = sorted(works, key=lambda work: hashlib.sha256(f"{generator.seed}/{work.unit}".encode()).digest())
    for turn in range(ROUNDS):
        for work in mixed:
            named = f"{order.kind}/{template.version}/{generator.model}/{generator.seed}/{turn}/{work.unit}"
            yield lettered(named)[:16], work


def seed_of(key: str) -> int:
    """The seed of a candidate's first answer: 28 bits, which every server takes."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:7], 16)


def answered(
    left: Sequence[tuple[str, Work]], ask: Ask, order: Order
) -> Iterator[tuple[str, Work, list[str] | LuthierError]]:
    """Each candidate with what was answered, in order; a request that failed by itself has its error."""
    template = TEMPLATES[order.kind]

    def one(key: str, work: Work) -> list[str] | LuthierError:
        seed, messages = seed_of(key), work.messages()
        try:
            return [
                ask(
                    messages,
                    seed=seed + sample,
                    temperature=template.temperature,
                    max_tokens=template.max_tokens,
                )
                for sample in range(work.samples)
            ]
        except UnknownName:  # no model of that name: it will not come
            raise
        except (RunFailed, BadConfig, BadData) as error:  # this answer was none; the next may be one
            return error

    waiting: deque[tuple[str, Work, Future[list[str] | LuthierError]]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="synthesize")
    try:
        for key, work in left:
            waiting.append((key, work, pool.submit(one, key, work)))
            if len(waiting) == AT_ONCE:
                first, about, future = waiting.popleft()
                yield first, about, future.result()
        while waiting:
            first, about, future = waiting.popleft()
            yield first, about, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def judged(work: Work, answers: list[str] | LuthierError, checks: Checks) -> Draft | Refusal:
    """The row, or why there is none: its own kind's judgement, then what every row has to stand."""
    if isinstance(answers, LuthierError):
        return Refusal(NO_ANSWER, answers.what[:300])
    found = work.judge(answers)
    if isinstance(found, Refusal):
        return found
    about = (found.question, found.answer)
    if other := foreign(found.question, found.language, checks.languages):
        return Refusal("in another language", f"{other} instead of {found.language}", *about)
    if near := checks.known.nearest(found.question):
        return Refusal("nearly said before", f"{near[0]}, similarity {near[1]:.2f}", *about)
    if leak := checks.guard.given_away((*about, found.rejected)):
        return Refusal("gives the evaluation away", leak, *about)
    return found
