"""Weights from a folder: safetensors only, no code from the folder, on the device and in the precision asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from luthier.errors import BadConfig, Missing

DType = Literal["auto", "float32", "bfloat16"]


def has_fast_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 natively: a GPU, or a CPU with AVX512-BF16 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    if not Path("/proc/cpuinfo").is_file():
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def resolve_dtype(name: DType) -> torch.dtype:
    """`auto` is bfloat16 where the machine multiplies it natively, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16() else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(folder: Path, dtype: DType = "auto", *, attention: str = "sdpa") -> PreTrainedModel:
    """The causal language model in `folder`, in eval mode. Raises Missing or BadConfig with the mend.

    `attention` is transformers' name: `sdpa`, or `eager`, whose backward pass is several times faster on CPUs.
    """
    if not (folder / "config.json").is_file():
        raise Missing(f"{folder} holds no model (no config.json)", "give a folder with config.json and *.safetensors")
    if not any(folder.glob("*.safetensors")):
        raise BadConfig(
            f"{folder} holds no safetensors; pickled weights run code when they are loaded",
            "convert them once with transformers: AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)",
        )
    model, found = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=resolve_dtype(dtype),
        attn_implementation=attention,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    if absent := sorted(found["missing_keys"]):  # transformers would draw them at random
        raise BadConfig(
            f"the weights in {folder} lack {len(absent)} tensors, the first is {absent[0]}",
            "fetch the model's folder again",
        )
    loaded: PreTrainedModel = model.to(device()).eval()
    return loaded
