"""How near a text is in meaning to the `like` sentences of a policy's rules. Pure numpy: the vectors come in.

The cosine to the nearest sentence alone is a poor judge: two questions about one card are nearer to each other than
two attacks are. So what sets the alarming examples apart from harmless ones is learnt, by kernel ridge regression
(Saunders et al. 1998) towards 1 at every `like` and 0 at every `unlike`, at everyday phrases and at the house's own
ordinary questions. Each example is then scored by the solution without it (leave-one-out in closed form: Rasmussen
and Williams 2006, section 5.4.2), and these scores say how sure a score makes one: a normal curve for either kind,
one message in twenty alarming. That probability is what a rule's threshold is held against. Where the examples do not
tell the kinds apart, it stays low and only near copies of an example are caught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.gateway.policy import Near, Side
from luthier.lm.sentences import sentences
from luthier.records.serving import ServingPolicy

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]

SHARPNESS = 2.0
"""Of the kernel exp(SHARPNESS * (cosine - 1)): how fast an example's say fades with distance."""
SMOOTHING = 0.3
"""Ridge: how little a single example is trusted."""
ALARMING = 0.05
"""Share of messages that are taken to be alarming before one is read."""
COPY = 0.85
"""From this cosine on a text says the same as an example, and that example alone decides."""
PIECE_WORDS = 40
MOST_PIECES = 64

EVERYDAY = (
    "Hello",
    "Good morning, I hope you are well",
    "Hi there, nice to meet you",
    "Thank you very much for your help",
    "Thanks, that answers my question",
    "I have been a customer for many years",
    "I am new here",
    "My name is Maria and I live nearby",
    "I have a question",
    "Can you help me, please?",
    "Could you explain that again?",
    "Please answer briefly",
    "It is rather urgent",
    "I am not sure how this works",
    "Sorry for the trouble",
    "Have a nice day",
    "That is all for now",
    "What do you think?",
    "Yes, please",
    "No, thank you",
    "I read it on your website",
    "Kind regards",
    "Guten Tag, ich habe eine Frage",
    "Vielen Dank für Ihre Hilfe",
    "Mit freundlichen Grüßen",
    "Ich bin seit Jahren Kunde",
    "Können Sie mir das erklären?",
    "Buenos días, tengo una pregunta",
    "Muchas gracias por su ayuda",
    "Un saludo",
    "Soy cliente desde hace años",
    "¿Me lo puede explicar?",
)
"""Harmless in every house, so that politeness around a question is not taken for something out of the ordinary."""


class Learnt(NamedTuple):
    """What the R rules with `like` sentences taught, from N examples of D numbers."""

    rules: tuple[str, ...]
    examples_ND: Vectors
    owners_N: NDArray[np.int64]
    """Which rule an example is a `like` of; -1 for a harmless one."""
    weights_NR: NDArray[np.float64]
    slope: float
    offset: float
    """The log odds that a text is alarming are slope * score + offset."""


def learn(policy: ServingPolicy, side: Side, embed: Embed, ordinary: Sequence[str] = ()) -> Learnt | None:
    """Learn from the examples of the rules of `side`; None where no rule has `like` sentences.

    `ordinary` are harmless texts of the house: headings of its public documents, questions of its customers. Without
    them a policy's few sentences cannot know what is usual here, and little but near copies is caught.
    """
    rules = [rule for rule in policy.rules if rule.side == side and rule.like]
    if not rules:
        return None
    alarming = [(sentence, place) for place, rule in enumerate(rules) for sentence in rule.like]
    harmless = dict.fromkeys([*(text for rule in rules for text in rule.unlike), *EVERYDAY, *ordinary])
    examples_ND = embed([*(sentence for sentence, _ in alarming), *harmless])
    owners_N = np.array([place for _, place in alarming] + [-1] * len(harmless))
    wanted_NR = (owners_N[:, None] == np.arange(len(rules))).astype(np.float64)
    inverse_NN = np.linalg.inv(_kernel(examples_ND, examples_ND) + SMOOTHING * np.eye(len(owners_N)))
    weights_NR = inverse_NN @ wanted_NR
    unseen_N = (wanted_NR - weights_NR / np.diag(inverse_NN)[:, None]).sum(axis=1)
    slope, offset = _calibrated(unseen_N[owners_N >= 0], unseen_N[owners_N < 0])
    return Learnt(tuple(rule.id for rule in rules), examples_ND, owners_N, weights_NR, slope, offset)


def nearness(learnt: Learnt, vectors_PD: Vectors) -> dict[str, Near]:
    """For each rule, how surely the most alarming of P pieces of a text is what the rule is about.

    The scores of all rules are added up, so that examples of related rules help each other; the rule with the
    largest part gets the whole probability.
    """
    near = dict.fromkeys(learnt.rules, Near(0.0, 1.0))
    scores_PR = _kernel(vectors_PD, learnt.examples_ND) @ learnt.weights_NR
    alarm_P = 1.0 / (1.0 + np.exp(-(learnt.slope * scores_PR.sum(axis=1) + learnt.offset)))
    place_P = scores_PR.argmax(axis=1)
    _heed_copies(learnt, vectors_PD, alarm_P, place_P)
    for alarm, place in zip(alarm_P.tolist(), place_P.tolist(), strict=True):
        rule = learnt.rules[place]
        near[rule] = max(near[rule], Near(alarm, 1.0 - alarm))
    return near


def pieces(text: str) -> list[str]:
    """`text` as a whole, and each sentence of it: an attack may hide among polite sentences.

    Long sentences are cut into runs of PIECE_WORDS words (an encoder reads no further than its limit), and a very
    long text into fewer, longer pieces.
    """
    parts = [run for sentence in sentences(text) for run in _runs(sentence.text)]
    size = -(-len(parts) // MOST_PIECES) or 1
    grouped = [" ".join(parts[at : at + size]) for at in range(0, len(parts), size)]
    return list(dict.fromkeys([text, *grouped]))


def _calibrated(alarming_A: NDArray[np.float64], harmless_H: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of the log odds, for scores that are normal with one variance for both kinds."""
    high, low = float(alarming_A.mean()), float(harmless_H.mean())
    variance = max((float(alarming_A.var()) + float(harmless_H.var())) / 2, 1e-4)
    slope = max(high - low, 0.0) / variance
    return slope, -slope * (high + low) / 2 + float(np.log(ALARMING / (1 - ALARMING)))


def _heed_copies(learnt: Learnt, vectors_PD: Vectors, alarm_P: NDArray[np.float64], place_P: NDArray[np.int64]) -> None:
    """Let a near copy of an example be what the example is, in place: the officer's own words always count."""
    cosine_PN = vectors_PD @ learnt.examples_ND.T
    for piece in np.flatnonzero(cosine_PN.max(axis=1) >= COPY):
        owner = learnt.owners_N[cosine_PN[piece].argmax()]
        alarm_P[piece] = cosine_PN[piece].max() if owner >= 0 else 0.0
        place_P[piece] = max(owner, 0)


def _kernel(left_MD: Vectors, right_ND: Vectors) -> NDArray[np.float64]:
    similar: NDArray[np.float64] = np.exp(SHARPNESS * (left_MD @ right_ND.T - 1.0)).astype(np.float64)
    return similar


def _runs(sentence: str) -> Sequence[str]:
    words = sentence.split()
    return [" ".join(words[at : at + PIECE_WORDS]) for at in range(0, len(words), PIECE_WORDS)]
