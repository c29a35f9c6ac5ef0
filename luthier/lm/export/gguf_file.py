"""A whole model's folder → one GGUF file for llama.cpp, and back to see what was written. Llama, Mistral, Qwen2, Qwen3.

Weights are read, converted and written one matrix at a time, so memory does not grow with the model. llama.cpp turns
neighbouring numbers of a head (Llama, Mistral), transformers the two halves of one: queries and keys are reordered for
it. Knows nothing of adapters: merge them first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, RopeScalingType
from gguf import get_tensor_name_map as name_map
from gguf.quants import quant_shape_to_byte_shape
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig

from luthier.errors import BadConfig, RunFailed
from luthier.lm.export import gguf_vocab
from luthier.lm.export.blocks import fold, unfold

Array = np.ndarray[Any, np.dtype[Any]]
SHARD = 1 << 30
"""Bytes of one safetensors file that is written."""


class Family(NamedTuple):
    """What llama.cpp calls a kind of model, and whether it turns neighbouring numbers of a head."""

    arch: MODEL_ARCH
    neighbours: bool


FAMILIES = {
    "llama": Family(MODEL_ARCH.LLAMA, True),
    "mistral": Family(MODEL_ARCH.LLAMA, True),
    "qwen2": Family(MODEL_ARCH.QWEN2, False),
    "qwen3": Family(MODEL_ARCH.QWEN3, False),
}
TYPES = {
    "float32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "float16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bfloat16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "int8": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "int4": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
ENDS = ("token_embd.weight", "output.weight")
"""The matrices that a 4-bit file keeps in 8 bits: each row of them is a token's."""


class About(NamedTuple):
    """What a file says of itself."""

    name: str
    base: str = ""
    licence: str = ""
    more: tuple[tuple[str, str], ...] = ()
    """Further fields, such as digests."""


def write(folder: Path, file: Path, precision: str, about: About) -> None:
    """The model in `folder` as `file`, matrices in `precision` (a key of TYPES), vectors in float32.

    Raises BadConfig where llama.cpp could not compute it as it was trained.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    family = family_of(config)
    factors = rope_factors(config, family)
    writer = GGUFWriter(None, gguf_name(family))
    describe(writer, about, TYPES[precision][1])
    shape(writer, config)
    gguf_vocab.write(gguf_vocab.read(folder, config.vocab_size), writer)
    plan = list(planned(folder, config, family, TYPES[precision][0]))
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for tensor in plan:
        writer.add_tensor_info(tensor.name, tensor.packed, tensor.dtype, tensor.bytes, tensor.type)
    try:
        writer.write_header_to_file(file)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for tensor in plan:
            writer.write_tensor_data(fold(read(folder, tensor, config, family), tensor.type))
    finally:
        if writer.fout is not None:
            writer.close()


def family_of(config: Any) -> Family:
    """How llama.cpp computes this architecture. Raises BadConfig where it does not, or not as it was trained."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise BadConfig(
            f"{config.model_type} is no architecture that is written as GGUF here ({', '.join(FAMILIES)} are)",
            "export it as merged, and convert it with llama.cpp's own tool",
        )
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds and config.model_type != "mistral":
        raise BadConfig(f"some of its layers see a window only ({', '.join(sorted(kinds))})", "export it as merged")
    return family


def gguf_name(family: Family) -> str:
    """The name in a file's metadata."""
    from gguf import MODEL_ARCH_NAMES

    return str(MODEL_ARCH_NAMES[family.arch])


def describe(writer: GGUFWriter, about: About, kind: LlamaFileType) -> None:
    """Name, origin and licence."""
    writer.add_type("model")
    writer.add_name(about.name)
    writer.add_license(about.licence)
    if about.base:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, about.base)
    for name, value in about.more:
        writer.add_string(name, value)
    writer.add_file_type(kind)
    writer.add_quantization_version(2)


def shape(writer: GGUFWriter, config: Any) -> None:
    """Sizes, norms and rotary positions."""
    window = getattr(config, "sliding_window", None)
    longest = config.max_position_embeddings
    # llama.cpp computes no window for this architecture: within one window both are the same.
    writer.add_context_length(min(longest, window) if window and config.model_type == "mistral" else longest)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(heads(config)[1])
    writer.add_key_length(head_width(config))
    writer.add_value_length(head_width(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(head_width(config))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.rope_parameters.get("rope_type") == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])


def heads(config: Any) -> tuple[int, int]:
    """Heads of queries, and of keys and values."""
    count: int = config.num_attention_heads
    return count, getattr(config, "num_key_value_heads", None) or count


