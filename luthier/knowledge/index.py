"""Documents → an index version. Each version has a folder of its own, so that the one before it goes on serving.

What is embedded is known by its words: a chunk that an earlier version held, word for word and under the same
headings, keeps its vector. Knows nothing of the model behind `embed`, nor of who asks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from luthier.errors import BadConfig, BadData, UnknownName
from luthier.knowledge import table
from luthier.knowledge.chunks import chunks, searchable
from luthier.knowledge.markdown import ENDINGS, Document, read
from luthier.knowledge.table import Row
from luthier.knowledge.vectors import Embed, embedded, known_vectors, opened, same_model
from luthier.progress import Progress, silent
from luthier.records.base import canonical, sha256
from luthier.records.knowledge import IndexVersion
from luthier.records.project import KnowledgePart
from luthier.store import erasure
from luthier.store.workspace import Workspace

FOLDER = "indexes"
REFUSALS_SHOWN = 10


def build(
    part: KnowledgePart,
    root: Path,
    store: Workspace,
    embed: Embed,
    progress: Progress = silent,
    previous: IndexVersion | None = None,
) -> IndexVersion:
    """Index the Markdown files below `root / part.documents`; `previous` itself where nothing has changed.

    Their bytes go into the blobs, the chunks into `indexes/` of the workspace. The caller holds the workspace's
    lock and puts the version into the ledger. Raises BadData that names every document that cannot be read,
    BadConfig, NoRoom.
    """
    defaults = {"audience": part.audience, "locale": part.locale}
    documents = read_folder(root / part.documents, store, defaults)
    rows = [row for document in documents for row in rows_of(document, part.chunk_words)]
    if not rows:
        raise BadData(f"the documents in {root / part.documents} hold no text", "write something under their headings")
    content = {"documents": [document.version.model_dump() for document in documents], "words": part.chunk_words}
    name = sha256(canonical(content | {"embedder": part.embedder, "format": table.FORMAT}))[:16]
    version = IndexVersion(
        name=part.name,
        documents=tuple(document.version for document in documents),
        embedder=part.embedder,
        chunks=len(rows),
        folder=f"{FOLDER}/{name}",
        previous=previous.id if previous else None,
    )
    if previous and previous.id == version.model_copy(update={"previous": previous.previous}).id:
        version = previous
    folder = store.folder / version.folder
    held = opened(folder)
    if not (held and held.rows == len(rows) and same_model(held, embed)):
        known = known_vectors(store.folder / previous.folder, embed) if previous else {}
        table.create(folder, rows, embedded([row.words for row in rows], known, embed, progress))
    return version


def read_folder(folder: Path, store: Workspace, defaults: dict[str, str]) -> list[Document]:
    """Every document below `folder`, by name, its bytes put into the blobs. One that cannot be trusted stops all."""
    if not folder.is_dir():
        raise BadConfig(f"{folder} is not a folder", "set knowledge.documents to the folder of your Markdown files")
    documents: dict[str, Document] = {}
    refused: list[str] = []
    found = {path: path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*")}
    for path, name in sorted(found.items(), key=lambda item: (item[1], item[0])):
        if not is_document(path, folder):
            continue
        try:
            data = path.read_bytes()
            name.encode()
            document = read(data, name, sha256(data), defaults)
        except (BadData, OSError, UnicodeEncodeError) as error:
            refused.append(str(error))
            continue
        if name in documents:
            refused.append(f"{name}: two files have this name: keep one of them")
        documents[name] = document
        store.blobs.put(data)
    if refused:
        more = f" … and {len(refused) - REFUSALS_SHOWN} more" if len(refused) > REFUSALS_SHOWN else ""
        what = f"{len(refused)} of the documents cannot be read: " + "; ".join(refused[:REFUSALS_SHOWN]) + more
        raise BadData(what, "mend them or take them out of the folder")
    if not documents:
        raise BadData(f"{folder} holds no Markdown files", f"put documents ending in {' or '.join(ENDINGS)} there")
    return list(documents.values())


def is_document(path: Path, folder: Path) -> bool:
    """A Markdown file that is not hidden, nor in a hidden folder."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in ENDINGS and not hidden and path.is_file()


def rows_of(document: Document, words: int) -> Iterable[Row]:
    """The rows of one document."""
    version = document.version
    for chunk in chunks(document, words):
        yield Row(
            document=version.name,
            start=chunk.start,
            end=chunk.end,
            heading=chunk.heading,
            audience=version.audience,
            locale=version.locale,
            words=searchable(document, chunk),
        )


def erase(store: Workspace, indexes: Iterable[IndexVersion], document: str, why: str, by: str) -> int:
    """Take every version of `document` out of `indexes` and out of the blobs; how many chunks went.

    The next search does not find it any more, in whatever process. Records keep its name and digest, and the event
    `erased` says that the bytes are gone on purpose. Raises UnknownName where no index has such a document.
    """
    indexes = tuple(indexes)
    held = [version for index in indexes for version in index.documents]
    going = {version.digest for version in held if version.name == document}
    if not going:
        near = get_close_matches(document, {version.name for version in held}, n=1)
        raise UnknownName(f"no index has a document {document!r}", f"did you mean {near[0]!r}?" if near else "")
    folders = sorted({index.folder for index in indexes if (store.folder / index.folder).is_dir()})
    went = sum(table.without(store.folder / folder, [document]) for folder in folders)
    # Another document may have the very same text: then the bytes stay, under its name.
    shared = {version.digest for version in held if version.name != document}
    erasure.erase(store, going - shared, why, by)
    return went


def prune(store: Workspace, keep: Iterable[IndexVersion]) -> list[str]:
    """Delete the folders of all other versions; their names. What left the documents leaves the disk with them."""
    kept = {store.folder / index.folder for index in keep}
    going = sorted(path for path in (store.folder / FOLDER).glob("*") if path.is_dir() and path not in kept)
    for path in going:
        # The pointer first: a folder half deleted must not look finished.
        (path / table.POINTER).unlink(missing_ok=True)
        shutil.rmtree(path)
    return [path.name for path in going]
