"""Documents and source trees: what becomes a text, what is passed over, what is refused."""

import gzip
import os

import pytest

from luthier.data.formats import (
    apart,
    code,
    documents,
)
from luthier.data.raw import Raw, Refused
from luthier.errors import BadData, Missing
from tests.data.made_files import docx, pdf, said, written

PAGE = """<html><head><title>Card  fees</title><style>p {}</style></head><body><nav>Home | Login</nav><main>
<h1>Fees</h1><p>A card costs <b>8 EUR</b>
a year.</p><ul><li>Gold: 20 EUR</li><li><p>Black: 90 EUR</p></li></ul><pre>x = 1
  y</pre><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></main><script>alert(1)</script>
<footer>Imprint</footer></body></html>"""


def test_documents(tmp_path):
    pytest.importorskip("selectolax")
    (tmp_path / "sub").mkdir()
    written(tmp_path, "---\ntitle: Lost card\nowner: desk\n---\n# Lost or stolen\n\nBlock it.\n", "a.md")
    written(tmp_path, "# Heading\n\nText", "sub/b.MD")
    written(tmp_path, PAGE, "c.html")
    (tmp_path / "d.pdf").write_bytes(pdf("Transfers are free.", "Transfers"))
    (tmp_path / "e.docx").write_bytes(docx("Opening hours", "We open at nine.", "Not on Sundays."))
    (tmp_path / "f.txt").write_bytes("Grüße".encode("utf-16"))
    written(tmp_path, "not a document", "g.png")
    written(tmp_path, "Licensed under the Apache License, Version 2.0", "LICENSE.txt")
    rows = {row.metadata["path"]: row for row in documents.read(tmp_path, {}) if isinstance(row, Raw)}
    assert sorted(rows) == ["a.md", "c.html", "d.pdf", "e.docx", "f.txt", "sub/b.MD"]
    assert {len(row.messages) for row in rows.values()} == {1}
    assert {row.licence for row in rows.values()} == {"Apache-2.0"}
    assert said(rows["a.md"]) == ["assistant: # Lost or stolen\n\nBlock it."]
    titles = {name: row.metadata["title"] for name, row in rows.items()}
    assert titles == {
        "a.md": "Lost card",
        "c.html": "Card fees",
        "d.pdf": "Transfers",
        "e.docx": "e",
        "f.txt": "f",
        "sub/b.MD": "Heading",
    } | {"e.docx": "Opening hours"}
    assert rows["c.html"].messages[0].content == (
        "# Fees\n\nA card costs 8 EUR a year.\n\n- Gold: 20 EUR\n\n- Black: 90 EUR\n\n```\nx = 1\n  y\n```\n\n"
        "a | b\n\n1 | 2"
    )
    assert rows["d.pdf"].messages[0].content == "Transfers are free."
    assert rows["e.docx"].messages[0].content == "# Opening hours\n\nWe open at nine.\n\nNot on Sundays."
    assert rows["f.txt"].messages[0].content == "Grüße"


