"""Canaries: what is planted stands where it is said to, and the figures are a scrubber's with known faults."""

import pytest

from luthier.data.canaries import TYPES, Rate, canary, measure, plant, require
from luthier.data.recognisers.national import spanish, steuer_id
from luthier.data.recognisers.numbers import IBAN_LENGTHS, luhn, mod97
from luthier.errors import BadConfig, GateFailed
from luthier.records.data import Found, Scrubbed

TEXTS = [
    ("The lamp came late. It was broken! Can I send it back?\nThanks", "en"),
    ("Die Lampe kam zu spät. Kann ich sie zurückgeben?", "de"),
    ("¿Puedo devolver la lámpara?", "es"),
    ("Questo è un altro testo", "it"),
]


class Knowing:
    """A scrubber that finds what it is told to: each value of `found`, wherever it stands."""

    def __init__(self, found: dict[str, str]) -> None:
        self.values = found

    def dialogue(self, texts, language="en"):
        return [Scrubbed(text, tuple(self.hits(text))) for text in texts]

    def hits(self, text):
        for value, kind in self.values.items():
            start = text.find(value)
            if start >= 0:
                yield Found(start, start + len(value), kind, value)


def values(seed=0, per_type=20, types=TYPES):
    return [(p.text[p.start : p.end], p.type) for p in plant(TEXTS, seed, per_type, types) if p.type]


def test_every_canary_stands_in_a_text_of_the_user():
    for planted in plant(TEXTS, 3, 10, TYPES):
        low, high = planted.carrier
        whole = planted.text[:low].rstrip(". ") + planted.text[high:]
        assert any("".join(whole.split()).startswith("".join(t.split())[:12]) or not low for t, _ in TEXTS)
        if planted.type:
            assert low <= planted.start < planted.end <= high


def test_a_seed_gives_the_same_canaries_and_another_gives_others():
    assert values(seed=1) == values(seed=1)
    assert set(values(seed=1)) != set(values(seed=2))


def test_canaries_are_right_by_their_checksums():
    for value, kind in values(per_type=100):
        solid = "".join(letter for letter in value if letter.isalnum())
        if kind == "IBAN":
            assert mod97(solid)
            assert len(solid) == IBAN_LENGTHS[solid[:2]]
        if kind == "CARD":
            assert luhn(solid)
        if kind == "ID":
            assert steuer_id(solid) if len(solid) == 11 else spanish(solid) if solid[-1].isalpha() else solid[0] == "9"


def test_a_scrubber_that_knows_all_finds_all():
    report = measure(Knowing(dict(values())), TEXTS, 0, 20)
    assert all(rate.share == 1 and rate.of == 20 for rate in report.recall.values())
    assert report.missed == {}


def test_what_is_left_out_is_missed():
    known = dict(values())
    lost = [value for value, kind in known.items() if kind == "IBAN"][:5]
    report = measure(Knowing({v: k for v, k in known.items() if v not in lost}), TEXTS, 0, 20)
    assert report.recall["IBAN"] == Rate(15, 20)
    assert len(report.missed["IBAN"]) == 5
    assert all(any(value in sentence for value in lost) for sentence in report.missed["IBAN"])


def test_a_part_that_is_left_is_a_leak():
    halves = {value[: len(value) // 2]: kind for value, kind in values() if kind == "IBAN"}
    assert measure(Knowing(halves), TEXTS, 0, 20).recall["IBAN"].hits == 0


def test_what_is_found_in_a_decoy_is_wrong():
    report = measure(Knowing({"March": "PERSON", "März": "PERSON", "marzo": "PERSON"}), TEXTS, 0, 20)
    assert report.precision["PERSON"].of > 5
    assert report.precision["PERSON"].share < 0.5


def test_what_is_found_in_the_users_own_words_is_not_judged():
    report = measure(Knowing({"lamp": "PERSON", "Lampe": "PERSON", "lámpara": "PERSON"}), TEXTS, 0, 20)
    assert report.precision["PERSON"].of == 0
    assert report.own["PERSON"] > 50


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129), (95, 100, 0.8872, 0.9836), (0, 0, 0, 1)],
)
def test_intervals_are_those_of_the_tables(hits, of, low, high):
    assert Rate(hits, of).interval == pytest.approx((low, high), abs=5e-5)


def test_the_gate():
    known = dict(values())
    lost = [value for value, kind in known.items() if kind == "CARD"][:1]
    report = measure(Knowing({v: k for v, k in known.items() if v not in lost}), TEXTS, 0, 20)
    require(report, {"CARD": 0.95, "IBAN": 1.0})
    with pytest.raises(GateFailed, match=r"CARD 0\.950 < 0\.96"):
        require(report, {"CARD": 0.96})
    with pytest.raises(GateFailed, match="IBAN"):
        require(report, {"IBAN": 0.95}, surely=True)
    for limits in ({"SHOE": 0.5}, {"IBAN": 1.5}):
        with pytest.raises(BadConfig):
            require(report, limits)


def test_types_that_nobody_plants():
    with pytest.raises(BadConfig):
        measure(Knowing({}), TEXTS, types=["SHOE"])
    with pytest.raises(BadConfig):
        measure(Knowing({}), TEXTS, per_type=0)


def test_names_are_not_all_from_a_list():
    import random

    from luthier.data.recognisers.gazetteer import folded, lists

    rng = random.Random(0)
    names = [canary("PERSON", "en", rng).split() for _ in range(200)]
    unknown = sum(not {folded(word) for word in name} & (lists().given | lists().family) for name in names)
    assert unknown > 20


def test_the_weightless_scrubber_finds_what_has_a_form(scrubber):
    report = measure(scrubber, TEXTS, 0, 25)
    for kind in ("IBAN", "CARD", "EMAIL", "IP", "PHONE", "SECRET"):
        assert report.recall[kind].share == 1, (kind, report.missed[kind])
        assert report.precision[kind].share == 1 or kind == "PHONE"
    assert report.body()["types"]["IBAN"]["recall"]["share"] == 1.0


@pytest.mark.models
def test_the_scrubber_that_users_have_passes_its_gate(pulled):
    english = [(text, language) for text, language in TEXTS if language == "en"]
    require(measure(pulled, english, 0, 60), {"PERSON": 0.75, "ADDRESS": 0.9, "ID": 0.95, "ACCOUNT": 0.95})
