from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from luthier.errors import BadConfig, BadData, Missing, NoRoom, RunFailed, UnknownName
from luthier.knowledge import table
from luthier.knowledge.index import build, erase, prune
from luthier.knowledge.search import Searcher
from luthier.records.base import sha256
from luthier.records.knowledge import IndexVersion
from luthier.records.project import KnowledgePart
from luthier.store import audit
from luthier.store.workspace import Workspace
from tests.knowledge.conftest import DOCUMENTS, WordVectors


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def names(searcher: Searcher, question: str, audience: str = "public") -> list[str]:
    return [passage.document for passage in searcher.search(question, 20, audience)]


def test_the_record_names_every_document_by_its_bytes(index: IndexVersion, folder: Path, workspace: Workspace) -> None:
    assert [document.name for document in index.documents] == sorted(name.removesuffix(".md") for name in DOCUMENTS)
    for document in index.documents:
        data = (folder / f"{document.name}.md").read_bytes()
        assert document.digest == sha256(data)
        assert workspace.blobs.get(document.digest) == data
    assert index.chunks == 8
    workspace.ledger.put(index)
    assert audit.verify(workspace).ok


def test_the_same_documents_are_the_same_version(
    part: KnowledgePart, folder: Path, workspace: Workspace, tmp_path: Path
) -> None:
    first = build(part, folder.parent, workspace, WordVectors())
    again = WordVectors()
    assert build(part, folder.parent, workspace, again, previous=first) == first
    assert len(again.texts) == 1  # the probe
    with Workspace.open(tmp_path / "elsewhere", create=True) as other:
        assert build(part, folder.parent, other, WordVectors()).id == first.id


def test_only_changed_chunks_are_embedded(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion
) -> None:
    text = DOCUMENTS["cards.md"].replace("24 EUR", "25 EUR")
    (folder / "cards.md").write_text(text, encoding="utf-8")
    (folder / "branches.md").rename(folder / "offices.md")
    embed = WordVectors()
    told: list[tuple[str, int, int]] = []
    second = build(part, folder.parent, workspace, embed, lambda *call: told.append(call), index)
    assert [text for text in embed.texts[1:] if text not in embed.texts[:1]] == [
        "Cards › Classic\nThe Heron Classic card costs 25 EUR per year."
    ]
    assert told == [("embed", 1, 1)]
    assert second.previous == index.id
    assert second.parents()[0].id == index.id


