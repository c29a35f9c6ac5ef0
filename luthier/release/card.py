"""The model card: what the records say about a model, as Markdown in the shape that the Hugging Face hub reads.

Nothing in it is from elsewhere: what is not recorded is said to be missing.
Metadata: https://huggingface.co/docs/hub/model-cards; sections after Mitchell et al. 2019, arXiv:1810.03993.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from luthier.records.base import short
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import Measure
from luthier.records.training import ModelVersion, Recipe
from luthier.release.dossier import Dossier, Measured, gather
from luthier.store.blobs import Blobs
from luthier.store.ledger import Ledger

VLLM_RANKS = (8, 16, 32, 64, 128, 256)
NOT_RECORDED = "not recorded"


def model_card(ledger: Ledger, blobs: Blobs, model_id: str) -> str:
    """The card of a model, from the ledger alone. Raises UnknownName where there is no such model."""
    return write(gather(ledger, blobs, model_id))


def write(dossier: Dossier) -> str:
    """The card of what was gathered."""
    sections = {
        "Intended use": intended_use(dossier),
        "Training data": training_data(dossier.dataset),
        "Training": training(dossier),
        "Evaluation": evaluation(dossier.main),
        **{f"Further measurement: {m.suite.name}": evaluation(m) for m in dossier.others},
        "Verdict": verdict(dossier),
        "Approvals": approvals(dossier),
        "Limits": limits(dossier),
        "How to serve": serving(dossier.model),
        "Digests": digests(dossier),
    }
    head = yaml.safe_dump(metadata(dossier), sort_keys=False, allow_unicode=True, width=120)
    text = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    return f"---\n{head}---\n\n# {dossier.model.name}\n\n{summary(dossier)}\n\n{text}\n"


def metadata(dossier: Dossier) -> dict[str, Any]:
    """The YAML head: licence, base model, languages, data, and figures as a model index."""
    model, dataset = dossier.model, dossier.dataset
    adapter = "adapter_config.json" in model.files
    head: dict[str, Any] = {
        "license": model.base_licence.lower() or "unknown",
        "base_model": base_name(model),
        "base_model_relation": "adapter" if adapter else "finetune",
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "language": sorted(dataset.languages) if dataset else [],
        "tags": ["luthier", *(["lora"] if adapter else []), *([dossier.recipe.method] if dossier.recipe else [])],
        "datasets": [source.name for source in dataset.sources] if dataset else [],
    }
    measured = [*([dossier.main] if dossier.main else []), *dossier.others]
    if measured:
        head["model-index"] = [{"name": model.name, "results": [result(m) for m in measured]}]
    return {name: value for name, value in head.items() if value}


def result(measured: Measured) -> dict[str, Any]:
    """One suite's figures as an entry of the model index."""
    suite = measured.suite
    return {
        "task": {"type": "text-generation", "name": "Question answering"},
        "dataset": {"name": suite.name, "type": suite.name, "revision": suite.questions},
        "metrics": [
            {"type": name, "name": name, "value": round(m.mean, 4), "args": {"low": m.low, "high": m.high, "n": m.n}}
            for name, m in measured.report.measures.items()
        ],
    }


def summary(dossier: Dossier) -> str:
    """One sentence on what it is and where it stands."""
    model, now = dossier.model, dossier.status
    kind = f"A rank-{model.rank} adapter for" if model.rank else "A fine-tuned version of"
    if not model.rank and "adapter_config.json" in model.files:
        kind = "An adapter for"
    if not model.files:
        kind = "The untouched base model"
    live = f" as {', '.join(f'`{alias}`' for alias in now.aliases)}" if now.aliases else ""
    return f"{kind} `{base_name(model)}`, `{short(model.id)}`. State: {now.state}{live}."


def intended_use(dossier: Dossier) -> Iterator[str]:
    """What the latest deployment uses the model for."""
    if not dossier.uses:
        yield "It has not been deployed, so no use is recorded."
        return
    deployment, policy, index = dossier.uses[0]
    staff = sum(document.audience == "staff" for document in index.documents)
    yield (
        f"Answers as `{deployment.alias}` from {len(index.documents)} documents of `{index.name}` "
        f"({len(index.documents) - staff} public, {staff} for staff only), in {', '.join(policy.languages)}. "
        f"Citations are {policy.citations}. Serving policy: `{policy.name}` ({short(policy.id)})."
    )
    if policy.rules:
        yield ""
        yield from table(("Rule", "On", "Action", "Why"), ((r.id, r.side, r.action, r.why) for r in policy.rules))


