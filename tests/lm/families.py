"""Small chat templates in the manner of the four great families, on the tiny tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.tiny import CHATML, tiny_tokenizer


class Family(NamedTuple):
    """How a family writes a dialogue. `lead` stands between the prompt and the answer."""

    template: str
    special: tuple[str, ...]
    bos: str
    eos: str
    end: str
    """What ends a turn."""
    lead: str = ""
    system: bool = True


FAMILIES = {
    "chatml": Family(CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_start|>", "<|im_end|>", "<|im_end|>"),
    "llama-3": Family(
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|eot_id|>",
    ),
    "gemma": Family(
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
        system=False,
    ),
    "mistral": Family(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
        "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}",
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "<s>",
        "</s>",
        "</s>",
        lead=" ",
        system=False,
    ),
}


def write(folder: Path, family: Family) -> Path:
    """The tokenizer and generation config of `family` in `folder`: all that a `Chat` reads."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(list(family.special), special_tokens=True)
    tokenizer.bos_token, tokenizer.eos_token = family.bos, family.eos
    tokenizer.chat_template = family.template
    tokenizer.save_pretrained(folder)
    stops = sorted({tokenizer.convert_tokens_to_ids(text) for text in (family.eos, family.end)})
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder
