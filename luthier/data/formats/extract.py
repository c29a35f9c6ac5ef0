"""The text of a document, out of HTML, PDF or DOCX. Runs in a process of its own (see `apart`): these files are other
people's, and their parsers may hang, swell or fall over.

    python -m luthier.data.formats.extract       paths on standard input, one JSON object a line on standard output

Headings, lists and tables are kept as Markdown has them; menus, scripts and pictures are not text. Knows no rows.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = 4 << 30
"""Bytes of address space that a document may take to be read."""
UNPACKED = 200_000_000
RATIO = 200
"""A DOCX is a ZIP: bytes that may be in it, and how many one packed byte may become."""
CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_-]+)", re.IGNORECASE)
DROPPED = (
    "script",
    "style",
    "noscript",
    "template",
    "nav",
    "footer",
    "aside",
    "svg",
    "form",
    "button",
    "iframe",
    "head",
)
BLOCKS = frozenset(
    {"address", "article", "blockquote", "body", "dd", "div", "dl", "dt", "figure", "figcaption", "h1", "h2", "h3"}
    | {"h4", "h5", "h6", "header", "hr", "html", "li", "main", "ol", "p", "pre", "section", "table", "tr", "ul"}
)
Text = tuple[str, str]
"""Title and text."""


class Unreadable(ValueError):
    """Why a document gives no text."""


def html(data: bytes) -> Text:
    """Title and text of a page."""
    from selectolax.lexbor import LexborHTMLParser

    found = CHARSET.search(data[:2048])
    try:
        text = data.decode(found[1].decode() if found else "utf-8-sig")
    except (LookupError, UnicodeDecodeError):
        raise Unreadable("the page is not in the encoding that it names, or not in UTF-8") from None
    return page(LexborHTMLParser(text))


def page(tree: Any) -> Text:
    """Title and text of a parsed page: of its <main> or only <article>, if it has one."""
    named = tree.css_first("title")
    title = " ".join(named.text().split()) if named else ""
    tree.strip_tags(list(DROPPED))
    main = tree.css("main") or tree.css("article")
    root = main[0] if len(main) == 1 else tree.body
    return title, written(root) if root else ""


def written(root: Any) -> str:
    """The text below a node. Goes with a list of its own instead of recursion: pages may be nested without end."""
    pieces: list[str] = []
    left: list[tuple[Any, bool]] = [(root, False)]
    pre = 0
    while left:
        node, leaving = left.pop()
        tag = node.tag
        if tag == "-text":
            said = node.text_content or ""
            pieces.append(said if pre else re.sub(r"\s+", " ", said))
            continue
        pre += (tag == "pre") * (-1 if leaving else 1)
        pieces.append(mark(tag, leaving))
        if leaving or tag in DROPPED:
            continue
        left.append((node, True))
        children = []
        child = node.child
        while child is not None:
            children.append(child)
            child = child.next
        left += [(each, False) for each in reversed(children)]
    return tidy("".join(pieces))


def mark(tag: str, leaving: bool) -> str:
    """What stands for the beginning or the end of an element."""
    if tag == "br" or (tag in ("li", "tr", "dt", "dd") and leaving):
        return "\n"
    if tag in ("td", "th"):
        return " | " if leaving else ""
    if tag == "pre":
        return "\n```\n\n" if leaving else "\n\n```\n"
    if tag not in BLOCKS:
        return ""
    start = f"{'#' * int(tag[1])} " if re.fullmatch(r"h[1-6]", tag) else "- " if tag == "li" else ""
    return ("\n" if tag in ("li", "tr", "dt", "dd") else "\n\n") + ("" if leaving else start)


def tidy(text: str) -> str:
    """Lines without white space around them (but inside ``` fences), at most one blank line between them."""
    lines, fenced = [], False
    for line in text.split("\n"):
        fenced ^= line.strip() == "```"
        lines.append(line.rstrip() if fenced else line.strip().removesuffix("|").rstrip())
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return re.sub(r"(?m)^(-|#{1,6})\s*\n+(?=[^\s#-])", r"\1 ", text)


def pdf(path: Path) -> Text:
    """Title and text of a PDF, page by page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("the PDF is locked with a password")
        text = tidy("\n\n".join(page.extract_text() or "" for page in reader.pages))
        title = str((reader.metadata and reader.metadata.title) or "")
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"the PDF is broken ({type(error).__name__})") from None
    if not text:
        raise Unreadable("the PDF holds no text; scanned pages need OCR first")
    return title.strip(), text


def docx(path: Path) -> Text:
    """Title and text of a Word document."""
    import mammoth
    from selectolax.lexbor import LexborHTMLParser

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > UNPACKED or size > RATIO * path.stat().st_size:
            raise Unreadable("the document unpacks to far more than its size; it is not read")
        with path.open("rb") as file:
            found = mammoth.convert_to_html(file, convert_image=lambda image: [])
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, AttributeError, TypeError, EOFError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"the Word document is broken ({type(error).__name__})") from None
    return page(LexborHTMLParser(f"<body>{found.value}</body>"))


READERS: dict[str, Callable[[Path], Text]] = {
    ".html": lambda path: html(path.read_bytes()),
    ".htm": lambda path: html(path.read_bytes()),
    ".pdf": pdf,
    ".docx": docx,
}


def answer(path: Path) -> dict[str, str]:
    """What is said of one path."""
    try:
        title, text = READERS[path.suffix.lower()](path)
    except Unreadable as error:
        return {"reason": str(error)}
    except RecursionError:
        return {"reason": "the document is nested too deeply"}
    return {"title": storable(title), "text": storable(text)}


def storable(text: str) -> str:
    """`text` without halves of surrogate pairs and without the character 0, which no database takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def main() -> None:
    """Answer each path until the input ends."""
    with suppress(ImportError, ValueError, OSError):  # Windows, or a machine that gives less already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        out.write(json.dumps(answer(Path(json.loads(line)))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
