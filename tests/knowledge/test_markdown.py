from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadData
from luthier.knowledge.chunks import chunks, count, searchable
from luthier.knowledge.markdown import Document, plain, read, spoken

DEFAULTS = {"audience": "public", "locale": "en"}


def parsed(text: str, name: str = "cards", **defaults: str) -> Document:
    return read(text.encode(), name, "d" * 64, DEFAULTS | defaults)


def cut(text: str, words: int = 120) -> list[tuple[str, str]]:
    document = parsed(text)
    return [(chunk.heading, document.text[chunk.start : chunk.end]) for chunk in chunks(document, words)]


def test_front_matter() -> None:
    said = parsed("---\ntitle: 'Cards: all'\naudience: staff\nlocale: de_AT\nupdated: 2026-09-10\ntags: [a, b]\n---\nx")
    assert said.version.model_dump() == {
        "name": "cards",
        "title": "Cards: all",
        "digest": "d" * 64,
        "audience": "staff",
        "locale": "de-AT",
        "updated": "2026-09-10",
    }


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Our *gold* [cards](x.md)<a name='c'></a>\ntext", "Our gold cards"),
        ("Setext\n======\ntext", "Setext"),
        ("## Only a second level\ntext", "Lost or stolen card"),
        ("no heading", "Lost or stolen card"),
        ("---\ntitle:\n---\n# From the heading", "From the heading"),
    ],
)
def test_title_comes_from_the_first_heading_or_the_name(text: str, title: str) -> None:
    assert parsed(text, "help/lost-or_stolen-card").version.title == title


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("---\naudience: stuff\n---\nx", "'stuff' is unknown"),
        ("---\naudience:\n---\nx", "'' is unknown"),
        ("---\naudience: [staff]\n---\nx", "'' is unknown"),
        ("---\naudience: Staff\n---\nx", "'Staff' is unknown"),
        ("---\naudiance: staff\n---\nx", "'audiance'"),
        ("---\naudience: staff\naudience: public\n---\nx", "twice"),
        ("---\nAudience: staff\naudience: public\n---\nx", "twice"),
        ("---\naudience: staff\n\nNo end of it", "not closed"),
        ("---\ntitle: 'open\n---\nx", "not YAML"),
        ("---\n- a\n- b\n---\nx", "not a list of keys"),
        ("---\nlocale: the Queen's English\n---\nx", "not a language tag"),
    ],
)
def test_a_slip_of_the_pen_never_makes_a_document_public(text: str, complaint: str) -> None:
    with pytest.raises(BadData, match=complaint) as caught:
        parsed(text, "rules")
    assert "rules" in caught.value.what
    assert caught.value.mend


@pytest.mark.parametrize("head", ["\ufeff---\n", "\n\n---\n", "---  \r\n", "\ufeff\r\n---\r\n"])
def test_front_matter_is_seen_behind_marks_and_blank_lines(head: str) -> None:
    document = parsed(f"{head}AUDIENCE: staff\n...\nThe text.")
    assert document.version.audience == "staff"
    assert [document.text[c.start : c.end] for c in chunks(document, 120)] == ["The text."]


def test_what_a_file_does_not_say_the_project_says() -> None:
    assert parsed("x", audience="staff", locale="es").version.audience == "staff"
    assert parsed("---\nlocale: no\n---\nx", audience="staff", locale="es").version.locale == "no"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert cut("---\n\nA note: this is text.") == [("", "A note: this is text.")]


def test_not_utf8() -> None:
    with pytest.raises(BadData, match="byte 3 is not UTF-8"):
        read(b"abc\xff", "cards", "d" * 64, DEFAULTS)


def test_one_section_is_one_chunk_with_the_headings_above_it() -> None:
    text = "# Cards\nIntro.\n## Gold\n\nOne. Two.\n\n- a\n- b\n\n### Fees\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    text += "## Classic\nLast."
    assert cut(text) == [
        ("", "Intro."),
        ("Gold", "One. Two.\n\n- a\n- b"),
        ("Gold › Fees", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("Classic", "Last."),
    ]


def test_a_heading_in_code_is_code() -> None:
    assert cut("## Shell\n```\n# not a heading\n<!-- shown -->\n```\nAfter.") == [
        ("Shell", "```\n# not a heading\n<!-- shown -->\n```\nAfter.")
    ]


def test_comments_are_never_quoted() -> None:
    text = "Fee is 5 EUR. <!-- was 6, see ticket --> Paid yearly.\n\n<!--\nsecret\n\n# hidden\n-->\n\n"
    text += "End.\n\n<!-- open\nsecret"
    assert cut(text) == [("", "Fee is 5 EUR."), ("", "Paid yearly."), ("", "End.")]


def test_long_sections_are_cut_evenly_at_sentence_ends() -> None:
    sentences = [f"Sentence number {n} costs {n}.50 EUR, e.g. on the {n}th of the month." for n in range(40)]
    pieces = [text for _, text in cut("# T\n" + " ".join(sentences), words=60)]
    assert " ".join(pieces) == " ".join(sentences)
    assert all(piece.endswith("month.") for piece in pieces)
    sizes = [count(piece) for piece in pieces]
    assert max(sizes) <= 90
    assert max(sizes) - min(sizes) <= 13  # one sentence


def test_tables_code_and_endless_words_are_cut_too() -> None:
    table = "\n".join(f"| row {n} | value {n} |" for n in range(200))
    for body in (table, "```\n" + table + "\n```", "word " * 900, "x" * 20_000, "漢字" * 900):
        pieces = [text for _, text in cut(body, words=50)]
        assert len(pieces) > 5
        assert max(map(count, pieces)) <= 75
    assert all(line.endswith("|") for _, text in cut(table, words=50) for line in text.splitlines())


def test_what_is_searched_is_plain_and_composed() -> None:
    document = parsed("# Ko\u0308nig\n## Fees\n**Bold** [link](http://x.y/z?a=1), `code`, a_b, 2 * 3, <b>tag</b>\\.")
    (chunk,) = chunks(document, 120)
    assert searchable(document, chunk) == "König › Fees\nBold link, code, a_b, 2 * 3, tag ."


def test_plain_keeps_comparisons() -> None:
    assert plain("a < b and c > d, 5 * 3 * 2 = 30") == "a < b and c > d, 5 * 3 * 2 = 30"


def test_spoken() -> None:
    assert spoken("guides/two-factor_app") == "Two factor app"


MARKDOWN = st.lists(
    st.sampled_from(["# A\n", "## B\n", "\n", "Text one. Text two!\n", "- item\n", "> quote\n", "```\n", "<!--", "-->"])
    | st.sampled_from(
        ["    code\n", "| a | b |\n|--|--|\n", "<div>\n", "***\n", "===\n", "\r\n", "\r", "\x0c", "\u2028"]
    )
    | st.text(max_size=20),
    max_size=30,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(MARKDOWN, st.integers(1, 30))
def test_any_text_is_cut_into_true_and_ordered_pieces(text: str, words: int) -> None:
    try:
        document = parsed(text)
    except BadData:
        return
    last = 0
    for chunk in chunks(document, words):
        piece = document.text[chunk.start : chunk.end]
        assert piece
        assert piece == piece.strip()
        assert chunk.start >= last
        assert count(piece) <= 1.5 * words + words + 1
        assert searchable(document, chunk)
        last = chunk.end
