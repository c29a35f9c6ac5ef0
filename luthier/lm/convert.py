"""GGUF → a folder of safetensors, config and tokenizer. Run as `python -m luthier.lm.convert FILE.gguf FOLDER`.

A process of its own, because reading a GGUF takes several times the memory of the weights. Says `step 2 of 4` on its
standard output as it goes. The same GGUF gives the same bytes: versions and paths of the machine are left out of the
folder. Knows nothing of catalogues, downloads or caches.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerFast

from luthier.errors import BadConfig, LuthierError, RunFailed

STEPS = 4
OF_THIS_MACHINE = ("_model_name_or_path", "_name_or_path", "transformers_version", "is_local", "local_files_only")
PROBES = (
    "What does a card cost? 8.50 EUR, 1,234 in all.\n\n1. Call 4040.\n2. Wait.",
    "Grüße! Wie hoch ist die Gebühr für die Überziehung? 1.234,50 €",
    "¿Cuánto cuesta la tarjeta, señor Peña? Está en el año 2026.",
)
"""Texts that a converted tokenizer has to give back unchanged, its own special tokens around them."""
MOST_APART = 0.1
"""Largest relative difference between two copies of one tied matrix that quantisation explains."""


def main(arguments: list[str]) -> int:
    """Convert, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m luthier.lm.convert", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tie", action="store_true", help="one matrix for input and output, taken from the output")
    given = parser.parse_args(arguments)
    try:
        convert(given.file, given.folder, getattr(torch, given.dtype), tie=given.tie)
    except LuthierError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return error.exit_code
    return 0


def convert(file: Path, folder: Path, dtype: torch.dtype, *, tie: bool = False) -> None:
    """Read `file`, check it, and write `folder`. Raises BadConfig for no GGUF, RunFailed where the result is wrong."""
    if not file.is_file():
        raise BadConfig(f"there is no file {file}", "give the path of a .gguf file")
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise BadConfig(f"{file} is no GGUF file", "give a .gguf file, or fetch it again")
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, "local_files_only": True}
    step(0)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    mend_digits(tokenizer, file)
    step(1)
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    step(2)
    if tie:
        tie_output(model)
    if not all(bool(torch.isfinite(weights).all()) for weights in model.parameters()):
        raise RunFailed(f"{file.name} unpacks to weights that are not finite", "fetch the file again")
    tokenizer.model_max_length = model.config.max_position_embeddings
    check_tokenizer(tokenizer)
    step(3)
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.glob("*.json"):
        if path.name != "tokenizer.json":
            forget_machine(path)
    step(4)


def mend_digits(tokenizer: PreTrainedTokenizerFast, file: Path) -> None:
    """SmolLM splits numbers into digits before all else; transformers' reading of its GGUF forgets that.

    Without it two line feeds before a digit become two tokens that the model never saw in training.
    """
    field = GGUFReader(str(file)).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])


def tie_output(model: PreTrainedModel) -> None:
    """Make the input embeddings the output matrix again, where quantising one matrix twice made two of it."""
    embedded, output = model.get_input_embeddings(), model.get_output_embeddings()
    with torch.no_grad():
        apart = float((embedded.weight - output.weight).norm() / output.weight.norm())
        if apart > MOST_APART:
            raise RunFailed(
                f"input and output matrix differ by {apart:.2f}: they were never tied", "convert without --tie"
            )
        embedded.weight.copy_(output.weight)
    model.config.tie_word_embeddings = True
    model.tie_weights()


def check_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises RunFailed where text does not come back from its ids, or where nothing ends a turn."""
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
        raise RunFailed("the GGUF names no end-of-sequence or no padding token", "use another conversion of the model")
    for probe in PROBES:
        text = f"{tokenizer.bos_token or ''}{probe}{tokenizer.eos_token}"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text or ids[-1] != tokenizer.eos_token_id:
            raise RunFailed(f"the GGUF's tokenizer does not give {probe!r} back", "use another conversion of the model")


def forget_machine(path: Path) -> None:
    """Take versions and paths of this machine out of a JSON file, so that the folder's digest means its content."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in found.items() if key not in OF_THIS_MACHINE}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def step(done: int) -> None:
    print(f"step {done} of {STEPS}", flush=True)  # noqa: T201 - read by the process that pulls


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
