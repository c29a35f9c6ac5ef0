"""Files for the readers: rows, and what other programs make: a PDF, a Word document, a gzip that swells."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from luthier.data.raw import Raw, Refused

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"


CHAT = [{"role": "user", "content": "Fee?"}, {"role": "assistant", "content": "8 EUR."}]


def said(row: Raw | Refused) -> list[str]:
    """The turns of a row that was read."""
    assert isinstance(row, Raw), row
    return [f"{message.role}: {message.content}" for message in row.messages]


def written(folder: Path, rows: Any, name: str = "rows.jsonl") -> Path:
    """A file of a text as it stands, or of rows as JSON lines."""
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows) if isinstance(rows, list) else rows, encoding="utf-8")
    return path


def pdf(text: str, title: str = "") -> bytes:
    """A PDF of one page."""
    stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>".encode(),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table) + end


def docx(*paragraphs: str, extra: bytes = b"") -> bytes:
    """A Word document; the first paragraph is a heading. `extra` is one more file in it."""
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    body = "".join(
        f"<w:p>{style if place == 0 else ''}<w:r><w:t>{text}</w:t></w:r></w:p>" for place, text in enumerate(paragraphs)
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{TYPES}"><Override PartName="/word/document.xml" '
        f'ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{OFFICE}" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        if extra:
            archive.writestr("word/media/image1.bin", extra)
    return out.getvalue()


def bomb(path: Path) -> Path:
    """A gzip file that becomes a thousand times its size."""
    path.write_bytes(gzip.compress((b" " * 99_999 + b"\n") * 400))
    return path
