"""Texts → unit vectors, by a sentence encoder in a folder. Knows nothing of documents, search or HTTP.

The encoder is a BERT-like model with the pooling that its folder names: the mean over the tokens (Reimers and
Gurevych 2019, arXiv:1908.10084) or the first token. Vectors have length 1, so a dot product is the cosine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from luthier.errors import BadConfig, Missing
from luthier.lm.load import device

BATCH_TOKENS = 8192  # padding included: bounds the memory of one forward pass


class Embedder:
    """The sentence encoder in `folder`. Called with N texts, gives float32 (N, `width`), each row of length 1.

    Texts longer than `max_tokens` are cut there; the empty text has a vector like any other.
    Raises Missing or BadConfig when the folder holds no such model.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise Missing(
                f"{folder} holds no embedding model (config.json and *.safetensors)",
                "run: luthier models pull all-minilm-l6-v2",
            )
        self.first_token = pools_first_token(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        self.device = device()
        self.model: torch.nn.Module = model.to(self.device).eval()
        self.width: int = model.config.hidden_size
        """Numbers in a vector."""
        asked = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
        self.max_tokens: int = min(asked or model.config.max_position_embeddings, model.config.max_position_embeddings)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors_ND = np.zeros((len(texts), self.width), dtype=np.float32)
        if not texts:
            return vectors_ND
        # Half a surrogate pair, which JSON can hold, is no letter to the tokenizer.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        encoded = self.tokenizer(clean, truncation=True, max_length=self.max_tokens)["input_ids"]
        lengths = [len(ids) for ids in encoded]
        for batch in batches(lengths):
            vectors_ND[batch] = self.encode([encoded[place] for place in batch])
        return vectors_ND

    def encode(self, ids: Sequence[list[int]]) -> NDArray[np.float32]:
        """One padded batch of B token sequences through the model: (B, width)."""
        padded = self.tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt").to(self.device)
        hidden_BTD = self.model(**padded).last_hidden_state
        if self.first_token:
            pooled_BD = hidden_BTD[:, 0]
        else:
            mask_BT1 = padded["attention_mask"].unsqueeze(-1).to(hidden_BTD.dtype)
            pooled_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
        unit: NDArray[np.float32] = torch.nn.functional.normalize(pooled_BD, dim=-1).cpu().numpy()
        return unit


def batches(lengths: Sequence[int], most: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Places of `lengths`, like lengths together so that little is padding, at most `most` padded tokens a batch."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cuts = [0]
    for here in range(1, len(order)):
        # Sorted upwards: the newest is the longest, and the width of the padded batch.
        if (here - cuts[-1] + 1) * lengths[order[here]] > most:
            cuts.append(here)
    yield from (order[start:end] for start, end in pairwise([*cuts, len(order)]) if start < end)


def pools_first_token(folder: Path) -> bool:
    """Whether the folder's pooling takes the first token; False: the mean. Raises BadConfig for any other."""
    modes = {
        name.removeprefix("pooling_mode_")
        for name, on in read_json(folder / "1_Pooling" / "config.json").items()
        if name.startswith("pooling_mode_") and on is True
    }
    if modes <= {"mean_tokens"}:
        return False
    if modes == {"cls_token"}:
        return True
    raise BadConfig(
        f"{folder.name} pools its tokens by {', '.join(sorted(modes))}, which is not known here",
        "take an encoder that pools by the mean or by its first token, e.g. all-minilm-l6-v2",
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is no such file."""
    if not path.is_file():
        return {}
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return loaded if isinstance(loaded, dict) else {}
