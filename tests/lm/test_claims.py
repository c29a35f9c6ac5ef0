import pytest

from luthier.lm.claims import Claim, names, negations

FREE = "Withdrawals at Larkmoor machines are free. Instant transfers cannot be recalled."


@pytest.mark.parametrize(
    ("claim", "quote", "carried"),
    [
        ("Instant transfers cannot be recalled.", FREE, True),
        ("Instant transfers can be recalled.", FREE, False),
        ("Sofortüberweisungen sind nicht kostenlos.", "Sofortüberweisungen sind kostenlos.", False),
        ("Las transferencias no son gratuitas.", "Las transferencias son gratuitas.", False),
        ("There is no minimum deposit or monthly fee.", "There is no minimum deposit and a monthly fee.", True),
        ("You don't pay a monthly fee.", "You pay a monthly fee.", False),
        ("See No. 5 of the price list.", "See number 5 of the price list.", True),
        ("The annual fee of the Heron Gold is 60 EUR.", "The annual fee of the Heron Classic is 60 EUR.", False),
        ("The annual fee of the Heron Gold is 60 EUR.", "The annual fee of the Heron Gold is 60 EUR.", True),
        ("Die Gebühr für den Kurier beträgt heute 60 EUR.", "Die Gebühr beträgt heute 60 EUR.", True),
        ("", "anything", False),
    ],
)
def test_a_quote_carries_a_claim_or_not(claim, quote, carried):
    taken_apart = Claim.of(claim)
    assert (bool(taken_apart) and taken_apart.carried_by(quote)) is carried


def test_a_name_may_stand_in_the_heading():
    claim = Claim.of("The annual fee of the Heron Gold is 60 EUR.")
    assert claim.carried_by("The annual fee is 60 EUR.", under="Credit cards › Heron Gold") is False  # words lack too
    assert Claim.of("The annual fee for Gold is 60 EUR.").carried_by("The annual fee is 60 EUR.", under="Heron Gold")


def test_names_are_not_german_nouns_and_negations_are_counted():
    assert names("The Heron Gold costs 60 EUR.") == {"hero", "gold"}
    assert names("Die Karte kostet an der Kasse nichts.") == frozenset()
    assert negations("There is no fee, and it isn't slow. See No. 5.") == 2