def training_data(dataset: DatasetVersion | None) -> Iterator[str]:
    """Counts by source, split, language and type of personal data."""
    if dataset is None:
        yield "No dataset is recorded."
        return
    yield f"`{dataset.name}` ({short(dataset.id)}), built by {dataset.builder or NOT_RECORDED}."
    yield ""
    rows = ((s.name, s.rows, s.licence, s.consent, f"`{s.digest[:12]}`") for s in dataset.sources)
    yield from table(("Source", "Rows", "Licence", "Consent", "sha256"), rows)
    yield ""
    yield f"- Splits: {counted(dataset.counts)}"
    yield f"- Languages: {counted(dataset.languages)}"
    yield f"- Personal data replaced, by type: {counted(dataset.personal)}"
    yield f"- Duplicates left out: {dataset.duplicates:,}"
    yield f"- Quarantined rows: {dataset.quarantined:,}"
    for role, parent in dataset.made_from:
        yield f"- Made from ({role}): {short(parent)}"


def training(dossier: Dossier) -> Iterator[str]:
    """The recipe as it was resolved, the figures of the run and its machine."""
    recipe, run = dossier.recipe, dossier.run
    if recipe is None or run is None:
        yield "No run is recorded."
        return
    yield f"Run {run.id} of recipe {short(recipe.id)}" + (f", by {run.code}." if run.code else ".")
    yield ""
    fields = [
        *recipe_fields(recipe),
        *((name.replace("_", " "), figure(f)) for name, f in dossier.model.figures.items()),
    ]
    if run.on_top_of:
        fields.append(("on top of", short(run.on_top_of)))
    fields += [(f"machine: {name}", value) for name, value in run.machine.items()]
    yield from table(("", ""), fields)