def head_width(config: Any) -> int:
    """Numbers of one head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def rope_factors(config: Any, family: Family) -> Array | None:
    """What each rotary frequency is divided by, (head width / 2,) float32, where the model stretches them by hand.

    Raises BadConfig where llama.cpp cannot be told.
    """
    kind = config.rope_parameters.get("rope_type", "default")
    if config.rope_parameters.get("partial_rotary_factor", 1.0) != 1.0:
        raise BadConfig("only a part of each head is turned by its position", "export it as merged")
    if kind in ("default", "linear"):
        return None
    if kind != "llama3" or not family.neighbours:
        raise BadConfig(f"rotary positions of kind {kind} are not written as GGUF here", "export it as merged")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stretched, _ = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    width = head_width(config)
    plain = 1.0 / config.rope_parameters["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    factors: Array = (plain / stretched.float()).numpy()
    return factors


class Tensor(NamedTuple):
    """One tensor of the file to be written, and where it comes from."""

    name: str
    source: str
    where: Path
    type: GGMLQuantizationType
    packed: tuple[int, ...]
    """Its shape as it is written: of bytes where it is quantised."""
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        return math.prod(self.packed) * int(self.dtype.itemsize)


def planned(folder: Path, config: Any, family: Family, wanted: GGMLQuantizationType) -> Iterator[Tensor]:
    """The tensors of the file, from the headers of the weights alone. Raises BadConfig for one that has no place."""
    names = name_map(family.arch, config.num_hidden_layers)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for source in sorted(weights.keys()):
                if source == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise BadConfig(f"GGUF has no place for {source} of {config.model_type}", "export it as merged")
                size = tuple(weights.get_slice(source).get_shape())
                kind = type_of(name, size, wanted)
                if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
                    dtype = np.dtype(np.float32 if kind == GGMLQuantizationType.F32 else np.float16)
                    yield Tensor(name, source, path, kind, size, dtype)
                else:
                    yield Tensor(name, source, path, kind, quant_shape_to_byte_shape(size, kind), np.dtype(np.uint8))


def type_of(name: str, size: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """How a tensor is stored: vectors in float32, rows that are no whole number of blocks in float16."""
    if len(size) == 1:
        return GGMLQuantizationType.F32
    if wanted in (GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0):
        if size[-1] % 32:
            return GGMLQuantizationType.F16
        return GGMLQuantizationType.Q8_0 if name in ENDS else wanted
    return wanted


def read(folder: Path, tensor: Tensor, config: Any, family: Family) -> Array:
    """The numbers of a tensor in float32, in llama.cpp's order. Raises RunFailed where one is none."""
    with safe_open(tensor.where, framework="pt") as weights:
        numbers: Array = weights.get_tensor(tensor.source).float().numpy()
    if not np.isfinite(numbers).all():
        raise RunFailed(f"{tensor.source} of {folder} has numbers that are not finite", "train again, more slowly")
    return reordered(numbers, tensor.source, config) if family.neighbours else numbers


def reordered(numbers: Array, source: str, config: Any, *, back: bool = False) -> Array:
    """Queries and keys with the halves of each head interleaved (`back`: taken apart again); others as they are."""
    side = source.rpartition(".")[0].rpartition(".")[2]
    if side not in ("q_proj", "k_proj"):
        return numbers
    count = heads(config)[side == "k_proj"]
    half = numbers.shape[0] // count // 2
    parts = numbers.reshape(count, *((half, 2) if back else (2, half)), *numbers.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(1, 2).reshape(numbers.shape))


def unpack(file: Path, like: Path, folder: Path) -> None:
    """The weights of `file`, as llama.cpp would compute with them, in the files of `folder`, float32.

    Config and tokenizer are those of `like`, the folder that the file was written from.
    """
    config = AutoConfig.from_pretrained(like, local_files_only=True, trust_remote_code=False)
    family = family_of(config)
    known = {tensor.name: tensor.source for tensor in planned(like, config, family, GGMLQuantizationType.F32)}
    folder.mkdir(parents=True, exist_ok=True)
    for path in like.iterdir():
        if path.is_file() and not path.name.endswith((".safetensors", ".safetensors.index.json")):
            (folder / path.name).write_bytes(path.read_bytes())
    shards: list[list[str]] = []
    shard: dict[str, torch.Tensor] = {}
    for tensor in GGUFReader(file).tensors:
        if tensor.name not in known:
            continue
        source = known[tensor.name]
        numbers = unfold(np.asarray(tensor.data), tensor.tensor_type)
        if family.neighbours:
            numbers = reordered(numbers, source, config, back=True)
        shard[source] = torch.from_numpy(np.array(numbers, dtype=np.float32))
        if sum(each.nbytes for each in shard.values()) > SHARD:
            keep(shard, folder, shards)
            shard = {}
    keep(shard, folder, shards)
    where = {source: f"model-{number:05d}.safetensors" for number, names in enumerate(shards) for source in names}
    index = json.dumps({"metadata": {}, "weight_map": where})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")


def keep(shard: dict[str, torch.Tensor], folder: Path, shards: list[list[str]]) -> None:
    """Write the next file of weights, and note what it holds."""
    if shard:
        save_file(shard, folder / f"model-{len(shards):05d}.safetensors", metadata={"format": "pt"})
        shards.append(list(shard))