def test_documents_that_cannot_be_read(tmp_path):
    pytest.importorskip("selectolax")
    files = {
        "a.pdf": b"%PDF-1.4 nothing",
        "b.pdf": pdf(""),
        "c.docx": b"PK\x03\x04 no",
        "d.docx": docx("x", extra=b"\0" * 9_000_000),
        "e.html": "<p>caf\xe9".encode("latin-1"),
        "f.txt": b"",
        "g.md": "caf\xe9".encode("latin-1"),
        "h.txt": gzip.compress(b"\0"),
        "i.html": b"<div>" * 5_000 + b"deep",
        "j.html": '<meta charset="latin-1"><p>caf\xe9'.encode("latin-1"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    rows = list(documents.read(tmp_path, {}))
    assert [row.line for row in rows] == list(range(1, len(files) + 1))
    reasons = {row.reason[:1]: row.reason for row in rows if isinstance(row, Refused)}
    assert "broken" in reasons["a"]
    assert "OCR" in reasons["b"]
    assert "broken" in reasons["c"]
    assert "unpacks to far more" in reasons["d"]
    assert "encoding" in reasons["e"]
    assert "no text in it" in reasons["f"]
    assert "not UTF-8" in reasons["g"]
    assert "no text" in reasons["h"]
    assert said(rows[-2]) == ["assistant: deep"]
    assert said(rows[-1]) == ["assistant: café"]
    with pytest.raises(BadData, match="holds no document"):
        list(documents.read(written(tmp_path, "x", "z.png").parent / "z.png", {}))


def test_a_document_that_hangs_or_dies_is_one_refusal(tmp_path, monkeypatch):
    pytest.importorskip("pypdf")
    good, named = tmp_path / "good.pdf", tmp_path / "pipe.pdf"
    good.write_bytes(pdf("Fine."))
    os.mkfifo(named)
    with apart.Extractor(seconds=3) as extractor:
        assert extractor.read(good).text == "Fine."
        assert "takes longer than 3 s" in extractor.read(named).reason
        assert extractor.read(good).text == "Fine.", "the next document gets a new child"
        assert "brings its reader down" in extractor.read(tmp_path / "no.reader").reason
        child = extractor.child
        assert extractor.read(good).text == "Fine."
    assert child is None
    assert extractor.child is None


def test_a_reader_that_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(pdf("x"))
    monkeypatch.setattr(documents, "find_spec", lambda name: None)
    with pytest.raises(Missing, match=r"\.pdf files need pypdf: run: pip install"):
        list(documents.read(tmp_path, {}))


# ---- source code


def test_a_source_tree(tmp_path):
    pytest.importorskip("pathspec")
    tree = {
        "LICENSE": "MIT License\n",
        ".gitignore": "build/\n*.log.py\n!keep.log.py\n/secret.py\n",
        "main.py": "# SPDX-License-Identifier: Apache-2.0 OR MIT\nprint(1)\n",
        "lib/util.go": "package util\n",
        "lib/.gitignore": "*.js\n",
        "lib/skip.js": "x",
        "gpl.c": "/*\n * under the terms of the GNU General Public\n * License as published; either version 3 of the\n"
        " * License, or (at your option) any later version. */\nint x;\n",
        "a.log.py": "x",
        "keep.log.py": "x = 1",
        "secret.py": "KEY = 1",
        "lib/secret.py": "KEY = 2",
        "build/out.py": "x",
        "vendor/x/y.py": "x",
        "node_modules/x.js": "x",
        "app.min.js": "x",
        "made_pb2.py": "x",
        "gen.py": "# Code generated by tool. DO NOT EDIT.\nx = 1",
        "packed.js": "x=1;" * 1000,
        "empty/__init__.py": "\n",
        "Makefile": "all:\n",
        "notes.bin": "x",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.py").write_bytes(b"\0\1\2")
    (tmp_path / "latin.py").write_bytes("# é".encode("latin-1"))
    (tmp_path / "out.py").symlink_to("/etc/passwd")
    rows = list(code.read(tmp_path, {}))
    kept = {row.metadata["path"]: row for row in rows if isinstance(row, Raw)}
    assert sorted(kept) == ["Makefile", "gpl.c", "keep.log.py", "lib/secret.py", "lib/util.go", "main.py"]
    licences = {name: row.licence for name, row in kept.items()}
    assert (licences["main.py"], licences["lib/util.go"]) == ("Apache-2.0 OR MIT", "MIT")
    assert licences["gpl.c"] == "GPL-3.0-or-later"
    assert kept["lib/util.go"].metadata["code"] == "Go"
    assert kept["main.py"].messages[0].content == tree["main.py"]
    assert {row.reason for row in rows if isinstance(row, Refused)} == {
        "latin.py: the text is not UTF-8; save it as UTF-8",
        "out.py: the link leads out of the folder",
    }
    (single,) = code.read(tmp_path / "main.py", {})
    assert single.metadata["path"] == "main.py"


def test_an_ignore_file_that_would_take_for_ever(tmp_path):
    pytest.importorskip("pathspec")
    (tmp_path / ".gitignore").write_text("*a" * 20 + "\n")
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(BadData, match="more than 12 stars"):
        list(code.read(tmp_path, {}))
