"""Token ids → text, as they come: nothing leaves that a later token could still change. Pure, but for the decoder.

Two things are held back: bytes of a letter that is not whole yet, and letters that may be the start of a stop string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF_LETTER = "\ufffd"
LONGEST_LETTER = 4  # bytes of a letter in UTF-8: what is still broken after as many tokens stays broken


class Speech:
    """The text of one answer. `decode` turns ids into text; the answer ends before the first of the `stops`."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self.decode = decode
        self.stops = tuple(stops)
        self.stopped = False
        self.ids: list[int] = []
        self.held = ""
        # Ids before `done` are out; those from `context` on are decoded once more with what follows, because some
        # tokenizers write a token differently (leading space) where it opens a text.
        self.context = 0
        self.done = 0

    def push(self, token: int) -> str:
        """Take the next token; return the letters that are now certain. After a stop string, nothing."""
        self.ids.append(token)
        return self.settle(self.fresh(whole=False))

    def finish(self) -> str:
        """The answer is over: what was held back."""
        rest = self.settle(self.fresh(whole=True)) + ("" if self.stopped else self.held)
        self.held = ""
        return rest

    def fresh(self, *, whole: bool) -> str:
        """Text of the tokens after `done`, or nothing while it may end in half a letter and is not `whole`."""
        before = self.decode(self.ids[self.context : self.done])
        after = self.decode(self.ids[self.context :])
        pending = len(self.ids) - self.done
        if not whole and pending < LONGEST_LETTER and (len(after) <= len(before) or after.endswith(HALF_LETTER)):
            return ""
        self.context, self.done = self.done, len(self.ids)
        return after[len(before) :]

    def settle(self, fresh: str) -> str:
        """Add `fresh` to what is held; let go of everything that cannot belong to a stop string."""
        if self.stopped:
            return ""
        self.held += fresh
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            out, self.held, self.stopped = self.held[: min(found)], "", True
            return out
        keep = max((overlap(self.held, stop) for stop in self.stops), default=0)
        cut = len(self.held) - keep
        out, self.held = self.held[:cut], self.held[cut:]
        return out


def overlap(text: str, stop: str) -> int:
    """How many letters at the end of `text` are the beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
