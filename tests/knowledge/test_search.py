from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import BadConfig, Tampered
from luthier.knowledge import search as module
from luthier.knowledge import table
from luthier.knowledge.index import build, erase
from luthier.knowledge.search import Searcher
from luthier.knowledge.table import Row, Table
from luthier.records.knowledge import IndexVersion
from luthier.records.project import KnowledgePart
from luthier.store.workspace import Workspace
from tests.knowledge.conftest import WordVectors

HOWS = ("hybrid", "bm25", "vectors")
NASTY = [
    '"', "'", "\\", "a AND b OR NOT c", "title:gold^2 ~1 +x -y", "(((", "))", "[1 TO 2]", "{}", "*", "?", "gold*",
    "'; DROP TABLE chunks; --", "audience = 'staff'", "1=1 OR audience='staff'", "🙂🙂", "\x00\x01", "\ud800", "\u202e",
    "%s%n{}", "NULL", "é", "ﬁ", "İstanbul", "漢字仮名", "a" * 50_000, "gold " * 10_000, "\n" * 50_000, "", " ",
]  # fmt: skip


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """One searcher for the tests that only read."""
    from tests.knowledge.conftest import DOCUMENTS

    root = tmp_path_factory.mktemp("bank")
    (root / "documents").mkdir()
    for name, text in DOCUMENTS.items():
        (root / "documents" / name).write_text(text, encoding="utf-8")
    workspace = Workspace.open(root / "workspace", create=True)
    embed = WordVectors()
    return Searcher(workspace, build(KnowledgePart(documents="documents"), root, workspace, embed), embed)


@pytest.mark.parametrize("how", HOWS)
def test_a_passage_is_the_documents_own_text(bank: Searcher, folder: Path, how: str) -> None:
    first, *_ = bank.search("What does the Heron Gold card cost?", 3, how=how)
    assert (first.document, first.title, first.heading) == ("cards", "Cards", "Gold")
    assert (folder / "cards.md").read_text()[first.start : first.end] == first.text
    assert first.text == "The Heron Gold card costs 60 EUR per year."
    assert 0 < first.score <= 1


@pytest.mark.parametrize(
    ("question", "document"),
    [
        ("gebühr überweisung", "cards-de"),
        ("Ueberweisungen", "cards-de"),
        ("jahren", "cards-de"),
        ("tarjeta", "cards-es"),
    ],
)
def test_each_language_is_matched_by_its_own_rules(bank: Searcher, question: str, document: str) -> None:
    assert bank.search(question, 1, locale=document[-2:], how="bm25")[0].document == document


@pytest.mark.parametrize(("locale", "document"), [("en", "cards"), ("de-AT", "cards-de"), ("es_MX", "cards-es")])
def test_the_askers_language_is_preferred(bank: Searcher, locale: str, document: str) -> None:
    assert bank.search("Heron Gold", 1, locale=locale)[0].document == document


def test_what_is_not_translated_is_found_all_the_same(bank: Searcher) -> None:
    assert bank.search("Market Square branch", 1, locale="de")[0].document == "branches"
    assert bank.search("Market Square branch", 1, locale="xx-klingon")[0].document == "branches"


@pytest.mark.parametrize("question", NASTY)
def test_no_text_breaks_the_query(bank: Searcher, question: str) -> None:
    for how in HOWS:
        assert all(passage.audience == "public" for passage in bank.search(question, 5, "public", "de", how))
    bank.search(question, 5, "staff")


