"""Names from the long lists, organisations by form and context, and what the language model is asked."""

import pytest

from luthier.data.recognisers.gazetteer import folded, lists
from luthier.data.recognisers.names import cased, names
from luthier.data.recognisers.organisations import organisations
from luthier.data.spans import settle


def found(text: str, language: str = "en") -> list[str]:
    return [text[span.start : span.end] for span in settle(text, names(text, language))]


def test_folding_takes_accents_and_strokes():
    assert [folded(word) for word in ("Łukasz", "Bjørn", "Ðuro", "Şükrü", "Groß", "Þórður")] == [
        *("lukasz", "bjorn", "duro", "sukru", "gross", "thordur")
    ]


def test_the_lists_know_names_of_many_languages():
    assert {"krzysztof", "sigridur", "szabolcs", "oluf", "yevgeniya"} & lists().given
    assert len(lists().given) > 10_000
    assert len(lists().family) > 10_000
    assert not lists().given & {"card", "please", "london", "monday"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("We met Szabolcs Varga yesterday.", "Szabolcs Varga"),
        ("as Sigríður Jónsdóttir wrote", "Sigríður Jónsdóttir"),
        ("why is Natalia so late", "Natalia"),
        ("Krzysztof lives in the north", "Krzysztof"),
        ("Vaclav: I never said so", "Vaclav"),
        ("i met krzysztof nowak there", "krzysztof nowak"),
        ("Quentor Q. Vabbish signed it", "Quentor Q. Vabbish"),
        ("Xomo Vuri lives next door", "Xomo Vuri"),
        ("Mein Kollege Runvas Hevan sagt dasselbe", "Runvas Hevan"),
    ],
)
def test_names_from_the_lists(text, name):
    assert found(text, "de" if "Kollege" in text else "en") == [name]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I went to London and Paris with my card."),
        ("en", "Please keep the Standard Terms. What is Broken?"),
        ("en", "the parcel was sent to virginia"),
        ("en", "can i see my balance please, may i"),
        ("de", "Gute Frage, im Sommer sind es 45 Tage."),
        ("de", "Die Lange Nacht der Museen war schön."),
        ("es", "La Casa Blanca está en Washington."),
    ],
)
def test_what_is_no_name(language, text):
    assert found(text, language) == []


def test_a_text_without_capitals_gets_them_where_a_name_may_be():
    assert cased("my friend krzysztof nowak paid") == "my friend Krzysztof Nowak paid"
    assert cased("My friend krzysztof nowak paid") == "My friend krzysztof nowak paid"
    for text in ("straße ﬁn ŉame ǆ", "", "ß"):
        assert len(cased(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Fennick Mills Ltd sent it", "Fennick Mills Ltd"),
        ("I work for Quorvex in Bath", "Quorvex"),
        ("Brown, Vane and Sons wrote", "Brown, Vane and Sons"),
        ("the Zubrowka Institute", "Zubrowka Institute"),
    ],
)
def test_organisations(text, name):
    assert [text[hit.start : hit.end] for hit in organisations(text, "en")][:1] == [name]


@pytest.mark.parametrize("text", ["I work for you", "The Bank Group", "they limited it"])
def test_what_is_no_organisation(text):
    assert list(organisations(text, "en")) == []


def test_the_language_model_reads_a_line_once_or_never(scrubber, monkeypatch):
    read: list[str] = []
    pipe = scrubber.analyzer.english.pipe
    monkeypatch.setattr(
        scrubber.analyzer.english,
        "pipe",
        lambda lines, **more: pipe([read.append(line) or line for line in lines], **more),
    )
    (text,) = scrubber.dialogue(["We saw Zephyrine there.\nplease help\nIs <PERSON_7> with Quillon Marsh?"], "en")
    assert text.text == "We saw <PERSON_8> there.\nplease help\nIs <PERSON_7> with Quillon Marsh?"
    assert [line.strip() for line in read] == ["We saw Zephyrine there."]
