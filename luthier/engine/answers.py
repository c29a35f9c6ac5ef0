"""One request's way through the engine: jobs out, deltas back, as one JSON reply or as a stream of events.

However it ends (whole, failed, hung up), no job of it stays behind in the scheduler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import time
from uuid import uuid4

from starlette.requests import Request

from luthier.engine import replies
from luthier.engine.asked import Body
from luthier.engine.engine import Engine
from luthier.engine.replies import Json
from luthier.engine.rows import Delta, Job
from luthier.engine.sampling import Scored
from luthier.errors import LuthierError, Unavailable


@dataclass
class Choice:
    """What has come of one choice so far."""

    text: str = ""
    generated: int = 0
    finish: str | None = None
    prompt: list[Scored] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)


class Exchange:
    """The jobs of one request and the queue that their deltas come through."""

    def __init__(self, engine: Engine, body: Body, prompts: list[list[int]], *, chat: bool) -> None:
        self.engine, self.body, self.prompts, self.chat = engine, body, prompts, chat
        self.id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid4().hex}"
        self.created = int(time())
        self.model = body.model or engine.name
        self.queue: asyncio.Queue[tuple[int, Delta]] = asyncio.Queue()
        self.jobs: list[Job] = []

    def start(self) -> None:
        """Queue every choice of every prompt; all or none."""
        loop = asyncio.get_running_loop()
        try:
            for prompt in self.prompts:
                for choice in range(self.body.n):
                    place = len(self.jobs)

                    def tell(delta: Delta, place: int = place) -> None:
                        loop.call_soon_threadsafe(self.queue.put_nowait, (place, delta))

                    self.jobs.append(self.engine.submit(prompt, self.body, choice, tell, chat=self.chat))
        except LuthierError:
            self.drop()
            raise

    def drop(self) -> None:
        """Have the scheduler forget what is still running."""
        for job in self.jobs:
            job.cancelled = True

    async def deltas(self) -> AsyncIterator[tuple[int, Delta]]:
        """Everything that comes, until each choice is finished. Raises what a choice failed of."""
        try:
            left = len(self.jobs)
            while left:
                place, delta = await self.queue.get()
                if delta.error is not None:
                    raise delta.error
                left -= delta.finish is not None
                yield place, delta
        finally:
            self.drop()

    def spell(self, token: int) -> str:
        """A token as log-probabilities name it."""
        return f"token_id:{token}" if self.body.return_tokens_as_token_ids else self.engine.spell(token)

    def usage(self, generated: int) -> Json:
        return replies.usage(sum(len(prompt) for prompt in self.prompts), generated)

    def echoed(self, place: int) -> str:
        """The prompt of a choice, where it is part of the answer."""
        return self.engine.decode(self.prompts[place // self.body.n]) if self.body.echo and not self.chat else ""


async def whole(exchange: Exchange, request: Request) -> Json:
    """The reply in one piece. Raises Unavailable, for nobody to read, where the caller hangs up first."""
    collecting = asyncio.ensure_future(collect(exchange))
    gone = asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({collecting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not collecting.done():
            raise Unavailable("the caller hung up")
        choices = collecting.result()
    finally:
        exchange.drop()
        collecting.cancel()
        gone.cancel()
    kind = "chat.completion" if exchange.chat else "text_completion"
    shaped = [shape(exchange, place, choice) for place, choice in enumerate(choices)]
    reply = replies.envelope(kind, exchange.id, exchange.created, exchange.model, shaped)
    return reply | {"usage": exchange.usage(sum(choice.generated for choice in choices))}


async def collect(exchange: Exchange) -> list[Choice]:
    """All choices, whole."""
    choices = [Choice(text=exchange.echoed(place)) for place in range(len(exchange.jobs))]
    async for place, delta in exchange.deltas():
        choice = choices[place]
        choice.text += delta.text
        choice.scored += delta.scored
        choice.prompt += delta.prompt
        choice.generated, choice.finish = delta.generated, delta.finish
    return choices


async def hung_up(request: Request) -> None:
    """Return when the caller's connection is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def shape(exchange: Exchange, place: int, choice: Choice) -> Json:
    """One choice in OpenAI's shape."""
    wanted = exchange.jobs[place].asked.logprobs is not None
    spell = exchange.spell
    if exchange.chat:
        logprobs = replies.chat_logprobs(choice.scored, spell) if wanted else None
        return replies.chat_choice(place, choice.text, choice.finish, logprobs)
    logprobs = replies.text_logprobs([*choice.prompt, *choice.scored], spell) if wanted else None
    return replies.text_choice(place, choice.text, choice.finish, logprobs)


async def events(exchange: Exchange) -> AsyncIterator[str]:
    """The reply as server-sent events. A failure becomes the last one."""
    generated = [0] * len(exchange.jobs)
    try:
        for place in range(len(exchange.jobs)):
            if exchange.chat:
                yield chunk(exchange, replies.chat_delta(place, {"role": "assistant", "content": ""}, None, None))
            elif text := exchange.echoed(place):
                yield chunk(exchange, replies.text_choice(place, text, None, None))
        async for place, delta in exchange.deltas():
            generated[place] = delta.generated
            yield chunk(exchange, shape_delta(exchange, place, delta))
    except LuthierError as error:
        yield replies.event(replies.error(error))
        return
    finally:
        exchange.drop()
    if exchange.body.stream_options.include_usage:
        last = replies.envelope(stream_kind(exchange), exchange.id, exchange.created, exchange.model, [])
        yield replies.event(last | {"usage": exchange.usage(sum(generated))})
    yield replies.DONE


def stream_kind(exchange: Exchange) -> str:
    return "chat.completion.chunk" if exchange.chat else "text_completion"


def chunk(exchange: Exchange, choice: Json) -> str:
    """One event that carries one choice's news."""
    return replies.event(
        replies.envelope(stream_kind(exchange), exchange.id, exchange.created, exchange.model, [choice])
    )


def shape_delta(exchange: Exchange, place: int, delta: Delta) -> Json:
    """What is new about a choice, in OpenAI's shape."""
    spell = exchange.spell
    if exchange.chat:
        logprobs = replies.chat_logprobs(delta.scored, spell) if delta.scored else None
        content: Json = {"content": delta.text} if delta.text else {}
        return replies.chat_delta(place, content, delta.finish, logprobs)
    logprobs = replies.text_logprobs(delta.scored, spell) if delta.scored else None
    return replies.text_choice(place, delta.text, delta.finish, logprobs)
