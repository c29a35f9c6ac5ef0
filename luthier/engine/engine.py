"""A base model, its adapters by name, and perhaps an embedder: what the HTTP routes speak to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from time import time
from typing import NamedTuple

from jinja2 import TemplateError

from luthier.engine.adapter import Adapter, Base
from luthier.engine.adapter import read as read_adapter
from luthier.engine.asked import BadRequest, Body, messages, prompts
from luthier.engine.metrics import Metrics
from luthier.engine.model import load
from luthier.engine.replies import Json, model_card
from luthier.engine.rows import Delta, Job
from luthier.engine.scheduler import Scheduler
from luthier.errors import BadConfig, Missing, UnknownName
from luthier.lm.adapters import STAMP, Stamp
from luthier.lm.chat import Chat
from luthier.lm.embed import Embedder
from luthier.lm.load import DType
from luthier.lm.pull import folder_digest, local

log = logging.getLogger("luthier.engine")


class Settings(NamedTuple):
    """How an engine is started."""

    base: str
    name: str = ""
    adapters: tuple[tuple[str, Path], ...] = ()
    embedder: str = ""
    dtype: DType = "auto"
    slots: int = 16
    window: int | None = None
    threads: int = 1
    """Processor threads of the scheduler; nothing else computes."""


class Engine:
    """Everything that is loaded. Reads folders when it is made; `scheduler.start()` makes it answer."""

    def __init__(self, settings: Settings) -> None:
        self.folder = local(settings.base)
        self.name = settings.name or self.folder.name
        self.chat = Chat.load(self.folder)
        self.model = load(self.folder, settings.dtype, settings.slots, settings.window)
        self.born = int(time())
        stamp = Stamp(folder_digest(self.folder), self.chat.template_digest, self.chat.tokenizer_digest)
        shapes = {name: (layer.out_features, layer.in_features) for name, layer in self.model.bank.linear.items()}
        self.base = Base(stamp, shapes, self.model.dtype, self.model.device)
        self.adapters: dict[str, Adapter] = {}
        self.lock = Lock()
        self.embedder_name = Path(settings.embedder).name
        self.embedder = Embedder(local(settings.embedder)) if settings.embedder else None
        for name, folder in settings.adapters:
            self.load_adapter(name, folder)
        self.metrics = Metrics(self.name)
        self.scheduler = Scheduler(self.model, self.decode, self.chat.stop_ids, self.metrics, settings.threads)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids as text, the markers of turns left out."""
        return str(self.chat.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def spell(self, token: int) -> str:
        """One token as text, as log-probabilities are labelled."""
        return str(self.chat.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def adapter(self, name: str) -> Adapter | None:
        """The adapter that a request's `model` names; None is the base. Raises UnknownName."""
        if name in ("", self.name):
            return None
        if (found := self.adapters.get(name)) is None:
            raise UnknownName(f"the model {name!r} does not exist", f"there are: {', '.join(self.names())}")
        return found

    def names(self) -> list[str]:
        """Every model that can be asked for."""
        return [self.name, *self.adapters, *([self.embedder_name] if self.embedder else [])]

    def models(self) -> list[Json]:
        """The entries of /v1/models."""
        cards = [model_card(self.name, str(self.folder), None, self.born, self.model.window)]
        for one in list(self.adapters.values()):
            cards.append(model_card(one.name, str(one.folder), self.name, self.born, self.model.window))
        if self.embedder:
            root = str(self.embedder.tokenizer.name_or_path)
            cards.append(model_card(self.embedder_name, root, None, self.born, self.embedder.max_tokens))
        return cards

    def load_adapter(self, name: str, folder: Path, *, replace: bool = False) -> Adapter:
        """Read an adapter and serve it as `name` from now on. Answers under way keep the one they began with."""
        with self.lock:
            taken = name in self.names()
            if taken and not (replace and name in self.adapters):
                raise BadConfig(f"a model called {name!r} is loaded already", "unload it first, or set load_inplace")
            made = read_adapter(name, folder.expanduser().resolve(), self.base)
            self.model.bank.make_room(made)
            self.adapters[name] = made
        if not made.stamped:
            log.warning("%s", unstamped(made))
        return made

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter. Answers under way are finished with it."""
        with self.lock:
            if self.adapters.pop(name, None) is None:
                raise UnknownName(f"no adapter is called {name!r}", f"there are: {', '.join(self.adapters) or 'none'}")

    def render(self, body: Body, *, chat: bool) -> list[list[int]]:
        """The prompts of a request as token ids. Raises BadRequest where they cannot be rendered or do not fit."""
        try:
            if chat:
                rendered = [self.chat.prompt_ids(messages(body.messages))]
            else:
                rendered = [self.chat.encode(p) if isinstance(p, str) else p for p in prompts(body.prompt)]
        except TemplateError as error:
            raise BadRequest(f"the chat template refuses these messages ({error})", param="messages") from error
        except (ValueError, TypeError) as error:  # the tokenizer's word for a lone surrogate
            raise BadRequest("the prompt holds characters that are no valid Unicode", "send UTF-8") from error
        for ids in rendered:
            self.check(ids, body.most)
        return rendered

    def check(self, ids: Sequence[int], most: int | None) -> None:
        """Raise BadRequest unless the prompt and the new tokens asked for fit the window."""
        if not ids:
            raise BadRequest("the prompt is empty", "send at least one token", param="prompt")
        if not all(0 <= token < len(self.chat.tokenizer) for token in ids):
            raise BadRequest("the prompt holds a token id that is out of the vocabulary", param="prompt")
        if len(ids) + (1 if most is None else most) > self.model.window:
            raise BadRequest(
                f"this model's maximum context length is {self.model.window} tokens, and the request has {len(ids)} in "
                f"the prompt and asks for {1 if most is None else most} more",
                "shorten the prompt or lower max_tokens",
                param="max_tokens" if len(ids) < self.model.window else "messages",
                code="context_length_exceeded",
            )

    def submit(self, ids: list[int], body: Body, choice: int, tell: Callable[[Delta], None], *, chat: bool) -> Job:
        """Queue one choice of a request."""
        room = self.model.window - len(ids)
        asked = body.sampling(room if body.most is None else body.most, choice, chat=chat)
        job = Job(ids, asked, self.adapter(body.model), tell)
        self.scheduler.submit(job)
        return job

    def need_embedder(self) -> Embedder:
        """The embedder, or Missing with the flag that brings one."""
        if self.embedder is None:
            raise Missing("this engine serves no embeddings", "start it with --embedder all-minilm-l6-v2")
        return self.embedder

    def exposition(self) -> str:
        """The metrics, as Prometheus reads them."""
        table = self.scheduler.table
        rows = table.rows
        used = sum(row.computed for row in rows) / (self.model.slots * self.model.window)
        running = [row.job.adapter.name if row.job.adapter else "" for row in rows]
        waiting = [job.adapter.name if job.adapter else "" for job in list(self.scheduler.waiting)]
        return self.metrics.text(running, waiting, used)


def unstamped(adapter: Adapter) -> str:
    """What is not known about an adapter that Luthier did not make."""
    return (
        f"{adapter.name} carries no {STAMP}: its shapes fit, but nothing says that it was trained on this base and "
        "with this chat template"
    )
