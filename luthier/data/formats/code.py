"""Source `code`: a tree of source files, each one plain text with the licence that its header names.

What `.gitignore` files ignore is left out, and so are vendored, generated, minified and binary files: they are no rows.
Metadata: `path` and `code` (the programming language). `line` counts the files. Needs the extra `documents` (pathspec).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from luthier.data.folders import Entry, files_at, printable
from luthier.data.formats.documents import plain_text
from luthier.data.formats.licences import licence_in, root_licence
from luthier.data.formats.objects import check_mapping
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.data.unpacked import LONGEST, opened
from luthier.errors import BadData, Missing

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SUFFIXES = {
    "Python": "py pyi", "JavaScript": "js mjs cjs jsx", "TypeScript": "ts tsx", "Java": "java", "Kotlin": "kt kts",
    "Scala": "scala", "Groovy": "groovy gradle", "C": "c h", "C++": "cc cpp cxx hpp hh", "CUDA": "cu", "C#": "cs",
    "F#": "fs", "Visual Basic": "vb", "Go": "go", "Rust": "rs", "Swift": "swift", "Objective-C": "m mm", "Ruby": "rb",
    "PHP": "php", "Perl": "pl pm", "Lua": "lua", "R": "r", "Julia": "jl", "Dart": "dart", "Elixir": "ex exs",
    "Erlang": "erl", "Haskell": "hs", "OCaml": "ml mli", "Clojure": "clj", "Elm": "elm", "Zig": "zig", "Nim": "nim",
    "SQL": "sql", "Shell": "sh bash zsh", "PowerShell": "ps1", "Batch": "bat", "Fortran": "f f90", "COBOL": "cob cbl",
    "ABAP": "abap", "Pascal": "pas", "Vue": "vue", "Svelte": "svelte", "CSS": "css scss less", "Protobuf": "proto",
    "GraphQL": "graphql", "HCL": "tf", "CMake": "cmake", "Make": "mk", "Solidity": "sol", "Assembly": "asm s",
    "VHDL": "vhd", "Verilog": "v sv",
}  # fmt: skip
LANGUAGES = {suffix: language for language, suffixes in SUFFIXES.items() for suffix in suffixes.split()}
NAMES = {
    "makefile": "Make",
    "dockerfile": "Dockerfile",
    "cmakelists.txt": "CMake",
    "jenkinsfile": "Groovy",
    "rakefile": "Ruby",
}
VENDORED = frozenset({"vendor", "vendored", "third_party", "third-party", "bower_components", "site-packages", "Pods"})
GENERATED_NAME = re.compile(
    r"(\.min\.(js|css)|[._]pb2?(_grpc)?\.(py|go|cc|h)|\.g\.(cs|dart)|\.designer\.cs|\.generated\.\w+)$"
)
GENERATED = re.compile(
    r"@generated\b|\bDO NOT EDIT\b|\b(?:auto-?|automatically )generated (?:by|from|file)\b", re.IGNORECASE
)
HEAD = 1_000
"""Characters at the top of a file in which it says that it was generated."""
LONG_LINE = 500
"""Characters of the average line from which on a file is minified."""
STARS = 12
"""Stars in an ignore pattern: more make matching take for ever."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every source file of `path`, a folder or one file. Raises BadData where there is none, Missing (pathspec)."""
    check_mapping(mapping, ())
    number = 0
    ignored, fallback = (Ignored(path), root_licence(path)) if path.is_dir() else (None, "")
    for entry in files_at(path):
        if language_of(entry.name) and not (ignored and (vendored(entry.name) or ignored.names(entry.name))):
            found = source_file(number + 1, entry, fallback)
            number += found is not None
            if found is not None:
                yield found
    if not number:
        raise BadData(f"{path} holds no source code", "give a folder with source files that are not ignored")


def language_of(name: str) -> str:
    """The programming language of a file by its name; "" where it is no source."""
    path = PurePosixPath(name)
    return NAMES.get(path.name.lower()) or LANGUAGES.get(path.suffix.lower().removeprefix("."), "")


def vendored(name: str) -> bool:
    """Whether a file is other people's, or made by a program, by its name."""
    return bool(VENDORED & set(PurePosixPath(name).parts[:-1]) or GENERATED_NAME.search(name.lower()))


def source_file(number: int, entry: Entry, fallback: str) -> Raw | Refused | None:
    """One file; None where it is no source after all: empty, binary, generated, minified."""
    name = printable(entry.name)
    try:
        text = content(entry)
    except NotADialogue as refusal:
        return Refused(number, f"{name}: {refusal}")
    if not text.strip() or GENERATED.search(text[:HEAD]) or len(text) > LONG_LINE * (text.count("\n") + 1):
        return None
    about = {"title": PurePosixPath(name).name, "path": name, "code": language_of(entry.name)}
    return plain_text(number, text, about, licence_in(text) or fallback)


def content(entry: Entry) -> str:
    """The text of a file; "" where it is binary. Raises NotADialogue."""
    if entry.refused:
        raise NotADialogue(entry.refused)
    try:
        with opened(entry.path) as file:
            data = file.read(LONGEST + 1)
        if b"\0" in data:
            return ""
        if len(data) > LONGEST:
            raise NotADialogue(f"the file is longer than {LONGEST // 1_000_000} MB")
        return data.decode()
    except BadData as error:
        raise NotADialogue(error.what.removeprefix(f"{entry.path} ")) from None
    except UnicodeDecodeError:
        raise NotADialogue("the text is not UTF-8; save it as UTF-8") from None


class Ignored:
    """What the `.gitignore` files of a tree ignore: the nearest one that has an opinion decides, as in git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.specs: dict[PurePosixPath, GitIgnoreSpec | None] = {}

    def names(self, name: str) -> bool:
        """Whether a file of the tree is ignored, or a folder above it: git does not look into ignored folders."""
        path = PurePosixPath(name)
        above = [*reversed(path.parents[:-1])]
        return any(self.decides(each, f"{each}/") for each in above) or self.decides(path, name)

    def decides(self, path: PurePosixPath, shown: str) -> bool:
        """What the nearest opinion on one path is."""
        for folder in path.parents:
            spec = self.spec(folder)
            if spec is not None:
                below = shown if folder == PurePosixPath() else shown.removeprefix(f"{folder}/")
                said = spec.check_file(below).include
                if said is not None:
                    return said
        return False

    def spec(self, folder: PurePosixPath) -> GitIgnoreSpec | None:
        """The patterns of a folder's ignore file."""
        if folder not in self.specs:
            self.specs[folder] = patterns(self.root / folder / ".gitignore")
        return self.specs[folder]


def patterns(path: Path) -> GitIgnoreSpec | None:
    """The patterns of an ignore file. Raises BadData for one that cannot be read, Missing (pathspec)."""
    if not path.is_file() or path.is_symlink():
        return None
    try:
        from pathspec import GitIgnoreSpec
    except ImportError:
        raise Missing("source trees with a .gitignore need pathspec", "run: pip install 'luthier[documents]'") from None
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        if any(line.count("*") > STARS for line in lines):
            raise BadData(f"{path} has a pattern with more than {STARS} stars", "write it with fewer")
        return GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError) as error:
        raise BadData(
            f"{path} cannot be read ({error})", "mend that file: what it ignores must not be learnt"
        ) from error
