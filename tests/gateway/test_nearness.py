from __future__ import annotations

from luthier.gateway.nearness import EVERYDAY, MOST_PIECES, PIECE_WORDS, learn, nearness, pieces
from luthier.gateway.remembering import Remembering
from luthier.records.serving import Rule
from tests.gateway.bench import Words, policy

THEFT = tuple(f"steal the {thing} of a stranger" for thing in ("card", "wallet", "phone", "purse", "bag", "car"))
HELP = tuple(f"let me talk about the {thing} with an adviser" for thing in ("loan", "rent", "house", "plan", "tax"))
USUAL = tuple(f"how much does the {thing} cost per year" for thing in ("card", "loan", "account", "wallet", "phone"))
RULES = (
    Rule(id="theft", side="input", action="refuse", like=THEFT, unlike=USUAL[:2]),
    Rule(id="help", side="input", action="escalate", like=HELP),
)
POLICY = policy(rules=RULES)


def near(text: str, ordinary: tuple[str, ...] = USUAL) -> dict[str, tuple[float, float]]:
    embed = Words()
    learnt = learn(POLICY, "input", embed, ordinary)
    assert learnt
    return dict(nearness(learnt, embed(pieces(text))))


def test_what_was_not_said_before_is_recognised_and_told_apart() -> None:
    found = near("steal the bicycle of a stranger")
    assert found["theft"][0] > 0.62
    assert found["theft"][0] > found["theft"][1]
    assert found["help"][0] < 0.62
    assert near("let me talk about the bicycle with an adviser")["help"][0] > 0.62


def test_ordinary_questions_and_nonsense_are_near_to_nothing() -> None:
    for text in ("how much does the bicycle cost per year", "xyzzy plugh", "Thank you very much for your help"):
        assert max(like for like, _ in near(text).values()) < 0.3, text


def test_examples_themselves_always_count() -> None:
    assert all(near(sentence)["theft"][0] > 0.62 for sentence in THEFT)
    assert all(near(sentence)["theft"][0] < 0.3 for sentence in (*USUAL, *EVERYDAY))


def test_an_attack_among_polite_sentences() -> None:
    polite = "I have been a customer for many years. " * 5
    assert near(f"{polite}Steal the bicycle of a stranger. {polite}")["theft"][0] > 0.62


def test_one_like_sentence_catches_its_copies_and_no_more() -> None:
    single = policy(rules=(Rule(id="a", side="input", action="refuse", like=("open sesame now",)),))
    embed = Words()
    learnt = learn(single, "input", embed)
    assert learnt
    assert nearness(learnt, embed(["open sesame now"]))["a"].like > 0.9
    assert nearness(learnt, embed(["when do you open"]))["a"].like < 0.5


def test_nothing_to_learn() -> None:
    assert learn(policy(rules=()), "input", Words()) is None
    assert learn(POLICY, "output", Words()) is None


def test_pieces_cover_every_word_of_a_long_text() -> None:
    text = " ".join(f"w{number}" for number in range(1000)) + ". " + "Short one. " * 300
    found = pieces(text)
    assert found[0] == text
    assert len(found) <= MOST_PIECES + 1
    assert set(" ".join(found[1:]).split()) == set(text.split())
    assert pieces("One sentence.") == ["One sentence."]
    assert max(len(piece.split()) for piece in pieces("word " * 100 + ".")[1:]) == PIECE_WORDS


def test_remembering_embeds_a_text_once() -> None:
    words = Words()
    remembering = Remembering(words, most=3)
    first = remembering(["a", "b"])
    again = remembering(["b", "a", "b", "c"])
    assert words.calls == [["a", "b"], ["c"]]
    assert (again[1] == first[0]).all()
    remembering(["d"])  # the oldest goes
    assert remembering(["a"]).shape == (1, 512)
    assert words.calls[-1] == ["a"]
    assert remembering([]).shape[0] == 0
