"""One thread that computes: new prompts join and finished answers leave between any two steps.

Continuous batching (Yu et al. 2022, Orca) with prompts read in chunks beside the answers that speak (Agrawal et al.
2024, arXiv:2403.02310): each pass gives every speaking answer one more token and fills up with prompt tokens. A pass
costs what its arithmetic costs, so the few speaking tokens come nearly free, and nobody waits for a long prompt.
Whatever else needs tensors runs here too, between two passes (`errands`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from time import monotonic
from typing import TypeVar

import torch

from luthier.engine.errands import Errands
from luthier.engine.metrics import Metrics
from luthier.engine.model import LanguageModel, Part
from luthier.engine.rows import Delta, Finish, Job, Row, Table
from luthier.engine.sampling import Scored, choose_all, generator, score
from luthier.engine.text import Speech
from luthier.errors import Busy, RunFailed, Unavailable

PROMPT_TOKENS = 256  # per pass: more would make the speaking answers wait, fewer would leave the processor idle
SCORED_AT_ONCE = 64  # rows of logits of an echoed prompt: a vocabulary wide each
MOST_WAITING = 1024

T = TypeVar("T")


class Scheduler:
    """Takes jobs from any thread and runs them on its own."""

    def __init__(
        self,
        model: LanguageModel,
        decode: Callable[[Sequence[int]], str],
        stop_ids: frozenset[int],
        metrics: Metrics,
        threads: int,
    ) -> None:
        self.model, self.decode, self.stop_ids, self.metrics = model, decode, stop_ids, metrics
        self.threads = threads
        self.errands = Errands()
        self.table = Table(model.slots, model.memory.copy)
        self.waiting: deque[Job] = deque()
        self.news = Condition()
        self.running = True
        self.thread = Thread(target=self.run, name="scheduler", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Finish the turn under way, refuse what is left, and end."""
        with self.news:
            self.running = False
            self.news.notify()
        self.thread.join()

    @property
    def alive(self) -> bool:
        return self.running and self.thread.is_alive()

    def submit(self, job: Job) -> None:
        """Have `job` answered. Raises Busy where too many wait already, Unavailable after the end."""
        with self.news:
            if not self.alive:
                raise Unavailable("the engine is shutting down", "ask again in a moment")
            if len(self.waiting) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} requests are waiting already", "ask again later, or start another engine")
            self.waiting.append(job)
            self.news.notify()

    def errand(self, work: Callable[[], T]) -> Future[T]:
        """Have `work` done between two passes. Raises Unavailable after the end."""
        with self.news:
            if not self.alive:
                raise Unavailable("the engine is shutting down", "ask again in a moment")
            self.news.notify()
            return self.errands.add(work)

    @torch.inference_mode()
    def run(self) -> None:
        """The thread: turn after turn while there is work."""
        torch.set_num_threads(self.threads)
        try:
            while self.running:
                with self.news:
                    self.news.wait_for(lambda: not self.running or self.waiting or self.table.live or self.errands)
                if self.errands:
                    self.errands.run_next()
                if self.running:
                    self.turn()
        finally:
            self.running = False
            self.fail(RunFailed("the engine stopped before the answer was whole", "ask again"))

    def turn(self) -> None:
        """One pass through the model. What the machine cannot do fails the answers in it, not the server."""
        for row in self.table.rows:
            if row.job.cancelled:
                self.table.leave(row)
                self.metrics.cancelled()
        takes = [(row, 1) for row in self.table.rows if not row.missing] + self.admit()
        if not takes:
            return
        try:
            self.step(takes)
        except (RuntimeError, MemoryError) as error:
            self.fail(RunFailed(f"the model could not take this step ({error})", "ask for less at once"), running=True)

    def admit(self) -> list[tuple[Row, int]]:
        """Rows whose prompt is read in this turn, each with the number of its tokens; like adapters side by side."""
        budget = PROMPT_TOKENS
        chunks: list[tuple[Row, int]] = []
        reading = deque(row for row in self.table.rows if row.missing)
        while budget > 0 and (row := reading.popleft() if reading else self.next_row()):
            count = min(budget, row.missing)
            chunks.append((row, count))
            budget -= count
        return sorted(chunks, key=lambda chunk: id(chunk[0].job.adapter))

    def next_row(self) -> Row | None:
        """The next waiting job in a slot of its own, or None where none waits or no slot is free."""
        while self.waiting and not self.table.full:
            job = self.waiting.popleft()
            if job.cancelled:
                self.metrics.cancelled()
                continue
            row = Row(job, Speech(self.decode, job.asked.stops), generator(job.asked.seed), list(job.ids))
            self.metrics.joined(len(job.ids), self.table.join(row))
            return row
        return None

    def step(self, takes: Sequence[tuple[Row, int]]) -> None:
        """Run the next tokens of these rows; each whose prompt is read to its end says one more."""
        parts = [
            Part(
                row.ids[row.computed : row.computed + count], self.table.slots.index(row), row.computed, row.job.adapter
            )
            for row, count in takes
        ]
        states_ND = self.model.hidden(parts)
        done: list[tuple[Row, int]] = []
        end = 0
        for row, count in takes:
            if row.scores_prompt and row.missing:
                self.score_prompt(row, states_ND[end : end + count])
            end += count
            row.computed += count
            if not row.missing:
                done.append((row, end - 1))
        if done:
            rows = [row for row, _ in done]
            adapters = [row.job.adapter for row in rows]
            self.say(rows, self.model.logits(states_ND[[last for _, last in done]], adapters))

    def score_prompt(self, row: Row, states_ND: torch.Tensor) -> None:
        """The log-probabilities of the prompt's tokens that these states predict."""
        if row.computed == 0:
            row.prompt.append(Scored(row.ids[0], None))
        predicted = row.ids[row.computed + 1 : row.computed + 1 + len(states_ND)]
        for start in range(0, len(predicted), SCORED_AT_ONCE):
            tokens = predicted[start : start + SCORED_AT_ONCE]
            logits_NV = self.model.logits(states_ND[start : start + len(tokens)], [row.job.adapter] * len(tokens))
            row.prompt += score(logits_NV, tokens, row.job.asked.logprobs or 0)

    def say(self, rows: Sequence[Row], logits_BV: torch.Tensor) -> None:
        """Choose the next token of each row and tell its job."""
        tokens = choose_all(logits_BV, [row.job.asked for row in rows], [row.draws for row in rows])
        now = monotonic()
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if token is None:
                self.give_up(row)
                continue
            if row.job.asked.max_tokens == 0:
                self.tell(row, "", "length")
                continue
            row.generated += 1
            if row.generated == 1:
                row.first_at = now
                self.metrics.first_token(now - row.job.asked_at)
            if token in self.stop_ids and not row.job.asked.ignore_eos:
                self.tell(row, row.speech.finish(), "stop")
                continue
            if row.job.asked.logprobs is not None:
                row.unsent += score(logits_BV[place : place + 1], [token], row.job.asked.logprobs)
            row.ids.append(token)
            text = row.speech.push(token)
            finish: Finish | None = "stop" if row.speech.stopped else None
            if finish is None and (row.generated >= row.job.asked.max_tokens or len(row.ids) >= self.model.window):
                text, finish = text + row.speech.finish(), "length"
            self.tell(row, text, "stop" if row.speech.stopped else finish)

    def tell(self, row: Row, text: str, finish: Finish | None) -> None:
        """Hand on what is new, if anything is; a finished row leaves its slot."""
        if not text and finish is None:
            return
        row.job.tell(Delta(text, tuple(row.unsent), tuple(row.prompt), row.generated, finish))
        row.unsent, row.prompt = [], []
        if finish is not None:
            self.table.leave(row)
            self.metrics.finished(finish, row.generated, row.job.asked_at, row.first_at)

    def give_up(self, row: Row) -> None:
        """The model's numbers overflowed for this row alone: fail it, and leave none of them behind."""
        who = row.job.adapter.name if row.job.adapter else "the base"
        slot = self.table.slots.index(row)
        row.computed = 0
        self.model.memory.wipe(slot)
        self.table.leave(row)
        self.metrics.failed()
        error = RunFailed(f"{who} gave no numbers for this prompt", "serve it in float32, or train it again")
        row.job.tell(Delta(error=error))

    def fail(self, error: RunFailed, *, running: bool = False) -> None:
        """Tell the jobs that are `running`, or all jobs, that they failed."""
        jobs = [row.job for row in self.table.rows]
        self.table.clear()
        if not running:
            with self.news:
                jobs += self.waiting
                self.waiting.clear()
                self.errands.cancel()
        for job in jobs:
            self.metrics.failed()
            job.tell(Delta(error=error))
