"""A tokenizer as GGUF tells it: tokens with their types, merges or scores, special ids, and how text is split first.

llama.cpp knows ways of splitting by name alone, and a wrong name changes the ids without a word. So the name is never
guessed: a tokenizer whose way of splitting is none of the known ones is refused. Knows nothing of weights.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from gguf import GGUFWriter, TokenType

from luthier.errors import BadConfig
from luthier.lm.chat import Chat

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
SPACE = "\u2581"
"""What sentencepiece writes for a space."""
DIGIT_GROUPS = r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
)
SPLITS = {
    WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    WORDS + DIGIT_GROUPS: "llama-bpe",
    CASED + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "tekken",
}
"""Regular expressions that split text before byte-pair encoding, and llama.cpp's names for them."""


class Vocabulary(NamedTuple):
    """Everything of a tokenizer that a GGUF file holds."""

    model: str
    """`gpt2` for byte-level BPE, `llama` for sentencepiece's."""
    pre: str
    """llama.cpp's name for the way of splitting."""
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]
    """The higher the sooner merged; sentencepiece only."""
    special: dict[str, int]
    """`bos`, `eos`, `unk`, `pad`, `eot`, as far as there are."""
    adds: dict[str, bool]
    """Whether `bos`, `eos` and a space in front are put to every text."""
    template: str


def read(folder: Path, size: int) -> Vocabulary:
    """The tokenizer in `folder`, filled up to the `size` of the embedding matrix with tokens that stand for nothing.

    Raises BadConfig where llama.cpp has no name for how it splits text, or no way to compute it.
    """
    chat = Chat.load(folder)
    whole: dict[str, Any] = json.loads(chat.tokenizer.backend_tokenizer.to_str())
    bpe = whole["model"]
    if bpe["type"] != "BPE":
        raise BadConfig(f"the tokenizer is {bpe['type']}, and only BPE goes into a GGUF here", "export it as merged")
    vocabulary: dict[int, str] = {number: token for token, number in bpe["vocab"].items()}
    types = dict.fromkeys(vocabulary, int(TokenType.NORMAL))
    for added in whole["added_tokens"]:
        vocabulary[added["id"]] = added["content"]
        types[added["id"]] = int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    if max(vocabulary) >= size:
        raise BadConfig(
            f"the tokenizer has {max(vocabulary) + 1} tokens, and the model {size}",
            "put the tokenizer beside the weights that belongs to them",
        )
    spm = bool(bpe.get("byte_fallback"))
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in bpe["merges"]]
    if spm:
        types |= {number: int(TokenType.BYTE) for number, token in vocabulary.items() if BYTE.fullmatch(token)}
        if chat.tokenizer.unk_token_id is not None:
            types[chat.tokenizer.unk_token_id] = int(TokenType.UNKNOWN)
    filled = [vocabulary.get(number, f"[PAD{number}]") for number in range(size)]
    return Vocabulary(
        model="llama" if spm else "gpt2",
        pre="default" if spm else way_of_splitting(whole),
        tokens=filled,
        types=[types.get(number, int(TokenType.UNUSED)) for number in range(size)],
        merges=[] if spm else [f"{left} {right}" for left, right in merges],
        scores=scores(filled, types, merges) if spm else [],
        special=special(chat),
        adds=adds(chat, whole),
        template=str(chat.tokenizer.chat_template),
    )


def way_of_splitting(whole: dict[str, Any]) -> str:
    """llama.cpp's name for how a byte-level tokenizer splits text. Raises BadConfig where it has none."""
    first = whole.get("pre_tokenizer") or {}
    steps: list[dict[str, Any]] = first.get("pretokenizers", [first])
    *before, last = steps
    plain = last.get("type") == "ByteLevel" and not last.get("add_prefix_space")
    normal = whole.get("normalizer") is None or whole["normalizer"].get("type") == "NFC"
    name = None
    if plain and normal and last.get("use_regex", True):
        digits = [step.get("type") == "Digits" and bool(step.get("individual_digits")) for step in before]
        name = {(): "gpt-2", (True,): "smollm"}.get(tuple(digits))
    elif plain and normal and len(before) == 1 and before[0].get("behavior") == "Isolated":
        name = SPLITS.get(before[0]["pattern"].get("Regex", ""))
    if name is None:
        kinds = ", ".join(str(step.get("type")) for step in steps)
        raise BadConfig(
            f"llama.cpp has no name for how this tokenizer splits text ({kinds})",
            "export it as merged, and convert it with the tool of the model's publisher",
        )
    return name


def scores(tokens: list[str], types: dict[int, int], merges: list[tuple[str, ...]]) -> list[float]:
    """sentencepiece's scores: what is merged first scores highest. Raises BadConfig where no scores say the same."""
    order: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        order.setdefault("".join(pair), rank)
    ranked = [order[token] for token in sorted(order, key=order.__getitem__)]
    by_id = [order[token] for token in tokens if token in order]
    if ranked != by_id:  # scores by id are what sentencepiece's own files hold, and what llama.cpp merges by
        raise BadConfig(
            "the tokenizer's merges are not in the order of its ids, which sentencepiece's scores cannot tell",
            "export it as merged",
        )
    normal = int(TokenType.NORMAL)
    return [-float(number) if types.get(number) == normal else 0.0 for number in range(len(tokens))]


def special(chat: Chat) -> dict[str, int]:
    """Ids of the special tokens. A model that ends turns with another token than its texts has an `eot` as well."""
    tokenizer = chat.tokenizer
    named = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    found = {name: int(number) for name, number in named.items() if number is not None}
    others = sorted(chat.stop_ids - {found.get("eos")})
    return found | ({"eot": others[-1]} if others else {})


def adds(chat: Chat, whole: dict[str, Any]) -> dict[str, bool]:
    """What the tokenizer puts around a text of its own accord, tried on one."""
    tokenizer = chat.tokenizer
    bare, dressed = (tokenizer("a", add_special_tokens=flag)["input_ids"] for flag in (False, True))
    front = json.dumps([whole.get("normalizer"), whole.get("pre_tokenizer")])
    return {
        "bos": len(dressed) > len(bare) and dressed[0] == tokenizer.bos_token_id,
        "eos": len(dressed) > len(bare) and dressed[-1] == tokenizer.eos_token_id,
        "space": '"Prepend"' in front or re.search(r'"prepend_scheme": "(first|always)"', front) is not None,
    }


def write(vocabulary: Vocabulary, writer: GGUFWriter) -> None:
    """The vocabulary as fields of a GGUF file."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    else:
        writer.add_token_merges(vocabulary.merges)
    for name, number in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(vocabulary.adds["bos"])
    writer.add_add_eos_token(vocabulary.adds["eos"])
    writer.add_add_space_prefix(vocabulary.adds["space"])
    writer.add_chat_template(vocabulary.template)
