"""A tiny random Llama as GGUF, unpacked by the child process that pull starts."""

import json

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.errors import BadConfig, NoRoom, RunFailed
from luthier.lm import convert, fetch
from luthier.lm.folders import check, folder_digest

WIDTH, WORDS, LAYERS, HEADS, INNER = 64, 270, 1, 4, 96


def bytes_alphabet():
    """GPT-2's letters for the 256 bytes, as ByteLevel tokenizers use them."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def write_gguf(path, *, second_output=0.0):
    """A Llama of one layer in float32. `second_output` adds an output matrix that lies so far from the embeddings."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(WORDS)
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *bytes_alphabet(), "ĊĊ", "ĠĠ"]
    tokens += [f"Ġ{n}x" for n in range(WORDS - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.standard_normal(shape) * 0.05).astype(np.float32)

    embedded = weights(WORDS, WIDTH)
    writer.add_tensor("token_embd.weight", embedded)
    if second_output:
        writer.add_tensor("output.weight", embedded + second_output * weights(WORDS, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", weights(WIDTH, WIDTH))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("blk.0.ffn_gate.weight", weights(INNER, WIDTH))
    writer.add_tensor("blk.0.ffn_up.weight", weights(INNER, WIDTH))
    writer.add_tensor("blk.0.ffn_down.weight", weights(WIDTH, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_becomes_a_whole_folder_the_same_each_time(file, tmp_path):
    told = []
    fetch.run_converter([str(file), str(tmp_path / "a")], lambda *said: told.append(said))
    assert told[-1] == ("unpack", 4, 4)
    check(tmp_path / "a")
    convert.convert(file, tmp_path / "b", torch.float32)
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")
    assert "transformers_version" not in (tmp_path / "a" / "config.json").read_text()
    assert json.loads((tmp_path / "a" / "generation_config.json").read_text())["eos_token_id"] == 2
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
    assert model.config.tie_word_embeddings
    assert model(torch.tensor([[1, 5, 7]])).logits.shape == (1, 3, WORDS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert tokenizer.model_max_length == 128
    assert tokenizer.convert_ids_to_tokens(tokenizer("a\n\n12<|im_end|>").input_ids) == [
        "a",
        "ĊĊ",
        "1",
        "2",
        "<|im_end|>",
    ]


def test_a_matrix_that_was_quantised_twice_is_one_again(tmp_path):
    near = write_gguf(tmp_path / "near.gguf", second_output=0.05)
    convert.convert(near, tmp_path / "tied", torch.bfloat16, tie=True)
    tied = AutoModelForCausalLM.from_pretrained(tmp_path / "tied")
    assert tied.get_input_embeddings().weight is tied.get_output_embeddings().weight
    assert tied.dtype == torch.bfloat16
    far = write_gguf(tmp_path / "far.gguf", second_output=5.0)
    with pytest.raises(RunFailed, match="never tied"):
        convert.convert(far, tmp_path / "no", torch.float32, tie=True)


def test_what_is_no_gguf_is_said(tmp_path, capsys):
    with pytest.raises(BadConfig, match="there is no file"):
        convert.convert(tmp_path / "none.gguf", tmp_path / "x", torch.float32)
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 100)
    assert convert.main([str(tmp_path / "junk.gguf"), str(tmp_path / "x")]) == 1
    assert "is no GGUF file: give a .gguf file" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_child_that_fails_or_fills_the_disk_is_said(tmp_path, monkeypatch):
    child = tmp_path / "python"
    monkeypatch.setattr(fetch.sys, "executable", str(child))
    for words, error in (("No space left on device", NoRoom), ("Killed", RunFailed)):
        child.write_text(f"#!/bin/sh\necho {words}\nexit 1\n")
        child.chmod(0o755)
        with pytest.raises(error):
            fetch.run_converter([str(tmp_path / "m.gguf"), str(tmp_path / "x")], lambda *_: None)
