"""GGUF files as others read them: transformers' own reader gets the same logits; how text is split is never guessed."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, quantize
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from luthier.errors import BadConfig
from luthier.lm.export import gguf_file, gguf_vocab
from luthier.lm.export.blocks import fold, unfold
from luthier.lm.export.gguf_file import About
from tests.tiny import CHATML, SENTENCES, tiny_tokenizer

TEXTS = (
    "What does a card cost? 8.50 EUR, 1,234 in all.\n\n1. Call 4040.\n2. Wait.",
    "Grüße! Wie hoch ist die Gebühr   für die Überziehung?",
    "<|im_start|>user\nhello<|im_end|>",
)
SHAPES = {
    "vocab_size": 384, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": False,
}  # fmt: skip


def model_of(kind: str, folder: Path) -> Path:
    """A random model of that architecture with the tiny tokenizer."""
    torch.manual_seed(0)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPES)),
        "llama tied, biased": lambda: LlamaForCausalLM(
            LlamaConfig(**SHAPES | {"tie_word_embeddings": True}, attention_bias=True)
        ),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPES, head_dim=32, sliding_window=None)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPES)),
        # Its reader in transformers takes the width of a head for 128, whatever the file says.
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPES, head_dim=128)),
    }[kind]()
    for name, weight in made.named_parameters():
        torch.nn.init.normal_(weight, mean=1.0 if "norm" in name else 0.0, std=0.15)
    made.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def read_by_others(file: Path) -> tuple[AutoModelForCausalLM, AutoTokenizer]:
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    return model.eval(), AutoTokenizer.from_pretrained(**where)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 43)[None]).logits[0]


@pytest.mark.parametrize("kind", ["llama", "llama tied, biased", "mistral", "qwen2", "qwen3"])
def test_transformers_reads_the_same_logits_and_tokens(kind: str, tmp_path: Path) -> None:
    folder = model_of(kind, tmp_path / "whole")
    (tmp_path / "file").mkdir()
    file = tmp_path / "file" / "model.gguf"
    gguf_file.write(folder, file, "float32", About("a name"))
    theirs, tokenizer = read_by_others(file)
    ours = logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())
    if "biased" not in kind:  # its reader has no biases for Llama
        assert (ours - logits(theirs)).abs().max() < 1e-5 * ours.abs().max()
    before = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == before(text)["input_ids"]
    assert tokenizer.chat_template == before.chat_template
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (before.eos_token_id, before.bos_token_id)


@pytest.mark.parametrize("kind", ["llama tied, biased", "qwen3"])
def test_a_file_unpacks_to_what_it_was_written_from(kind: str, tmp_path: Path) -> None:
    folder = model_of(kind, tmp_path / "whole")
    gguf_file.write(folder, tmp_path / "m.gguf", "float32", About("a"))
    gguf_file.unpack(tmp_path / "m.gguf", folder, tmp_path / "again")
    before, after = (AutoModelForCausalLM.from_pretrained(each) for each in (folder, tmp_path / "again"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_large_models_unpack_to_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "SHARD", 100_000)
    folder = model_of("qwen2", tmp_path / "whole")
    gguf_file.write(folder, tmp_path / "m.gguf", "float32", About("a"))
    gguf_file.unpack(tmp_path / "m.gguf", folder, tmp_path / "again")
    assert len(list((tmp_path / "again").glob("*.safetensors"))) > 2
    before, after = (AutoModelForCausalLM.from_pretrained(each).eval() for each in (folder, tmp_path / "again"))
    assert torch.equal(logits(before), logits(after))


def fields(file: Path) -> dict[str, object]:
    return {name: field.contents() for name, field in GGUFReader(str(file)).fields.items()}


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    folder = model_of("llama", tmp_path / "whole")
    about = About("support", "smollm2", "apache-2.0", (("luthier.model", "model-1"),))
    gguf_file.write(folder, tmp_path / "m.gguf", "int8", about)
    found = fields(tmp_path / "m.gguf")
    assert found["general.architecture"] == "llama"
    assert (found["general.name"], found["general.license"]) == ("support", "apache-2.0")
    assert (found["general.base_model.0.name"], found["luthier.model"]) == ("smollm2", "model-1")
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert found["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]
    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(str(tmp_path / "m.gguf")).tensors}
    assert kinds["blk.0.attn_q.weight"] == GGMLQuantizationType.Q8_0
    assert kinds["output_norm.weight"] == GGMLQuantizationType.F32


def test_a_window_becomes_the_length(tmp_path: Path) -> None:
    MistralForCausalLM(MistralConfig(**SHAPES, sliding_window=64)).save_pretrained(tmp_path / "whole")
    tiny_tokenizer().save_pretrained(tmp_path / "whole")
    gguf_file.write(tmp_path / "whole", tmp_path / "m.gguf", "float16", About("a"))
    assert fields(tmp_path / "m.gguf")["llama.context_length"] == 64


def test_stretched_positions_are_written_as_factors(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = LlamaConfig(**SHAPES, rope_parameters=scaling)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "whole")
    tiny_tokenizer().save_pretrained(tmp_path / "whole")
    gguf_file.write(tmp_path / "whole", tmp_path / "m.gguf", "float32", About("a"))
    (factors,) = (t.data for t in GGUFReader(str(tmp_path / "m.gguf")).tensors if t.name == "rope_freqs.weight")
    plain = 10000.0 ** -(np.arange(0, 16, 2) / 16)
    assert np.allclose(plain / factors, model.model.rotary_emb.inv_freq.numpy(), rtol=1e-5)
    assert factors.max() == pytest.approx(8.0)
    assert factors.min() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["gemma", "yarn", "qwen2 with a window", "too many tokens"])
def test_what_would_be_computed_otherwise_is_refused(kind: str, tmp_path: Path) -> None:
    from transformers import GemmaConfig, GemmaForCausalLM

    yarn = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    windowed = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    model = {
        "gemma": lambda: GemmaForCausalLM(GemmaConfig(**SHAPES, head_dim=16)),
        "yarn": lambda: LlamaForCausalLM(LlamaConfig(**SHAPES, rope_parameters=yarn)),
        "qwen2 with a window": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPES, **windowed)),
        "too many tokens": lambda: LlamaForCausalLM(LlamaConfig(**SHAPES | {"vocab_size": 380})),
    }[kind]()
    model.save_pretrained(tmp_path / "whole")
    tiny_tokenizer().save_pretrained(tmp_path / "whole")
    with pytest.raises(BadConfig) as caught:
        gguf_file.write(tmp_path / "whole", tmp_path / "m.gguf", "float32", About("a"))
    assert caught.value.mend
    assert not (tmp_path / "m.gguf").exists()


def tokenizer_folder(folder: Path, bpe: Tokenizer) -> Path:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return folder


def byte_level(before: list[object], use_regex: bool) -> Tokenizer:
    bpe = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([*before, level]) if before else level
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    bpe.train_from_iterator(SENTENCES, trainer)
    return bpe


NAMED = OrderedDict({name: pattern for pattern, name in gguf_vocab.SPLITS.items()})


@pytest.mark.parametrize("name", ["gpt-2", "smollm", *NAMED, "unknown", "prefixed"])
def test_a_way_of_splitting_has_its_name_or_is_refused(name: str, tmp_path: Path) -> None:
    if name in NAMED:
        bpe = byte_level([pre_tokenizers.Split(Regex(NAMED[name]), "isolated")], use_regex=False)
    elif name == "unknown":
        bpe = byte_level([pre_tokenizers.Split(Regex(r"\p{L}+"), "isolated")], use_regex=False)
    elif name == "prefixed":
        bpe = byte_level([], use_regex=True)
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    else:
        bpe = byte_level([pre_tokenizers.Digits(individual_digits=True)] if name == "smollm" else [], use_regex=True)
    folder = tokenizer_folder(tmp_path, bpe)
    if name in ("unknown", "prefixed"):
        with pytest.raises(BadConfig, match="no name for how"):
            gguf_vocab.read(folder, 400)
        return
    found = gguf_vocab.read(folder, 400)
    assert (found.model, found.pre) == ("gpt2", name)
    assert (found.tokens[399], found.types[399]) == ("[PAD399]", 5)


def sentencepiece_like() -> Tokenizer:
    """A tokenizer as Llama 2's and Mistral's are kept: spaces as letters, unknown letters as bytes."""
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", "<s>", "</s>", *bytes_], show_progress=False, max_token_length=8
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    state = json.loads(bpe.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # the bytes are tokens like others
    bpe = Tokenizer.from_str(json.dumps(state))
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return bpe


def test_sentencepiece_is_told_by_scores(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path / "whole", sentencepiece_like())
    size = len(AutoTokenizer.from_pretrained(folder))
    LlamaForCausalLM(LlamaConfig(**SHAPES | {"vocab_size": size})).save_pretrained(folder)
    found = gguf_vocab.read(folder, size)
    assert (found.model, found.types[:4]) == ("llama", [2, 3, 3, 6])
    assert found.adds["space"]
    assert found.scores[-1] < found.scores[-2] < 0
    (tmp_path / "file").mkdir()
    gguf_file.write(folder, tmp_path / "file" / "m.gguf", "float32", About("a"))
    before, after = AutoTokenizer.from_pretrained(folder), read_by_others(tmp_path / "file" / "m.gguf")[1]
    for text in SENTENCES:
        assert after(text, add_special_tokens=False)["input_ids"] == before(text, add_special_tokens=False)["input_ids"]


def test_merges_out_of_order_are_refused(tmp_path: Path) -> None:
    state = json.loads(sentencepiece_like().to_str())
    state["model"]["merges"].reverse()
    folder = tokenizer_folder(tmp_path, Tokenizer.from_str(json.dumps(state)))
    with pytest.raises(BadConfig, match="not in the order"):
        gguf_vocab.read(folder, 420)


def test_four_bits_lose_less_than_by_the_largest_number() -> None:
    numbers = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    numbers[0] = 0.0
    numbers[1] *= 1e-3
    kind = GGMLQuantizationType.Q4_0

    def lost(stored: np.ndarray) -> float:
        return float(np.square(unfold(stored, kind) - numbers).sum() / np.square(numbers).sum())

    ours = fold(numbers, kind)
    assert ours.shape == quantize(numbers, kind).shape
    assert lost(ours) < 0.92 * lost(quantize(numbers, kind))
    assert not unfold(ours, kind)[0].any()
