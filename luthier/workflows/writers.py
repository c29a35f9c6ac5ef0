"""Who writes synthetic rows and who judges their meaning: an endpoint's models, or those of an engine of our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray

from luthier.data.synthetic.drafts import Ask
from luthier.data.synthetic.lines import Generator
from luthier.data.synthetic.templates import Kind, Messages
from luthier.errors import BadConfig, LuthierError, Missing, RunFailed, Unavailable
from luthier.gateway.nearness import learn, nearness, pieces
from luthier.gateway.policy import decide
from luthier.lm.client import Client
from luthier.records.knowledge import Passage
from luthier.records.serving import ServingPolicy
from luthier.workflows import data, servers
from luthier.workflows.session import Session

WAITS = (1.0, 4.0)
"""Seconds before a request is repeated that the endpoint did not answer, or put off."""
ORDINARY = 200
"""Questions of customers that the policy's examples are weighed against, as when it is served."""

MEASURED = ("paraphrases", "edges")
"""Kinds whose checks compare meanings where they can."""

Embed = Callable[[list[str]], NDArray[np.float32]]


class Wanted(NamedTuple):
    """What is asked for on the command line."""

    kind: Kind
    rows: int
    seed: int = 0
    endpoint: str = ""
    """Any OpenAI-shaped server; "" starts the project's own engine."""
    model: str = ""
    key: str = ""
    most_asked: int = 0
    """0: ten times `rows`."""


class Writer(NamedTuple):
    """Who writes."""

    ask: Ask
    embed: Embed | None
    embedder: str
    """What `embed` is called, "" where there is none."""
    generator: Generator


@contextmanager
def writing(session: Session, wanted: Wanted) -> Iterator[Writer]:
    """Whoever writes: the endpoint that is named, or the project's base on an engine that is started for it."""
    with ExitStack() as stack:
        url, where = wanted.endpoint, "endpoint"
        model = wanted.model or session.project.base
        if not url:
            if model != session.project.base:
                raise BadConfig(
                    f"the project's engine serves {session.project.base}, not {model}", "name an --endpoint"
                )
            url, where = stack.enter_context(servers.engine(session)).url, "engine"
        elif not wanted.model:
            raise BadConfig("nobody says which model of the endpoint writes", "name it with --model")
        client = stack.enter_context(Client(url, wanted.key))
        embed = embedding(session, client) if wanted.kind in MEASURED else None
        name = data.embedder_name(session) if embed else ""
        yield Writer(asking(client, model), embed, name, Generator(model, where, wanted.seed))


def asking(client: Client, model: str) -> Ask:
    """Asks `model`, again after a while where nobody answered. Raises a LuthierError, whatever the server sends."""

    def ask(messages: Messages, *, seed: int, temperature: float, max_tokens: int) -> str:
        for wait in (*WAITS, None):
            try:
                reply = client.chat(messages, model, seed=seed, temperature=temperature, max_tokens=max_tokens)
            except Unavailable:
                if wait is None:
                    raise
                time.sleep(wait)
            except (ValueError, OverflowError, RecursionError, httpx.HTTPError) as error:
                raise RunFailed(f"{client.url} sent no answer ({type(error).__name__})", "look into its log") from error
            else:
                return reply.text if isinstance(reply.text, str) else ""
        raise AssertionError

    return ask


def embedding(session: Session, client: Client) -> Embed | None:
    """Texts → unit vectors by the endpoint where it has the project's model, else on this machine; None without it."""
    name = data.embedder_name(session)
    try:
        client.embed(["Hello"], name)
    except (LuthierError, ValueError, OverflowError, RecursionError, httpx.HTTPError):
        try:
            return data.embedder(session)
        except (Missing, BadConfig):
            return None
    return lambda texts: client.embed(texts, name)


def alike(embed: Embed) -> Callable[[str, str], float]:
    """The cosine of two texts."""

    def cosine(one: str, other: str) -> float:
        first, second = embed([one, other])
        return float(first @ second)

    return cosine


def deciding(
    session: Session, policy: ServingPolicy, passages: Sequence[Passage], embed: Embed | None
) -> Callable[[str], str]:
    """Which clause decides on a request, judged as the gateway does; by patterns alone where nothing can embed."""
    learnt = None
    if embed is not None:
        titles = list(dict.fromkeys(passage.title for passage in passages))
        learnt = learn(policy, "input", embed, [*titles, *data.questions(session, ORDINARY)])

    def clause(text: str) -> str:
        near = nearness(learnt, embed(pieces(text))) if learnt is not None and embed is not None else None
        found = decide(text, policy, "input", near)
        return found.rule if found else ""

    return clause
