"""The real models, where they have been pulled."""

import json

import pytest

from luthier.errors import Missing
from luthier.lm.folders import folder_digest, read_manifest
from luthier.lm.pull import local

pytestmark = pytest.mark.models
TEXTS = (
    "<|im_start|>user\nWhat does a replacement card cost? 8.50 EUR<|im_end|>\n",
    "Grüße! Wie hoch ist die Überziehung?\n\n1. 1.234,50 €<|im_end|>",
    "<|im_start|>system\n¿Cuánto cuesta la tarjeta, señor Peña?<|im_end|>",
)


def here(name):
    try:
        return local(name)
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "all-minilm-l6-v2"])
def test_a_pulled_model_is_what_was_pulled(name):
    folder = here(name)
    assert folder_digest(folder) == read_manifest(folder)["digest"]


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
def test_the_tokenizer_gives_texts_back_and_ends_turns(name):
    folder = here(name)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    end, begin = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
        assert ids.count(end) == 1
        assert ids.count(begin) == text.count("<|im_start|>")
    eos = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert end in (eos if isinstance(eos, list) else [eos])
    assert tokenizer.eos_token_id == end
    assert tokenizer.pad_token_id is not None
    assert tokenizer.model_max_length < 10**6


def test_the_pipeline_finds_a_name():
    folder = here("en-core-web-sm")
    spacy = pytest.importorskip("spacy")
    found = spacy.load(folder)("My name is Anna Weber.").ents
    assert [(entity.text, entity.label_) for entity in found] == [("Anna Weber", "PERSON")]