WORDS = st.sampled_from(["gold", "fee", "goodwill", "secret", "word", "Zanzibar", "Limit", "Betrug", "4711", "staff"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    question=st.lists(WORDS | st.text(max_size=8), min_size=1, max_size=12).map(" ".join),
    k=st.integers(0, 50),
    locale=st.sampled_from([None, "en", "de", "es", "'"]),
    how=st.sampled_from(HOWS),
)
def test_the_public_never_sees_what_is_for_staff(
    bank: Searcher, question: str, k: int, locale: str | None, how: str
) -> None:
    found = bank.search(question, k, "public", locale, how)
    assert len(found) <= k
    assert {passage.audience for passage in found} <= {"public"}
    assert not any("Zanzibar" in passage.text or "4711" in passage.text for passage in found)


def test_staff_sees_both(bank: Searcher) -> None:
    found = bank.search("goodwill refund Heron Gold", 20, "staff")
    assert found[0].document == "goodwill-internal"
    assert {passage.audience for passage in found} == {"public", "staff"}


def test_the_filter_comes_before_the_ranking(tmp_path: Path) -> None:
    """A hundred better rows for staff must not push the one for the public out of the candidates."""
    rows = [Row(f"s{n}", 0, 1, "", "staff", "en", "gold gold gold") for n in range(150)]
    rows.append(Row("p", 0, 1, "", "public", "en", "gold is mentioned among a great many other words in this text"))
    vectors = np.zeros((151, 4), dtype=np.float32)
    vectors[:150, 0] = 1
    vectors[150] = (0.6, 0.8, 0, 0)
    table.create(tmp_path / "t", rows, vectors)
    written = Table(tmp_path / "t")
    assert [hit.document for hit in written.match("gold", "en", 1, ["public"])[0]] == ["p"]
    assert [hit.document for hit in written.near(vectors[:1], 1, ["public"])] == ["p"]


def test_there_is_no_way_around_the_filter(bank: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the filter gone the record's word still stands: the answer is an error, never the text."""
    monkeypatch.setattr(module.Asked, "readable", ["public", "staff"])
    for how in HOWS:
        with pytest.raises(Tampered, match="against its record"):
            bank.search("secret word Zanzibar goodwill", 5, "public", how=how)


def test_rows_are_read_in_one_place_only() -> None:
    source = Path(table.__file__).read_text(encoding="utf-8")
    assert source.count(".where(") == 1
    assert source.count("self.lance.search(") == 3  # match, near, and the probe, which hands nothing out
    for path in Path(table.__file__).parent.glob("*.py"):
        if path.name != "table.py":
            assert "lancedb.connect" not in path.read_text(encoding="utf-8")
            assert ".lance" not in path.read_text(encoding="utf-8")


def test_a_table_that_calls_staff_text_public_is_noticed(
    workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    words = "Goodwill secret word Zanzibar"
    forged = Row("goodwill-internal", 50, 90, "", "public", "en", words)
    table.create(workspace.folder / index.folder, [forged], embed([words]))
    with pytest.raises(Tampered):
        Searcher(workspace, index, embed).search("Zanzibar", 1)


@pytest.mark.parametrize(("document", "start", "end"), [("unknown", 0, 5), ("cards", 5000, 5005), ("cards", 9, 3)])
def test_a_table_that_points_nowhere_is_noticed(
    document: str, start: int, end: int, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    forged = Row(document, start, end, "", "public", "en", "gold")
    table.create(workspace.folder / index.folder, [forged], embed(["gold"]))
    with pytest.raises(Tampered):
        Searcher(workspace, index, embed).search("gold", 1)


def test_a_changed_blob_is_never_quoted(workspace: Workspace, index: IndexVersion, searcher: Searcher) -> None:
    digest = next(document.digest for document in index.documents if document.name == "branches")
    path = next((workspace.folder / "blobs").rglob(f"{digest}*"))
    path.write_bytes(path.read_bytes().replace(b"09:00", b"03:00"))
    with pytest.raises(Tampered):
        searcher.search("Market Square branch opens", 1)


@pytest.mark.parametrize("audience", ["", "Staff", "everybody", "staff' OR '1'='1", None])
def test_an_unknown_audience_is_refused(bank: Searcher, audience: str) -> None:
    with pytest.raises(BadConfig, match="none of: public, staff"):
        bank.search("gold", 1, audience)


def test_an_unknown_way_of_searching_is_refused(bank: Searcher) -> None:
    with pytest.raises(BadConfig, match="hybrid, bm25, vectors"):
        bank.search("gold", 1, how="magic")


def test_threads_search_while_documents_are_erased(
    workspace: Workspace, index: IndexVersion, searcher: Searcher
) -> None:
    def look(turn: int) -> set[str]:
        return {
            passage.document for passage in searcher.search("Heron Gold branch card", 20, "staff", how=HOWS[turn % 3])
        }

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(look, turn) for turn in range(30)]
        for name in ("cards-es", "branches", "cards-de"):
            erase(workspace, [index], name, "test", "admin")
        for each in looks:
            each.result()
    assert look(0) == {"cards", "goodwill-internal", "fraud-internal"}
