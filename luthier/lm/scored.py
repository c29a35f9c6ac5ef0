"""Models that give a text a number: a language model with one linear layer in place of its vocabulary.

The number of a text is read at its last token. What it means, and how it is learnt, is somebody else's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from luthier.errors import BadConfig, Missing
from luthier.lm.load import DType, device, resolve_dtype

HEAD = "score"
"""What transformers calls the layer, and PEFT too, which saves it whole beside an adapter."""


def load_scored(folder: Path, dtype: DType = "auto", *, attention: str = "sdpa") -> PreTrainedModel:
    """The model in `folder` with a head of one number, in eval mode. Raises Missing or BadConfig with the mend.

    Where the folder has no such head it is drawn, the same for every run, with a variance of 1 / (H + 1) for H hidden
    numbers: scores begin within about one of each other (Stiennon et al. 2020, arXiv:2009.01325).
    """
    if not (folder / "config.json").is_file():
        raise Missing(f"{folder} holds no model (no config.json)", "give a folder with config.json and *.safetensors")
    if not any(folder.glob("*.safetensors")):
        raise BadConfig(f"{folder} holds no safetensors", "convert its weights once with transformers' save_pretrained")
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=1,
            dtype=resolve_dtype(dtype),
            attn_implementation=attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except ValueError as error:
        raise BadConfig(f"transformers has no scoring head for {folder.name} ({error})", "take another base") from error
    absent = sorted(name for name in found["missing_keys"] if not name.startswith(f"{HEAD}."))
    if absent or not hasattr(model, HEAD):
        lacking = absent[0] if absent else HEAD
        raise BadConfig(
            f"the weights in {folder} lack {lacking}", "fetch the model's folder again, or take another base"
        )
    if found["missing_keys"]:
        draw(getattr(model, HEAD).weight)
    if model.config.pad_token_id is None:  # transformers scores no two rows at once without one
        ends = model.config.eos_token_id
        model.config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    loaded: PreTrainedModel = model.to(device()).eval()
    return loaded


@torch.no_grad()
def draw(weight_1H: torch.Tensor) -> None:
    """The head's first weights. The generator is its own, so nobody else's numbers change."""
    generator = torch.Generator().manual_seed(0)
    drawn_1H = torch.randn(weight_1H.shape, generator=generator) / math.sqrt(weight_1H.shape[1] + 1)
    weight_1H.copy_(drawn_1H)


@torch.no_grad()
def score(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> list[float]:
    """The number of each text, given as token ids: read at its last token, whatever that is."""
    width = max(map(len, texts))
    ids_BT = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in texts], device=model.device)
    scores_BT = scores(model, {"input_ids": ids_BT, "attention_mask": None, "use_cache": False})
    ends_B = torch.tensor([len(ids) - 1 for ids in texts], device=scores_BT.device)
    return scores_BT.gather(1, ends_B[:, None])[:, 0].tolist()


def scores(model: PreTrainedModel, inputs: dict[str, object]) -> torch.Tensor:
    """What the head says at every token, (B, T) in float32.

    transformers itself returns the last token's that is not the padding: where a text ends with the id that it is
    padded with, as most do, that is the token before its end.
    """
    seen: list[torch.Tensor] = []
    hook = getattr(model, HEAD).register_forward_hook(lambda head, given, said: seen.append(said))
    try:
        model(**inputs)
    finally:
        hook.remove()
    return seen[-1].squeeze(-1).float()
