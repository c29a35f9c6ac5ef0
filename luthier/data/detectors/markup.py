"""Detector `markup`: what a form, a web page or a chat template left behind. Pure.

Gaps that nobody filled (`{{name}}`, `[Your Name]`), HTML, role marks and special tokens. Code is left alone, and so are
the scrubber's own placeholders. Special tokens score 1: a tokenizer may read them as an end of turn.
"""

from __future__ import annotations

import re

from luthier.data.detectors.said import clipped, prose
from luthier.records.data import Row

TOKENS = re.compile(
    r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:pad|unk|bos|eos)>|"
    r"<\uff5c[^>\n]{2,30}\uff5c>"
)
ROLES = re.compile(
    r"(?mi)^(?:### ?(?:instruction|response|input|human|assistant)s?:?|(?:human|assistant|ai|bot|gpt): )"
)
GAPS = re.compile(
    r"\{\{[^{}\n]{1,60}\}\}|\$\{\w{1,40}\}|(?<![\w%])%\(\w{1,30}\)s|"
    r"[\[<{](?i:(?:insert|your|enter|add|customer|client|user|company|agent|recipient|sender|first|last|full)"
    r"[ _-][\w '-]{2,40}|"
    r"name|date|email|phone|address|nombre|fecha|datum|nom)[\]>}]|\bX{4,}\b|_{5,}"
)
HTML = re.compile(
    r"(?i)</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|script|span|strong|style|table|tbody|td|th|tr|u|ul)"
    r"(?:\s[^<>]*)?/?>|"
    r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,5});|<!--|\[/?(?:b|i|u|url|img|quote)(?:=[^\]\n]*)?\]"
)


def markup(row: Row) -> float:
    """1 for special tokens, else 0.5 and more for gaps, 0.3 and more for role marks and HTML, by how much there is."""
    text = "\n".join(message.content for message in row.messages if message.role != "system")
    if not any(sign in text for sign in "<[{&:%_X#"):  # most texts
        return 0.0
    text = prose(text)
    if TOKENS.search(text):
        return 1.0
    gaps = len(GAPS.findall(text))
    marks = len(HTML.findall(text)) + len(ROLES.findall(text))
    if not gaps and not marks:
        return 0.0
    return clipped((0.5 if gaps else 0.3) + 0.05 * (gaps + marks - 1))
