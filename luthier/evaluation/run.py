"""A suite and a target → `EvalReport`: every question asked, marked and kept, beside a baseline if there is one.

The target is any function from question to answer. Knows nothing of how it answers, or of what is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from luthier import plugins
from luthier.errors import BadConfig, BadData, LuthierError, RunFailed
from luthier.evaluation.scorers import Answered, Scorer
from luthier.evaluation.statistics import difference_of, mean_of
from luthier.evaluation.suite import questions_of
from luthier.progress import Progress, silent
from luthier.records.evaluation import EvalReport, Measure, Question, Suite
from luthier.store.blobs import Blobs

Target = Callable[[Question], Answered]

MOST_FAILED = 0.05
"""Largest share of questions that the target may break on before the run says nothing about the model."""
NOTHING = Answered("")


class Sample(NamedTuple):
    """One question with what came back and how it was marked."""

    question: Question
    answer: Answered
    scores: dict[str, float]
    error: str = ""
    """Why there is no answer."""

    def line(self) -> dict[str, Any]:
        """The sample as it is kept."""
        fields = self.answer._asdict() | {"citations": [c.model_dump(mode="json") for c in self.answer.citations]}
        text = fields.pop("text").encode("utf-8", "replace").decode()  # half a character cannot be kept
        error = {"error": self.error} if self.error else {}
        return {"question": self.question.id, "answer": text} | fields | {"scores": self.scores} | error


def run(
    suite: Suite,
    target: Target,
    model: str,
    blobs: Blobs,
    *,
    baseline: EvalReport | None = None,
    workers: int = 8,
    progress: Progress = silent,
) -> EvalReport:
    """Ask `target` every question of `suite` and report on `model`, the id of what answers.

    With a `baseline` of the same suite, differences are paired by question; those that the baseline failed on are
    left out. Raises RunFailed where more than 5 % of the questions got no answer.
    """
    if baseline is not None and baseline.suite != suite.id:
        raise BadConfig(
            f"the baseline was measured on {baseline.suite}, not on {suite.id}", "measure the baseline on this suite"
        )
    scorers: dict[str, Scorer] = {name: plugins.find("scorer", name) for name in suite.scorers}
    questions = questions_of(suite, blobs)
    answers = ask_all(target, questions, workers, progress)
    samples = [marked(question, answer, scorers) for question, answer in zip(questions, answers, strict=True)]
    return EvalReport(
        suite=suite.id,
        model=model,
        measures={name: mean_of(list(scores.values())) for name, scores in measured(samples).items()},
        samples=blobs.put_lines(sample.line() for sample in samples),
        baseline=baseline.id if baseline else None,
        differences=differences(samples, baseline, blobs) if baseline else {},
        failed=sum(bool(sample.error) for sample in samples),
        made_with={name: plugins.version("scorer", name) for name in suite.scorers},
    )


def ask_all(
    target: Target, questions: Sequence[Question], workers: int, progress: Progress
) -> list[Answered | LuthierError]:
    """An answer to each question, in order, or what went wrong with it. Gives up once too many went wrong."""
    answers: list[Answered | LuthierError] = [NOTHING] * len(questions)
    failed = 0
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="ask")
    try:
        places = {pool.submit(ask, target, question): place for place, question in enumerate(questions)}
        for done, future in enumerate(as_completed(places), 1):
            answers[places[future]] = answer = future.result()
            failed += isinstance(answer, LuthierError)
            if isinstance(answer, LuthierError) and failed > MOST_FAILED * len(questions):
                raise RunFailed(
                    f"{failed} of {done} questions got no answer, the last one because {answer.what}",
                    answer.mend or "see why the target breaks, then run the evaluation again",
                ) from answer
            progress("evaluate", done, len(questions), failed=failed)
    finally:
        pool.shutdown(cancel_futures=True)
    return answers


def ask(target: Target, question: Question) -> Answered | LuthierError:
    """The answer, or the error as a value: a question that breaks the target is a finding, not the end."""
    try:
        return target(question)
    except LuthierError as error:
        return error


def marked(question: Question, answer: Answered | LuthierError, scorers: Mapping[str, Scorer]) -> Sample:
    """The sample with the score of each scorer that applies. No answer scores 0, wherever an answer would count."""
    if isinstance(answer, LuthierError):
        applying = [name for name, scorer in scorers.items() if scorer(question, NOTHING) is not None]
        return Sample(question, NOTHING, dict.fromkeys(applying, 0.0), str(answer))
    scores = {}
    for name, scorer in scorers.items():
        score = scorer(question, answer)
        if score is None:
            continue
        if not 0 <= score <= 1:
            raise BadData(
                f"scorer {name} marked {question.id} with {score}", "let it return a share between 0 and 1, or None"
            )
        scores[name] = float(score)
    return Sample(question, answer, scores)


def measured(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Scores by measure, then by question: `scorer` over all, and `scorer@group` or `scorer@language` over a part."""
    languages = {sample.question.language for sample in samples}
    by_measure: dict[str, dict[str, float]] = {}
    for sample in samples:
        for name in slices(sample.question, several=len(languages) > 1):
            for scorer, score in sample.scores.items():
                by_measure.setdefault(scorer + name, {})[sample.question.id] = score
    return {name: by_measure[name] for name in sorted(by_measure)}


def slices(question: Question, *, several: bool) -> Iterator[str]:
    """What is put behind a scorer's name for each part of the suite that the question belongs to."""
    yield ""
    if question.group:
        yield f"@{question.group}"
    if several:
        yield f"@{question.language}"


def differences(samples: Sequence[Sample], baseline: EvalReport, blobs: Blobs) -> dict[str, Measure]:
    """For each measure, the paired difference over the questions that the baseline has a score for."""
    before = {line["question"]: line["scores"] for line in blobs.lines(baseline.samples) if "error" not in line}
    found = {}
    for name, scores in measured(samples).items():
        scorer = name.partition("@")[0]
        pairs = [
            (score, before[question][scorer])
            for question, score in scores.items()
            if scorer in before.get(question, {})
        ]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            found[name] = difference_of(ours, theirs)
    return found
