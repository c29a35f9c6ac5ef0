import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luthier.errors import BadData
from luthier.lm.grounding import cite, compose, stands, support, with_citations, without_markers
from luthier.records.data import Message
from luthier.records.knowledge import Passage

DOCUMENT = (
    "Lost or stolen card\n\nReplacing the card\n\nA replacement card costs 8 EUR. It arrives within 5 working days. "
    "Call the card line 4040 day and night. Instant transfers up to 2,500 EUR leave by 17:30."
)
AT = DOCUMENT.index("A replacement")
CARD = Passage(
    document="lost-or-stolen-card",
    title="Lost or stolen card",
    digest="d" * 64,
    start=AT,
    end=len(DOCUMENT),
    text=DOCUMENT[AT:],
    heading="Lost or stolen card › Replacing the card",
)
GERMAN = Passage(
    document="karte",
    title="Karte",
    digest="e" * 64,
    start=0,
    end=86,
    text="Eine Ersatzkarte kostet 8,50 EUR. Die Frist endet am 14. September um 17:30 Uhr. Danke.",
).model_copy(update={"end": 87})


def user(text):
    return Message(role="user", content=text)


def assistant(text):
    return Message(role="assistant", content=text)


def test_a_prompt_is_instructions_history_passages_question():
    asked = [
        Message(role="system", content="mine"),
        user("Hi"),
        assistant("Hello"),
        user("old?"),
        assistant("old."),
        user("new?"),
    ]
    composed = compose(asked, [CARD, GERMAN], "Answer from the passages.")
    assert [m.role for m in composed] == ["system", "user", "assistant", "user"]
    assert composed[0].content == "Answer from the passages."
    assert composed[1:3] == asked[3:5]
    assert composed[3].content == (
        f"[1] Lost or stolen card › Replacing the card\n{CARD.text}\n\n[2] Karte\n{GERMAN.text}\n\nQuestion: new?"
    )


def test_a_prompt_without_passages_is_the_question_alone():
    assert compose([user("Hi")], [], "") == [user("Hi")]


def test_messages_in_a_row_are_one_question_and_a_history_that_does_not_alternate_goes():
    composed = compose([assistant("Welcome"), user("Hi"), user("what does it cost?")], [], "x")
    assert composed[1:] == [user("Hi\nwhat does it cost?")]


def test_the_answer_of_a_training_row_stays():
    assert compose([user("a?"), assistant("b")], [], "x")[2] == assistant("b")


def test_nobody_asks():
    with pytest.raises(BadData, match="no user message"):
        compose([assistant("b")], [], "x")


@pytest.mark.parametrize(
    ("answer", "verified", "quote"),
    [
        ("A replacement card costs 8 EUR [1].", True, "A replacement card costs 8 EUR."),
        ("A replacement card costs €8. [1]", True, "A replacement card costs 8 EUR."),
        ("Replacement cards cost 9 EUR [1].", False, "A replacement card costs 8 EUR."),
        ("A replacement card costs 8 EUR and arrives within five working days [1].", True,
         "A replacement card costs 8 EUR. It arrives within 5 working days."),
        ("A replacement card costs 5 EUR and arrives within 8 working days [1].", False, None),
        ("Instant transfers up to 2500 EUR leave by 5:30 pm [1].", True,
         "Instant transfers up to 2,500 EUR leave by 17:30."),
        ("Instant transfers up to 2500 EUR leave by 18:30 [1].", False, None),
        ("A replacement card is delivered by courier to any hotel abroad [1].", False, None),
        ("Yes [1].", False, ""),
        ("Zebras graze [1].", False, ""),
    ],
)  # fmt: skip
def test_a_citation_is_verified_by_figures_and_words(answer, verified, quote):
    (citation,) = cite(answer, [CARD])
    assert citation.verified is verified
    assert stands(citation, DOCUMENT) is bool(citation.quote)
    if quote is not None:
        assert citation.quote == quote


def test_a_german_claim_meets_german_figures():
    cited = cite("Eine Ersatzkarte kostet 8.50 Euro [1]. Die Frist endet am 14. September um 17.30 Uhr [1].", [GERMAN])
    assert [c.verified for c in cited] == [True, True]
    assert cited[1].quote == "Die Frist endet am 14. September um 17:30 Uhr."


def test_markers_without_passages_are_told_and_not_verified():
    cited = cite("A replacement card costs 8 EUR [7].", [CARD])
    assert [(c.marker, c.document, c.verified) for c in cited] == [(7, "", False)]
    assert cite("A replacement card costs 8 EUR.", [CARD]) == ()
    assert cite("", []) == ()


def test_two_markers_make_two_citations():
    cited = cite("A replacement card costs 8 EUR [1, 2].", [CARD, GERMAN])
    assert [(c.marker, c.verified) for c in cited] == [(1, True), (2, False)]
    assert cite("It costs [1][1].", [CARD])[0].claim == "It costs."


def test_a_passage_whose_offsets_do_not_fit_is_never_verified():
    crooked = CARD.model_copy(update={"end": CARD.end + 1})
    assert not cite("A replacement card costs 8 EUR [1].", [crooked])[0].verified


def test_training_answers_get_the_markers_that_serving_would_verify():
    answer = "A replacement card costs 8 EUR. Do you need help?\n- It arrives within 5 working days\n\nHave a nice day!"
    marked = with_citations(answer, [GERMAN, CARD])
    assert marked == answer.replace("8 EUR.", "8 EUR [2].").replace("working days", "working days [2]")
    assert all(citation.verified for citation in cite(marked, [GERMAN, CARD]))
    assert with_citations(marked, [GERMAN, CARD]) == marked
    assert without_markers("A card [1] costs 8 EUR [2].") == "A card costs 8 EUR."


def test_support_is_the_same_judgement():
    span = support("A replacement card costs 8 EUR.", CARD)
    assert span is not None
    assert DOCUMENT[span.start : span.end] == span.quote
    assert support("A replacement card costs 80 EUR.", CARD) is None


@given(st.text(alphabet="Aa 8€.[]12?!\n", max_size=60) | st.text(max_size=60))
@example("8?.")
@example("8 .")
@example("8?].")
def test_what_is_marked_verifies_and_any_text_is_read(answer):
    passages = [CARD, GERMAN]
    cite(answer, passages)
    marked = with_citations(answer, passages)
    assert with_citations(marked, passages) == marked
    assert without_markers(marked) == without_markers(answer)
    if without_markers(answer) == answer:
        assert all(citation.verified for citation in cite(marked, passages))


@given(st.text(min_size=1, max_size=200))
def test_quotes_are_verbatim_for_any_passage(text):
    passage = Passage(document="d", title="t", digest="x", start=3, end=3 + len(text), text=text)
    for citation in cite(text.replace("[", "") + " [1].", [passage]):
        assert not citation.quote or ("   " + text)[citation.start : citation.end] == citation.quote