def recipe_fields(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every field of the recipe, defaults included, in words."""
    for name, value in recipe.model_dump(mode="json").items():
        if isinstance(value, Mapping):
            yield name, ", ".join(f"{key.replace('_', ' ')} {part}" for key, part in value.items() if part is not None)
        elif value is not None and name != "base":
            yield name.replace("_", " "), str(value)


def evaluation(measured: Measured | None) -> Iterator[str]:
    """A suite's measures beside the base's, each with its 95 % interval."""
    if measured is None:
        yield "No evaluation is recorded."
        return
    report, suite, baseline = measured
    yield f"Suite `{suite.name}` ({short(suite.id)}), {suite.count} questions; report {short(report.id)}."
    if baseline:
        yield f"Compared with {short(baseline.model)} (report {short(baseline.id)}), question by question."
    yield "Shares in percent, in brackets the 95 % interval."
    yield ""
    before = baseline.measures if baseline else {}
    rows = (
        (name, share(m), share(before.get(name)), points(report.differences.get(name)), m.n)
        for name, m in report.measures.items()
    )
    yield from table(("Measure", "This model", "Base", "Difference in points", "n"), rows)
    if report.failed:
        yield ""
        yield f"{report.failed} question{'s' * (report.failed > 1)} got no answer and scored 0."


def verdict(dossier: Dossier) -> Iterator[str]:
    """The gate's outcome, limit by limit."""
    if dossier.verdict is None or dossier.gate is None:
        yield "No verdict is recorded."
        return
    yield f"**{dossier.verdict.outcome}** at gate `{dossier.gate.name}` ({short(dossier.verdict.id)})."
    yield ""
    for limit in dossier.verdict.results:
        yield f"- {limit.outcome}: {one_line(limit.reason)}"


def approvals(dossier: Dossier) -> Iterator[str]:
    """Who proposed, who approved, who deployed, and when."""
    proposal = dossier.status.proposal
    if proposal is None:
        yield "Nobody has proposed it."
        return
    yield f"- Proposed by {one_line(proposal.proposed.by)} at {proposal.proposed.at}"
    if proposal.approved:
        yield f"- Approved by {one_line(proposal.approved.by)} at {proposal.approved.at}"
    else:
        yield "- Not approved"
    for deployment, _, _ in reversed(dossier.uses):
        yield f"- Deployed as `{deployment.alias}` by {one_line(deployment.by)} ({deployment.id})"


def limits(dossier: Dossier) -> Iterator[str]:
    """What the records leave open."""
    main, dataset, outcome = dossier.main, dossier.dataset, dossier.verdict
    if main is None:
        yield "- Nothing was measured: no figure says how good its answers are."
    else:
        yield f"- The figures hold for questions like the {main.suite.count} of `{main.suite.name}`, and no further."
        widest = max(main.report.measures.items(), key=lambda item: item[1].high - item[1].low, default=None)
        if widest:
            yield f"- The least certain figure is {widest[0]}: {share(widest[1])} over {widest[1].n} questions."
    if main is not None and main.baseline is None:
        yield "- It was not compared with its base."
    if not dossier.others:
        yield "- No further suite, such as a collection of attacks, was measured."
    for result in outcome.results if outcome else ():
        if result.outcome != "pass":
            yield f"- Not shown at the gate: {one_line(result.reason)}"
    if dataset and dataset.languages:
        yield f"- It was trained on {', '.join(sorted(dataset.languages))}, and on no other language."
    if dataset:
        yield "- Personal data was found by a program; what it overlooked stands in the rows."
        if dataset.rows not in dossier.kept:
            yield "- The rows that it was trained on are no longer kept, so the run cannot be repeated."


def serving(model: ModelVersion) -> Iterator[str]:
    """Commands for the engine that comes with Luthier, and for vLLM."""
    base = base_name(model)
    yield "Only behind the same chat template and tokenizer as in training (digests below)."
    yield ""
    yield "```sh"
    if "adapter_config.json" not in model.files:
        yield f"python -m luthier.engine --base {'FOLDER' if model.files else base} --name {model.name} --port 8000"
    elif model.rank is None:
        yield "# No engine serves this kind of adapter; with PEFT: PeftModel.from_pretrained(base, FOLDER)"
    else:
        rank = next((rank for rank in VLLM_RANKS if rank >= model.rank), model.rank)
        yield f"python -m luthier.engine --base {base} --adapter {model.name}=FOLDER --port 8000"
        yield f"vllm serve BASE_FOLDER --enable-lora --max-lora-rank {rank} --lora-modules {model.name}=FOLDER"
    yield "```"


def digests(dossier: Dossier) -> Iterator[str]:
    """The sha256 of everything that the model is and came from."""
    model, dataset = dossier.model, dossier.dataset
    fixed = (
        ("model", model.id),
        ("base weights", model.base_digest),
        ("chat template", model.template_digest),
        ("tokenizer", model.tokenizer_digest),
        ("recipe", dossier.recipe.id if dossier.recipe else None),
        ("dataset", dataset.id if dataset else None),
        ("report", dossier.main.report.id if dossier.main else None),
        ("verdict", dossier.verdict.id if dossier.verdict else None),
    )
    stored = [*model.files.items(), *([("rows", dataset.rows)] if dataset else [])]
    rows = [(name, f"`{digest}`", "") for name, digest in fixed if digest]
    rows += [(name, f"`{digest}`", "yes" if digest in dossier.kept else "no") for name, digest in stored]
    yield from table(("What", "Id or sha256", "Kept here"), rows)


def base_name(model: ModelVersion) -> str:
    """The base as others know it: of a folder, its name without the way there."""
    return Path(model.base).name if model.base.startswith(("/", ".", "~")) else model.base


def share(measure: Measure | None) -> str:
    """`84.0 (73.7 to 91.4)`, or a dash."""
    if measure is None:
        return "–"
    return f"{100 * measure.mean:.1f} ({100 * measure.low:.1f} to {100 * measure.high:.1f})"


def points(measure: Measure | None) -> str:
    """`+21.4 (12.0 to 30.9)`, or a dash."""
    return "–" if measure is None else f"{'+' if measure.mean > 0 else ''}{share(measure)}"


def counted(counts: Mapping[str, int]) -> str:
    """`en 1,200, de 300`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{one_line(name)} {count:,}" for name, count in ordered) or "none recorded"


def figure(value: float) -> str:
    """A figure of a run: whole numbers whole, others with four digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in row)} |"


def one_line(text: object) -> str:
    """`text` on one line and without HTML, whoever wrote it."""
    return " ".join(str(text).split()).replace("<", "&lt;")
