"""Model folders: are they whole and free of code, and which digest names their content. No torch.

A folder is config.json, *.safetensors and a tokenizer, as every Llama-, Qwen-, Gemma- or Mistral-shaped checkpoint
comes; or a spaCy pipeline. Knows nothing of where it came from, beyond the manifest that a pull leaves in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from luthier.errors import BadConfig, Missing, Tampered
from luthier.records.base import canonical, sha256

MANIFEST = "manifest.json"
PARTS = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*", "vocab.*",
    "merges.txt", "spiece.model", "special_tokens_map.json", "added_tokens.json", "chat_template*", "modules.json",
    "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip
"""What decides how a model answers: the files that its digest covers. A spaCy pipeline counts whole."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def folder_digest(folder: Path, *, reread: bool = False) -> str:
    """The sha256 that names the model in `folder`: over the names and digests of weights, config and tokenizer.

    Digests that a pull has recorded are taken over for files of unchanged size and time, unless `reread`.
    Raises Tampered where a pulled model is no longer what was pulled.
    """
    manifest = read_manifest(folder)
    known = manifest.get("files", {})
    digests = {}
    for path in parts(folder):
        name = path.relative_to(folder).as_posix()
        stat = path.stat()
        recorded = known.get(name, {})
        unchanged = (recorded.get("bytes"), recorded.get("changed")) == (stat.st_size, stat.st_mtime_ns)
        digests[name] = recorded["sha256"] if unchanged and not reread else file_digest(path, fresh=reread)
    digest = sha256(canonical(digests))
    if manifest and manifest["digest"] != digest:
        raise Tampered(
            f"{folder} has the digest {digest}, and {manifest['digest']} was pulled",
            f"delete that folder and run: luthier models pull {manifest['name']}",
        )
    return digest


def parts(folder: Path) -> list[Path]:
    """The files that the digest covers, in order."""
    if is_spacy(folder):
        return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted({path for pattern in PARTS for path in folder.glob(pattern) if path.is_file()})


def is_spacy(folder: Path) -> bool:
    return (folder / "meta.json").is_file() and (folder / "config.cfg").is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the pull recorded, or nothing where the folder is a user's own."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    found = _json(path)
    return found if found.get("luthier") else {}


def file_digest(path: Path, *, fresh: bool = False) -> str:
    """sha256 of a file in hex; unless `fresh`, remembered for as long as its size and time stay."""
    stat = path.stat()
    if fresh:
        _file_digest.cache_clear()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns)


def check(folder: Path) -> None:
    """Refuse a folder that could not be loaded, or only by running code from it.

    Raises Missing for what is not there, BadConfig for pickles and code, Tampered for weights that are cut short.
    """
    if is_spacy(folder):
        return
    if not (folder / "config.json").is_file():
        raise Missing(f"{folder} holds no model (no config.json)", _mend_for_bare(folder))
    check_no_code(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BadConfig(f"{folder} holds no *.safetensors", _mend_for_bare(folder))
    for index in folder.glob("*.safetensors.index.json"):
        for shard in sorted(set(_json(index).get("weight_map", {}).values())):
            if not (folder / shard).is_file():
                raise Missing(f"{folder} lacks {shard}, which {index.name} names", "fetch the model's folder again")
    for path in weights:
        check_whole(path)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise Missing(f"{folder} holds no tokenizer", "put the model's tokenizer.json beside its config.json")


def check_no_code(folder: Path) -> None:
    """Refuse a folder whose configuration names Python files of its own. Raises BadConfig."""
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file() and "auto_map" in _json(path):
            raise BadConfig(
                f"{path} wants code from the model's folder to be run (auto_map)",
                "use a model whose architecture transformers brings itself; Luthier runs no code from a model",
            )


def check_whole(path: Path) -> None:
    """Refuse a safetensors file whose size is not the one that its header promises. Raises Tampered."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < size else b""
    try:
        tensors = json.loads(header)
        end = max(
            (entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"),
            default=0,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        end = -1
    if end < 0 or 8 + length + end != size:
        raise Tampered(f"{path} is cut short or is no safetensors file", "fetch the model's folder again")


def seal(folder: Path, about: dict[str, Any]) -> str:
    """Write the manifest of a folder that is whole, flushed to the disk. Returns the digest."""
    recorded = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(0o644)
        stat = path.stat()
        recorded[path.relative_to(folder).as_posix()] = {
            "sha256": file_digest(path),
            "bytes": stat.st_size,
            "changed": stat.st_mtime_ns,
        }
        _flush(path)
    named = {path.relative_to(folder).as_posix() for path in parts(folder)}
    digest = sha256(canonical({name: entry["sha256"] for name, entry in recorded.items() if name in named}))
    manifest = {"luthier": 1, **about, "digest": digest, "files": recorded}
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _flush(path)
    return digest


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@lru_cache(maxsize=4096)
def _file_digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfig(f"{path} is not JSON ({error})", "fetch the model's folder again") from error
    if not isinstance(found, dict):
        raise BadConfig(f"{path} holds no JSON object", "fetch the model's folder again")
    return found


def _mend_for_bare(folder: Path) -> str:
    """What to do with a folder without safetensors, by what it holds instead."""
    if any(folder.glob("*.gguf")):
        return "convert it once: python -m luthier.lm.convert FILE.gguf NEW_FOLDER"
    if any(path for pattern in PICKLED for path in folder.glob(pattern)):
        return (
            "its weights are pickled, and pickles run code when they are loaded: save the model once with "
            "transformers' save_pretrained on a machine that trusts it"
        )
    return "give a folder with config.json, *.safetensors and a tokenizer"
