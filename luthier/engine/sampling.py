"""How the next token is chosen from the logits, and what is reported about the choice. Knows nothing of models."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Sampling(NamedTuple):
    """What a caller asked for, for one answer."""

    max_tokens: int
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Nucleus sampling (Holtzman et al. 2019, arXiv:1904.09751): the smallest set of tokens with this probability."""
    top_k: int = 0
    """Only the k likeliest tokens; 0 is all."""
    seed: int | None = None
    stops: tuple[str, ...] = ()
    logprobs: int | None = None
    """Report each token's log-probability and those of this many others; None reports nothing."""
    echo: bool = False
    """The prompt is part of the answer, its log-probabilities included."""
    ignore_eos: bool = False


class Scored(NamedTuple):
    """A token with its log-probability before temperature, and the likeliest ones at its place."""

    token: int
    logprob: float | None
    """None for the first token of a text: nothing stands before it."""
    top: tuple[tuple[int, float], ...] = ()


def generator(seed: int | None) -> torch.Generator:
    """The randomness of one answer: the same seed, the same draws, whatever else is in the batch."""
    made = torch.Generator()
    if seed is None:
        made.seed()
    else:
        made.manual_seed(seed % (1 << 63))
    return made


def choose(logits_V: torch.Tensor, asked: Sampling, draws: torch.Generator) -> int:
    """One token from the logits (V,), as `asked`."""
    if asked.temperature == 0:
        return int(logits_V.argmax())
    scaled_V = logits_V.float().cpu() / max(asked.temperature, 1e-5)
    if 0 < asked.top_k < scaled_V.numel():
        least = scaled_V.topk(asked.top_k).values[-1]
        scaled_V = scaled_V.masked_fill(scaled_V < least, -torch.inf)
    chances_V, order_V = scaled_V.softmax(-1).sort(descending=True)
    if asked.top_p < 1:
        before_V = chances_V.cumsum(-1) - chances_V
        chances_V = chances_V.masked_fill(before_V >= asked.top_p, 0.0)
    return int(order_V[torch.multinomial(chances_V, 1, generator=draws)])


def choose_all(logits_BV: torch.Tensor, asked: list[Sampling], draws: list[torch.Generator]) -> list[int | None]:
    """One token for each row (B, V); None where the logits are no numbers. The likeliest ones in one go."""
    largest_B, likeliest_B = logits_BV.max(-1)
    sound = largest_B.isfinite().tolist()
    tokens: list[int | None] = [
        token if fine else None for token, fine in zip(likeliest_B.tolist(), sound, strict=True)
    ]
    for row, (wish, own) in enumerate(zip(asked, draws, strict=True)):
        if wish.temperature > 0 and sound[row]:
            tokens[row] = choose(logits_BV[row], wish, own)
    return tokens


def score(logits_NV: torch.Tensor, tokens: list[int], top: int) -> list[Scored]:
    """The log-probabilities of `tokens` (N) and of the `top` likeliest ones at their places."""
    logps_NV = logits_NV.float().log_softmax(-1)
    own: list[float] = logps_NV.gather(-1, torch.tensor(tokens, device=logps_NV.device)[:, None])[:, 0].tolist()
    best = logps_NV.topk(min(top, logps_NV.shape[-1]), dim=-1)
    ids, values = best.indices.tolist(), best.values.tolist()
    return [
        Scored(token, logprob, tuple(zip(ids[n], values[n], strict=True)))
        for n, (token, logprob) in enumerate(zip(tokens, own, strict=True))
    ]
