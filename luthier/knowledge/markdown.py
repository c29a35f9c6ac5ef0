"""A Markdown file → a document: what its front matter says, its sections, and where in the file they stand.

Offsets count characters of the whole file, so that a quote can be checked against the very bytes that were
indexed. Knows nothing of chunks, vectors or search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from markdown_it import MarkdownIt

from luthier.errors import BadData
from luthier.records.knowledge import DocumentVersion

ENDINGS = (".md", ".markdown")
FRONT_MATTER = re.compile(r"\ufeff?\s*---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
UNCLOSED = re.compile(r"\ufeff?\s*---[ \t]*\r?\n\s*\w+[ \t]*:")
LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
NEWLINE = re.compile(r"\r\n?|\n")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = ("fence", "code_block")


class Span(NamedTuple):
    """Characters [start, end) of a file."""

    start: int
    end: int


class Section(NamedTuple):
    """What stands between one heading and the next: its headings, outermost first, and its blocks.

    A comment ends a run of blocks: no passage may reach across it. `runs` are the blocks between comments.
    """

    headings: tuple[str, ...]
    runs: tuple[tuple[Span, ...], ...]


class Document(NamedTuple):
    """A file as it was read, byte for byte, and what is known of it."""

    version: DocumentVersion
    text: str
    sections: tuple[Section, ...]


class Block(NamedTuple):
    """One block at the outermost level. `heading` is its level, 0 where it is none; `title` is a heading's text."""

    span: Span
    heading: int
    title: str
    code: bool


def read(data: bytes, name: str, digest: str, defaults: dict[str, str]) -> Document:
    """The document in `data`. `defaults` holds `audience` and `locale` for files that do not say.

    Raises BadData, naming the document, where the front matter cannot be trusted: what is meant for staff must
    not become public through a slip of the pen.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadData(f"{name}: byte {error.start} is not UTF-8", "save the file as UTF-8") from error
    said, body = front_matter(text, name)
    fields = defaults | said
    blocks = list(outermost_blocks(text, body))
    title = fields.get("title") or next((b.title for b in blocks if b.heading == 1), "") or spoken(name)
    version = DocumentVersion(
        name=name,
        title=title,
        digest=digest,
        audience=audience(fields["audience"], name),
        locale=locale(fields["locale"], name),
        updated=fields.get("updated", ""),
    )
    return Document(version, text, tuple(sections(text, body, blocks, title)))


def front_matter(text: str, name: str) -> tuple[dict[str, str], int]:
    """The scalar fields of the YAML head, all as text (`no` stays Norwegian), and where the body begins."""
    match = FRONT_MATTER.match(text)
    if not match:
        if UNCLOSED.match(text):
            raise BadData(f"{name}: its front matter is not closed", "end it with a line of three dashes")
        return {}, 0
    try:
        head = yaml.compose(match[1], Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        problem = str(error).replace("\n", " ")
        raise BadData(f"{name}: its front matter is not YAML ({problem})", "write one `key: value` a line") from error
    if head is None:
        return {}, match.end()
    if not isinstance(head, yaml.MappingNode):
        raise BadData(f"{name}: its front matter is not a list of keys", "write one `key: value` a line")
    fields: dict[str, str] = {}
    for key_node, value_node in head.value:
        key = str(key_node.value).strip().casefold()
        if key in fields:
            raise BadData(f"{name}: its front matter says {key!r} twice", "keep one of the two")
        if key != "audience" and get_close_matches(key, ["audience"], cutoff=0.8):
            raise BadData(f"{name}: its front matter has the key {key!r}", "did you mean 'audience'?")
        fields[key] = value_node.value.strip() if isinstance(value_node, yaml.ScalarNode) else ""
    return fields, match.end()


def audience(said: str, name: str) -> Literal["public", "staff"]:
    """`said` as an audience. Anything else is refused, never guessed."""
    if said == "public":
        return "public"
    if said == "staff":
        return "staff"
    raise BadData(f"{name}: audience {said!r} is unknown", "write `audience: public` or `audience: staff`")


def locale(said: str, name: str) -> str:
    """`said` as a language tag such as `de` or `pt-BR`."""
    if not LOCALE.fullmatch(said):
        raise BadData(f"{name}: locale {said!r} is not a language tag", "write for example `locale: de`")
    return said.replace("_", "-")


def outermost_blocks(text: str, body: int) -> Iterator[Block]:
    """Headings, paragraphs, lists, tables, code and HTML of the body (CommonMark 0.31), in order."""
    parser = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
    starts = [body, *(match.end() for match in NEWLINE.finditer(text, body)), len(text)]
    tokens = parser.parse(text[body:])
    for place, token in enumerate(tokens):
        if token.level or token.map is None or token.nesting < 0 or token.type == "hr":
            continue
        span = Span(starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)])
        is_heading = token.type == "heading_open"
        title = plain(tokens[place + 1].content) if is_heading else ""
        yield Block(span, int(token.tag[1]) if is_heading else 0, title, token.type in CODE)


def sections(text: str, body: int, blocks: list[Block], title: str) -> Iterator[Section]:
    """The blocks under each heading. A first heading that repeats the title is left out of the headings."""
    code = [block.span for block in blocks if block.code]
    comments = [
        Span(*match.span())
        for match in COMMENT.finditer(text, body)
        if not any(span.start <= match.start() < span.end for span in code)
    ]
    above: list[tuple[int, str]] = []
    held: list[Block] = []
    for block in [*blocks, Block(Span(len(text), len(text)), 1, "", False)]:
        if not block.heading:
            held.append(block)
            continue
        if held:
            words = tuple(words for _, words in above if words)
            yield Section(words[words[:1] == (title,) :], tuple(runs(text, held, comments)))
        held = []
        above = [(level, words) for level, words in above if level < block.heading] + [(block.heading, block.title)]


def runs(text: str, blocks: list[Block], comments: list[Span]) -> Iterator[tuple[Span, ...]]:
    """The spans of `blocks` with the comments cut out; a new run after each comment."""
    run: list[Span] = []
    for block in blocks:
        left, end = block.span
        # An HTML block that opens a comment and never closes it is hidden to its end, as browsers do.
        if text[left:end].lstrip().startswith("<!--") and not COMMENT.search(text, left, end) and not block.code:
            continue
        for comment in comments:
            if comment.end <= left or comment.start >= end:
                continue
            run += trimmed(text, left, comment.start)
            if run:
                yield tuple(run)
            run, left = [], comment.end
        run += trimmed(text, left, end)
    if run:
        yield tuple(run)


def trimmed(text: str, start: int, end: int) -> list[Span]:
    """[start, end) without the white space around it; nothing where nothing else is there."""
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return [Span(left, start + len(piece.rstrip()))] if piece.strip() else []


def plain(text: str) -> str:
    """Markdown as it is read aloud: no tags, link targets or emphasis marks."""
    text = re.sub(r"<!--.*?-->|</?[A-Za-z][^<>]{0,400}>", " ", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)?(?:\s+\"[^\"]*\")?\)", r"\1", text)
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    text = re.sub(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`+", "", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def spoken(name: str) -> str:
    """A title for a file that has none: its name with spaces and a capital letter."""
    words = re.sub(r"[-_\s]+", " ", Path(name).name).strip()
    return words[:1].upper() + words[1:]
