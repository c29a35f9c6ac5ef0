"""One spelling for a line of JSON, so that equal data has equal bytes. Knows no store."""

from __future__ import annotations

import json
from typing import Any

from luthier.errors import BadData


def encoded(line: dict[str, Any]) -> bytes:
    """`line` as JSON: keys sorted, no blanks, UTF-8. Raises BadData where it holds what JSON cannot."""
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except ValueError as error:
        raise BadData(f"a line holds what JSON cannot: {error}", "leave that figure or text out") from error
