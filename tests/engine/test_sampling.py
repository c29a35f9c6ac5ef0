"""Tokens are drawn as asked, and scores are the log-probabilities."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from luthier.engine.sampling import Sampling, choose, choose_all, generator, score

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])


def drawn(asked: Sampling, times: int = 4000) -> dict[int, float]:
    draws = generator(1)
    counts = Counter(choose(LOGITS, asked, draws) for _ in range(times))
    return {token: count / times for token, count in counts.items()}


def test_temperature_0_takes_the_likeliest() -> None:
    assert drawn(Sampling(1, temperature=0), 5) == {0: 1.0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_probabilities(temperature: float) -> None:
    wanted = (LOGITS / temperature).softmax(-1)
    for token, share in drawn(Sampling(1, temperature=temperature)).items():
        assert share == pytest.approx(float(wanted[token]), abs=0.03)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    # Probabilities .64 .24 .09 .03: .64 alone does not reach .7, the first two do.
    assert drawn(Sampling(1, top_p=0.7)).keys() == {0, 1}
    assert drawn(Sampling(1, top_p=0.6)).keys() == {0}


def test_top_k_keeps_the_k_likeliest() -> None:
    assert drawn(Sampling(1, top_k=2, temperature=2)).keys() == {0, 1}


def test_a_seed_repeats_whatever_stands_beside_it() -> None:
    asked = Sampling(1, seed=7)
    alone = [choose(LOGITS, asked, draws) for draws in [generator(7)] for _ in range(20)]
    draws = [generator(3), generator(7)]
    beside = [choose_all(LOGITS.expand(2, -1), [Sampling(1), asked], draws)[1] for _ in range(20)]
    assert alone == beside


def test_scores_are_log_probabilities_before_temperature() -> None:
    logps = LOGITS.log_softmax(-1)
    first, second = score(torch.stack([LOGITS, LOGITS.flip(0)]), [1, 4], 2)
    assert first.logprob == pytest.approx(float(logps[1]))
    assert first.top == ((0, pytest.approx(float(logps[0]))), (1, pytest.approx(float(logps[1]))))
    assert second.logprob == pytest.approx(float(logps[0]))
