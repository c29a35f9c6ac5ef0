"""An adapter merged into its base, in full precision and rounded once: one folder that any server loads.

What comes out is compared with base and adapter apart, and read back from its files, before anybody may have it.
Knows nothing of where the files came from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.lm import adapters
from luthier.lm.chat import Chat, Ids
from luthier.lm.export.compared import Change, Said, change, require_same, said
from luthier.lm.folders import folder_digest, parts
from luthier.lm.load import load_model

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MOST_APART = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
"""Of the largest logit: what rounding explains."""
UNMERGEABLE = {
    "BOTTLENECK": "bottleneck adapters are layers of their own",
    "PREFIX_TUNING": "a prefix is keys and values in front of every layer's own",
    "PROMPT_TUNING": "a learnt prompt is embeddings in front of the text",
}


def merge(base: Path, adapter: Path | None, folder: Path, dtype: str, items: Sequence[Ids]) -> Change:
    """The model in `base` with `adapter` in its weights, written to `folder`; how far it is from the two apart.

    `dtype` is a name of DTYPES, or `auto` for the base's own. Without an adapter the model is rounded and copied.
    Raises BadConfig for an adapter that is no change of weights, or was made for another base; RunFailed where the
    merged model says something else.
    """
    if adapter is not None:
        require_mergeable(adapter, base)
    require_answers(base)
    rounded = DTYPES[stored(base) if dtype == "auto" else dtype]
    before, whole = taken_up(base, adapter, items)
    whole.to(rounded).save_pretrained(folder)
    del whole
    copy_tokenizer(base, folder)
    found = change(before, said(load_model(folder, "float32"), items))
    require_same(found, MOST_APART[rounded], "the written model")
    return found


def taken_up(base: Path, adapter: Path | None, items: Sequence[Ids]) -> tuple[list[Said], PreTrainedModel]:
    """What base and adapter apart make of the texts, and the one merged into the other, in float32."""
    model = load_model(base, "float32")
    if adapter is None:
        return said(model, items), model
    tuned = adapters.read_onto(model, adapter).eval()
    assert isinstance(tuned, PeftModel)
    before = said(tuned, items)
    whole = adapters.merged(tuned)
    require_same(change(before, said(whole, items)), MOST_APART[torch.float32], "base and adapter merged")
    return before, whole


def require_mergeable(adapter: Path, base: Path) -> None:
    """Refuse what cannot go into weights, or not into these. Raises BadConfig."""
    fields = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8"))
    kind = str(fields.get("peft_type"))
    if kind in UNMERGEABLE:
        raise BadConfig(
            f"{UNMERGEABLE[kind]}, so this adapter cannot be merged into weights",
            "export it with --as adapter, or train with lora, dora or ia3, which are changes of weights",
        )
    if fields.get("task_type") == "SEQ_CLS":
        raise BadConfig("this is a reward model: it scores texts and answers none", "export it with --as adapter")
    stamp, chat = adapters.read_stamp(adapter), Chat.load(base)
    ours = adapters.Stamp(folder_digest(base), chat.template_digest, chat.tokenizer_digest)
    if stamp is not None and stamp != ours:
        what = next(name for name, a, b in zip(ours._fields, ours, stamp, strict=True) if a != b)
        raise BadConfig(
            f"the adapter was trained with another {what.removesuffix('_digest')} than {base.name} has",
            "merge it into the base that it was trained on",
        )


def require_answers(folder: Path) -> None:
    """Refuse a whole model that scores texts. Raises BadConfig."""
    named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    if any(name.endswith("ForSequenceClassification") for name in named):
        raise BadConfig("this is a reward model: it scores texts and answers none", "copy its files from the store")


def stored(folder: Path) -> str:
    """The precision that the model's weights are kept in."""
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = str(fields.get("dtype") or fields.get("torch_dtype") or "float32")
    return name if name in DTYPES else "float32"


def copy_tokenizer(base: Path, folder: Path) -> None:
    """Tokenizer, chat template and generation settings, byte for byte: what is exported renders as it was trained."""
    for path in parts(base):
        if path.suffix != ".safetensors" and not path.name.endswith(".index.json") and path.name != "config.json":
            (folder / path.relative_to(base)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.relative_to(base))
