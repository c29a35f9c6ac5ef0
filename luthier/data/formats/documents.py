"""Source `documents`: Markdown, text, HTML, PDF and DOCX files, each one plain text: an assistant turn, all learnt.

A file, or a folder with everything below it; other files are passed over. Metadata: `title` and `path`. `line` counts
the documents. HTML, PDF and DOCX need the extra `documents`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from luthier.data.folders import Entry, files_at, printable
from luthier.data.formats.apart import Extracted, Extractor
from luthier.data.formats.licences import root_licence, says_licence
from luthier.data.formats.objects import check_mapping
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.data.unpacked import LONGEST, opened
from luthier.errors import BadData, Missing
from luthier.records.data import Message

PLAIN = frozenset({".md", ".markdown", ".txt", ".text", ".rst"})
NEEDS = {
    ".html": ("selectolax",),
    ".htm": ("selectolax",),
    ".pdf": ("pypdf",),
    ".docx": ("mammoth", "selectolax"),
}
"""The packages that read each."""
SUFFIXES = PLAIN | set(NEEDS)
LARGEST = 100_000_000
"""Bytes of a document file; PDFs hold pictures."""
HEADING = re.compile(r"\A\s*#\s+(.+?)\s*#*\s*$", re.MULTILINE)
FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*\r?$", re.MULTILINE)
TITLE_LETTERS = 200


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every document of `path`. Raises BadData where there is none, Missing where a reader is not installed."""
    check_mapping(mapping, ())
    number, licence = 0, root_licence(path) if path.is_dir() else ""
    with Extractor() as extractor:
        for entry in wanted(path):
            number += 1
            yield document(number, entry, extractor, licence)
    if not number:
        raise BadData(f"{path} holds no document", f"documents end in {', '.join(sorted(SUFFIXES))}")


def wanted(path: Path) -> Iterator[Entry]:
    """The documents of a folder, without the licence that it lies under; or the one file that was named."""
    for entry in files_at(path):
        if wanted_name(entry.name) and not (path.is_dir() and says_licence(entry.name)):
            yield entry


def wanted_name(name: str) -> bool:
    """Whether a file is a document by its name."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not PurePosixPath(name).name.startswith(".")


def document(number: int, entry: Entry, extractor: Extractor, licence: str) -> Raw | Refused:
    """One document, or why it cannot be read. Raises Missing."""
    name = printable(entry.name)
    try:
        found = extracted(entry, extractor)
    except NotADialogue as refusal:
        return Refused(number, f"{name}: {refusal}")
    title = (found.title or heading(found.text) or PurePosixPath(name).stem)[:TITLE_LETTERS]
    return plain_text(number, found.text, {"title": title, "path": name}, licence)


def extracted(entry: Entry, extractor: Extractor) -> Extracted:
    """Title and text of a document. Raises NotADialogue where it has none, Missing."""
    suffix = entry.path.suffix.lower()
    if entry.refused:
        raise NotADialogue(entry.refused)
    try:
        if entry.path.stat().st_size > (LONGEST if suffix in PLAIN else LARGEST):
            raise NotADialogue("the file is too large for one document")
        found = plain(entry.path) if suffix in PLAIN else extractor.read(installed(entry.path, suffix))
    except OSError as error:
        raise NotADialogue(str(error.strerror or error)) from None
    except BadData as error:
        raise NotADialogue(error.what.removeprefix(f"{entry.path} ")) from None
    reason = found.reason or ("" if found.text.strip() else "there is no text in it")
    if reason:
        raise NotADialogue(reason)
    if len(found.text) > LONGEST:
        raise NotADialogue(f"the document is longer than {LONGEST // 1_000_000} MB")
    return found


def plain_text(number: int, text: str, metadata: dict[str, str], licence: str = "") -> Raw:
    """A text of which all is learnt."""
    return Raw(number, (Message(role="assistant", content=text),), metadata=metadata, licence=licence)


def installed(path: Path, suffix: str) -> Path:
    """`path`, if its reader is there. Raises Missing."""
    for package in NEEDS[suffix]:
        if find_spec(package) is None:
            raise Missing(f"{suffix} files need {package}", "run: pip install 'luthier[documents]'")
    return path


def plain(path: Path) -> Extracted:
    """A file that is text already: UTF-8, or UTF-16 with its mark. The YAML header of Markdown is not part of it."""
    with opened(path) as file:
        data = file.read(LONGEST + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Extracted(reason="the text is not UTF-8; save it as UTF-8")
    if "\0" in text:
        return Extracted(reason="the file is no text")
    front = FRONT.match(text) if path.suffix.lower() in (".md", ".markdown") else None
    title = TITLE.search(front[1]) if front else None
    return Extracted(title[1] if title else "", text[front.end() :].strip("\r\n") if front else text.strip("\r\n"))


def heading(text: str) -> str:
    """The first heading of a Markdown text, where it begins with one."""
    found = HEADING.match(text)
    return found[1] if found else ""
