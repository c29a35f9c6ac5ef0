from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from luthier.errors import BadConfig, Missing
from luthier.lm.embed import Embedder, batches

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *("what", "does", "the", "gold", "card", "cost", "a", "man"))


def encoder(folder: Path, pooling: dict[str, bool] | None = None, longest: int | None = None) -> Path:
    """A random BERT of one layer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=24,
        )
        BertModel(config).save_pretrained(folder)
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if longest is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    return folder


def by_hand(folder: Path, ids: list[int], first: bool = False) -> np.ndarray:
    with torch.no_grad():
        hidden = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
    vector = hidden[0] if first else hidden.mean(0)
    return (vector / vector.norm()).numpy()


def test_the_mean_of_the_tokens_at_length_one(tmp_path: Path) -> None:
    embed = Embedder(encoder(tmp_path))
    texts = ["what does the gold card cost", "", "a man eats", "gold " * 100]
    vectors = embed(texts)
    assert vectors.shape == (4, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(vectors[0], by_hand(tmp_path, [2, 5, 6, 7, 8, 9, 10, 3]), atol=1e-6)
    np.testing.assert_allclose(vectors[3], by_hand(tmp_path, [2] + [8] * 22 + [3]), atol=1e-6)


def test_alone_or_in_company_a_text_has_one_vector(tmp_path: Path) -> None:
    embed = Embedder(encoder(tmp_path))
    texts = ["gold " * n for n in range(20)]
    np.testing.assert_allclose(embed(texts), np.concatenate([embed([text]) for text in texts]), atol=1e-6)


def test_the_first_token_where_the_folder_says_so(tmp_path: Path) -> None:
    folder = encoder(tmp_path, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    np.testing.assert_allclose(Embedder(folder)(["gold"])[0], by_hand(folder, [2, 8, 3], first=True), atol=1e-6)


def test_the_folder_says_where_texts_are_cut(tmp_path: Path) -> None:
    embed = Embedder(encoder(tmp_path, longest=6))
    np.testing.assert_allclose(embed(["gold " * 4]), embed(["gold " * 9]), atol=1e-6)


def test_no_texts(tmp_path: Path) -> None:
    assert Embedder(encoder(tmp_path))([]).shape == (0, 32)


def test_a_broken_letter_is_a_text(tmp_path: Path) -> None:
    assert Embedder(encoder(tmp_path))(["half \ud800 pair"]).shape == (1, 32)


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="luthier models pull"):
        Embedder(tmp_path / "nowhere")
    with pytest.raises(BadConfig, match="max_tokens"):
        Embedder(encoder(tmp_path, {"pooling_mode_max_tokens": True}))


@pytest.mark.parametrize("lengths", [[], [5], [3, 1, 2], [100, 1, 1, 1, 100], list(range(50))])
def test_batches_hold_every_place_once_and_keep_the_limit(lengths: list[int]) -> None:
    cut = list(batches(lengths, most=100))
    assert sorted(place for batch in cut for place in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[place] for place in batch) <= 100 for batch in cut)
