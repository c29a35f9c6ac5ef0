"""What goes along with exported weights: licence, notice of what was changed, and a short card. Written from records.

Nothing in the card is from elsewhere; the whole card is `luthier release card`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from luthier.records.base import short
from luthier.records.evaluation import EvalReport
from luthier.records.training import ModelVersion
from luthier.release import card
from luthier.release.dossier import gather
from luthier.store.files import writable
from luthier.workflows.session import Session

Form = Literal["adapter", "merged", "gguf", "onnx", "int8", "int4"]
SMALL: tuple[Form, ...] = ("int8", "int4")
OWN = "LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*"
"""What publishers call the papers of their weights."""
LIBRARY = {"adapter": "peft", "merged": "transformers", "onnx": "onnx"}
LOAD = {
    "adapter": "python -m luthier.engine --base {base} --adapter {name}=. --port 8000",
    "merged": "python -m luthier.engine --base . --name {name} --port 8000\nvllm serve . --served-model-name {name}",
    "onnx": "python -c \"import onnxruntime; onnxruntime.InferenceSession('model.onnx')\"",
    "gguf": "llama-server --model {file} --jinja --port 8000",
}


class Exported(NamedTuple):
    """What became of an export."""

    model: ModelVersion
    form: Form
    folder: Path
    change: dict[str, float]
    """What was found between the form that is written and the model as it was trained; empty for an adapter."""
    compressed: ModelVersion | None = None
    report: EvalReport | None = None
    """The suite on the compressed model, beside the original."""
    said: tuple[str, ...] = ()
    """What people should know, such as why no suite was run."""


def write(session: Session, exported: Exported, folder: Path, base: Path | None) -> None:
    """LICENSE, NOTICE and README.md beside the weights, with the papers that lie in the folder of the `base`."""
    model = exported.model
    with writable(folder):
        theirs = [path for pattern in OWN for path in (sorted(base.glob(pattern)) if base else ()) if path.is_file()]
        for path in theirs:
            shutil.copyfile(path, folder / path.name)
        if not any(path.name.startswith(("LIC", "COP")) for path in theirs):
            (folder / "LICENSE").write_text(licence(model), encoding="utf-8")
        changed = folder / "NOTICE"
        before = changed.read_text(encoding="utf-8") + "\n" if changed.is_file() else ""
        changed.write_text(before + notice(exported), encoding="utf-8")
        (folder / "README.md").write_text(short_card(session, exported, folder), encoding="utf-8")


def licence(model: ModelVersion) -> str:
    """The text of the base's licence where it is Luthier's own as well, or where to find it."""
    if model.base_licence == "Apache-2.0":
        try:
            text = distribution("luthier").read_text("licenses/LICENSE")
        except PackageNotFoundError:
            text = None
        if text:
            return text
    if not model.base_licence:
        return f"The licence of {card.base_name(model)} is not recorded. Ask its publisher before you pass this on.\n"
    return f"SPDX-License-Identifier: {model.base_licence}\nhttps://spdx.org/licenses/{model.base_licence}.html\n"


def notice(exported: Exported) -> str:
    """Whose work it is, and that it was changed."""
    model = exported.model
    how = {
        "adapter": "an adapter was trained for it; the base's own weights are not in this folder",
        "merged": "an adapter was trained and merged into its weights",
        "gguf": "it was fine-tuned, and its weights were written as GGUF",
        "onnx": "it was fine-tuned, and it was written as ONNX",
    }.get(exported.form, f"it was fine-tuned, and its weights were rounded to {exported.form}")
    if not model.files:
        how = "its weights were written in another form"
    return f"{model.name} ({model.id})\nMade from {card.base_name(model)}, which was changed: {how}.\n"


def short_card(session: Session, exported: Exported, folder: Path) -> str:
    """README.md in the shape that model hubs read."""
    model = exported.model
    dossier = gather(session.workspace.ledger, session.workspace.blobs, model.id)
    head: dict[str, Any] = {
        "license": model.base_licence.lower() or "unknown",
        "base_model": card.base_name(model),
        "base_model_relation": {"adapter": "adapter", "merged": "finetune", "onnx": "finetune"}.get(
            exported.form, "quantized"
        ),
        "library_name": LIBRARY.get(exported.form, "gguf"),
        "pipeline_tag": "text-generation",
        "tags": ["luthier", exported.form],
    }
    weights = next((path.name for path in sorted(folder.glob("*.gguf"))), "")
    command = LOAD.get(exported.form, LOAD["gguf"])
    load = command.format(base=card.base_name(model), name=model.name, file=weights)
    sections = {
        "How to serve": ["```sh", load, "```"],
        "What was checked": list(checked(exported)),
        "Training data": list(card.training_data(dossier.dataset)),
        "Evaluation of the model that it was made from": list(card.evaluation(dossier.main)),
    }
    if exported.report:
        sections["Evaluation of this form"] = list(evaluation(exported))
    text = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    first = f"`{short(model.id)}` of `{card.base_name(model)}`, as {exported.form}."
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n# {model.name}\n\n{first}\n\n{text}\n"


def checked(exported: Exported) -> Iterator[str]:
    """What was found between this form and the model as it was trained."""
    found = exported.change
    if not found:
        yield "The files are those that the run left, held against their digests."
        return
    yield f"Beside base and adapter apart, on {found['texts']:.0f} texts that it was not trained on:"
    yield ""
    yield f"- the likeliest token is the same at {100 * found['same']:.2f} % of the places;"
    yield (
        f"- a token of the answers has a log-probability of {found['logprob'] + found['logprob_change']:.4f}, "
        f"before {found['logprob']:.4f};"
    )
    yield f"- a logit differs by at most {found['logits']:.2g} of the largest."
    for sentence in exported.said:
        yield f"- {sentence}"


def evaluation(exported: Exported) -> Iterator[str]:
    """The suite on this form beside the original."""
    report = exported.report
    if report is None:
        return
    rows = (
        (name, card.share(measure), card.points(report.differences.get(name)), measure.n)
        for name, measure in report.measures.items()
    )
    yield from card.table(("Measure", "This form", "Difference in points", "n"), rows)