def test_update_and_delete_leave_no_stale_hit(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    (folder / "cards.md").write_text(DOCUMENTS["cards.md"].replace("24 EUR", "25 EUR"), encoding="utf-8")
    (folder / "branches.md").unlink()
    second = build(part, folder.parent, workspace, embed, previous=index)
    searcher = Searcher(workspace, second, embed)
    for how in ("hybrid", "bm25", "vectors"):
        found = searcher.search("Heron Classic 24 EUR Market Square branch opens", 20, how=how)
        assert "branches" not in {passage.document for passage in found}
        assert not any("24 EUR" in passage.text for passage in found)
    # The version before goes on serving what it always said, until it is pruned.
    assert "branches" in names(Searcher(workspace, index, embed), "Market Square branch opens")


def test_pruned_text_leaves_the_disk(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    old = Searcher(workspace, index, embed)
    assert "branches" in names(old, "Market Square")
    (folder / "branches.md").unlink()
    second = build(part, folder.parent, workspace, embed, previous=index)
    assert b"Market Square" in bytes_below(workspace.folder / "indexes")
    assert prune(workspace, [second]) == [Path(index.folder).name]
    assert b"Market Square" not in bytes_below(workspace.folder / "indexes")
    with pytest.raises(Missing):
        old.search("Market Square", 3)
    assert names(Searcher(workspace, second, embed), "Heron Gold")


def test_erased_text_is_gone_at_the_next_question_and_from_the_disk(
    workspace: Workspace, index: IndexVersion, searcher: Searcher, folder: Path
) -> None:
    workspace.ledger.put(index)
    assert "goodwill-internal" in names(searcher, "secret word Zanzibar", "staff")
    assert b"Zanzibar" in bytes_below(workspace.folder)
    assert erase(workspace, [index, index], "goodwill-internal", "asked for by the bank", "admin") == 1
    assert "goodwill-internal" not in names(searcher, "secret word Zanzibar", "staff")
    assert len(names(searcher, "secret word Zanzibar", "staff")) == index.chunks - 1
    assert b"Zanzibar" not in bytes_below(workspace.folder)
    assert audit.verify(workspace).ok


def test_erasing_everything_leaves_an_index_that_finds_nothing(
    workspace: Workspace, index: IndexVersion, searcher: Searcher
) -> None:
    for document in index.documents:
        erase(workspace, [index], document.name, "all", "admin")
    assert searcher.search("Heron Gold", 5, "staff") == []


def test_equal_bytes_stay_while_another_document_has_them(
    part: KnowledgePart, folder: Path, workspace: Workspace, embed: WordVectors
) -> None:
    shutil.copy(folder / "branches.md", folder / "offices.md")
    index = build(part, folder.parent, workspace, embed)
    erase(workspace, [index], "branches", "closed", "admin")
    assert "offices" in names(Searcher(workspace, index, embed), "Market Square")


def test_erase_of_an_unknown_document(workspace: Workspace, index: IndexVersion) -> None:
    with pytest.raises(UnknownName, match="did you mean 'branches'"):
        erase(workspace, [index], "branch", "", "admin")


def test_an_erased_document_that_still_lies_there_is_indexed_again(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    erase(workspace, [index], "branches", "closed", "admin")
    again = build(part, folder.parent, workspace, embed, previous=index)
    assert again == index
    assert "branches" in names(Searcher(workspace, again, embed), "Market Square")


def test_bad_documents_are_named_all_at_once(part: KnowledgePart, folder: Path, workspace: Workspace) -> None:
    (folder / "a.md").write_bytes(b"\xff\xfe")
    (folder / "b.md").write_text("---\naudience: everybody\n---\nx", encoding="utf-8")
    (folder / "cards.markdown").write_text("twice", encoding="utf-8")
    with pytest.raises(BadData, match="3 of the documents") as caught:
        build(part, folder.parent, workspace, WordVectors())
    assert all(name in caught.value.what for name in ("a: ", "b: ", "cards: "))
    assert not (workspace.folder / "indexes").exists()


@pytest.mark.parametrize(
    ("write", "error"),
    [({}, BadData), ({".hidden.md": "x", "sub/.git/x.md": "x", "x.txt": "x"}, BadData), ({"x.md": "# Only"}, BadData)],
)
def test_nothing_to_index(write: dict[str, str], error: type, tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "none").mkdir()
    for name, text in write.items():
        (tmp_path / "none" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "none" / name).write_text(text)
    with pytest.raises(error):
        build(KnowledgePart(documents="none"), tmp_path, workspace, WordVectors())


def test_no_folder(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(BadConfig, match="not a folder"):
        build(KnowledgePart(documents="nowhere"), tmp_path, workspace, WordVectors())


def test_documents_below_folders_are_named_by_their_path(tmp_path: Path, workspace: Workspace) -> None:
    for name in ("a/fees.md", "b/fees.MD"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True)
        (tmp_path / "docs" / name).write_text(f"Text of {name}.")
    index = build(KnowledgePart(documents="docs"), tmp_path, workspace, WordVectors())
    assert [document.name for document in index.documents] == ["a/fees", "b/fees"]


def test_another_model_of_the_same_name_is_noticed(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion
) -> None:
    other = WordVectors(salt="other")
    with pytest.raises(BadConfig, match="another embedding model"):
        Searcher(workspace, index, other).search("Heron Gold", 3)
    with pytest.raises(BadConfig, match="another embedding model"):
        Searcher(workspace, index, WordVectors(width=32)).search("Heron Gold", 3)
    assert Searcher(workspace, index, other).search("Heron Gold", 3, how="bm25")
    build(part, folder.parent, workspace, other, previous=index)
    assert len(other.texts) > index.chunks  # nothing was taken over
    assert Searcher(workspace, index, other).search("Heron Gold", 3)


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.full((99, 3), np.nan), np.zeros(3)])
def test_a_broken_embedder_is_named(bad: np.ndarray, part: KnowledgePart, folder: Path, workspace: Workspace) -> None:
    with pytest.raises(BadConfig, match="embedding model"):
        build(part, folder.parent, workspace, lambda texts: bad)


def test_an_unfinished_build_is_built_again(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    (workspace.folder / index.folder / table.POINTER).unlink()
    with pytest.raises(Missing, match="no finished index"):
        Searcher(workspace, index, embed).search("x", 1)
    build(part, folder.parent, workspace, embed)
    assert Searcher(workspace, index, embed).search("Heron", 1)
    assert len(list((workspace.folder / index.folder).glob("chunks-*"))) == 1


@pytest.mark.parametrize("pointer", ["", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00"])
def test_a_broken_pointer(pointer: str, workspace: Workspace, index: IndexVersion, embed: WordVectors) -> None:
    (workspace.folder / index.folder / table.POINTER).write_text(pointer)
    with pytest.raises(Missing):
        Searcher(workspace, index, embed).search("x", 1)


def test_a_damaged_index_says_so_and_building_mends_it(
    part: KnowledgePart, folder: Path, workspace: Workspace, index: IndexVersion, embed: WordVectors
) -> None:
    for path in (workspace.folder / index.folder).rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(RunFailed, match="build the index again"):
        Searcher(workspace, index, embed).search("Heron", 1)
    build(part, folder.parent, workspace, embed, previous=index)
    assert Searcher(workspace, index, embed).search("Heron", 1)


def test_full_disk(tmp_path: Path) -> None:
    with pytest.raises(NoRoom), table.trouble(tmp_path):
        raise OSError(28, os.strerror(28))
    with pytest.raises(NoRoom), table.trouble(tmp_path):
        raise RuntimeError("lance error: LanceError(IO): Generic: No space left on device (os error 28)")
    with pytest.raises(KeyError), table.trouble(tmp_path):
        raise KeyError("ours")
