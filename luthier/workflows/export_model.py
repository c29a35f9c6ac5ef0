"""A model version → a folder that others can load: adapter, merged, GGUF; in 8 or 4 bits it is measured again.

The folder is made aside and renamed when it is whole. Files written in fewer bits are another model: that one is
recorded, its parent the one that it was made from, and answers the project's suite beside it, or, where nothing can be
served yet, is compared on the validation rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadConfig, LuthierError
from luthier.lm.folders import folder_digest
from luthier.lm.pull import local
from luthier.records.base import short
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport
from luthier.records.training import ModelVersion, Run
from luthier.release import registry
from luthier.store import keys
from luthier.store.erasure import require_whole
from luthier.store.files import sync, writable
from luthier.workflows import child, evaluation, export_papers, servers
from luthier.workflows.export_papers import SMALL, Exported, Form
from luthier.workflows.release import newest_index
from luthier.workflows.session import Session

ROWS = 48


def export(session: Session, name: str, to: Path, form: Form, dtype: str = "auto") -> Exported:
    """Write the model version `name` (an id or a live alias) into the folder `to`.

    Raises BadConfig for a form that this kind of model has not, or where `to` is there already; RunFailed where what
    was written computes something else; NoRoom.
    """
    model = named(session, name)
    to = to.absolute()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BadConfig(f"{to} is there already", "give another --to, or remove it")
    with aside(to) as work:
        if form == "adapter":
            exported, base = copied(session, model, work / "out"), None
        else:
            source = source_of(session, model)
            exported, base = converted(session, model, source, work, (form, dtype)), source.base
        export_papers.write(session, exported, work / "out", base)
        settle(work / "out", to)
    return exported._replace(folder=to)


def named(session: Session, name: str) -> ModelVersion:
    """The model version of that id, or the one that answers under that alias."""
    ledger = session.workspace.ledger
    live = registry.live(ledger, name)
    model = ledger.get(live.model if live else name, ModelVersion)
    if any(file.endswith(".gguf") for file in model.files):
        raise BadConfig(f"{short(model.id)} is a compressed model already", "export the one that it was made from")
    return model


@contextlib.contextmanager
def aside(to: Path) -> Iterator[Path]:
    """A hidden folder beside `to` that is gone afterwards; what dead processes left there goes too."""
    with writable(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        for stale in to.parent.glob(f".{to.name}.*"):
            if stale.suffix[1:].isdigit() and not alive(int(stale.suffix[1:])):
                shutil.rmtree(stale, ignore_errors=True)
        work = to.parent / f".{to.name}.{os.getpid()}"
        work.mkdir(exist_ok=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def alive(process: int) -> bool:
    """Whether a process of that number runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def settle(out: Path, to: Path) -> None:
    """Everything in `out` onto the disk, then into its place in one rename."""
    with writable(to):
        for path in sorted(out.rglob("*")):
            sync(path)
        sync(out)
        os.rename(out, to)
        sync(to.parent)


def copied(session: Session, model: ModelVersion, out: Path) -> Exported:
    """The adapter as it was trained: PEFT's folder."""
    if "adapter_config.json" not in model.files:
        raise BadConfig(f"{short(model.id)} is a whole model and no adapter", "export it with --as merged")
    for file, digest in model.files.items():
        session.workspace.blobs.fetch(digest, out / file)
    return Exported(model, "adapter", out, {})


class Source(NamedTuple):
    """Where the weights of a model lie."""

    base: Path
    adapter: Path | None


def source_of(session: Session, model: ModelVersion) -> Source:
    """The base's folder and the adapter's; of a whole model its own folder. Raises BadConfig for a changed base."""
    folder = servers.adapter_folder(session, model) if model.files else None
    if folder is not None and "adapter_config.json" not in model.files:
        return Source(folder, None)
    base = ground(session, model) or local(model.base)
    if base == local(model.base) and folder_digest(base) != model.base_digest:
        raise BadConfig(
            f"{model.base} is not the base that {short(model.id)} was made from any more",
            f"fetch the one with the digest {model.base_digest}",
        )
    return Source(base, folder)


def ground(session: Session, model: ModelVersion) -> Path | None:
    """The folder of the whole model that an adapter was trained on top of, where it was."""
    ledger = session.workspace.ledger
    run = ledger.get(model.run, Run) if model.run else None
    if run is None or run.on_top_of is None:
        return None
    below = ledger.get(run.on_top_of, ModelVersion)
    return None if "adapter_config.json" in below.files else servers.adapter_folder(session, below)


def converted(session: Session, model: ModelVersion, source: Source, work: Path, asked: tuple[Form, str]) -> Exported:
    """Merged, and written in the form and precision asked for, in a process of its own."""
    (form, dtype), out = asked, work / "out"
    rows = held_out(session, model, work / "rows.jsonl")
    more = (("luthier.model", model.id), ("luthier.template", model.template_digest))
    about = {"name": model.name, "base": Path(model.base).name, "licence": model.base_licence.lower(), "more": more}
    arguments = ["--base", str(source.base), "--to", str(work / "made"), "--as", form, "--dtype", dtype]
    arguments += ["--about", json.dumps(about), *(("--adapter", str(source.adapter)) if source.adapter else ())]
    arguments += ["--rows", str(rows)] if rows else []
    session.progress(f"export {form}", 0, 1)
    found = run_child(session, arguments)
    session.progress(f"export {form}", 1, 1)
    if form == "merged":
        (work / "made" / "whole").rename(out)
        stamp = {name: getattr(model, name) for name in ("base_digest", "template_digest", "tokenizer_digest")}
        (out / "luthier.json").write_text(json.dumps(stamp, indent=2), encoding="utf-8")
        return Exported(model, form, out, found)
    if form == "onnx":
        (work / "made" / "onnx").rename(out)
        return Exported(model, form, out, found)
    out.mkdir()
    file = out / f"{model.name.replace('/', '-')}-{form if form in SMALL else 'full'}.gguf"
    (work / "made" / "model.gguf").rename(file)
    exported = Exported(model, form, out, found)
    return measured(session, exported, file, work / "made") if form in SMALL else exported


def run_child(session: Session, arguments: list[str]) -> dict[str, float]:
    """`python -m luthier.lm.export`; what it found."""
    log = session.workspace.folder / "logs" / "export.log"
    with child.running("luthier.lm.export", arguments, log) as process:
        process.wait()
        child.require_success(process, log, "the export")
    found: dict[str, float] = json.loads(child.last_line(log))
    return found


def held_out(session: Session, model: ModelVersion, file: Path) -> Path | None:
    """The validation rows that the model was not trained on, as lines of `file`; None where none are kept."""
    workspace = session.workspace
    if model.dataset is None:
        return None
    dataset = workspace.ledger.get(model.dataset, DatasetVersion)
    try:
        require_whole(workspace.ledger, dataset)
    except BadConfig:  # somebody in it asked to be forgotten
        return None
    lines = [json.dumps(line) for line in workspace.blobs.lines(dataset.rows) if line["split"] == "validation"]
    if not lines:
        return None
    with writable(file):
        file.write_text("".join(f"{line}\n" for line in lines[:ROWS]), encoding="utf-8")
    return file


def measured(session: Session, exported: Exported, file: Path, made: Path) -> Exported:
    """The compressed model recorded, and the suite on it beside the one that it was made from."""
    workspace, original = session.workspace, exported.model
    compressed = ModelVersion(
        name=f"{original.name}-{exported.form}",
        files={file.name: workspace.blobs.put_file(file)},
        figures=exported.change,
        made_from=original.id,
        **original.model_dump(
            include={"base", "base_digest", "template_digest", "tokenizer_digest", "base_licence", "run", "dataset"}
        ),
    )
    workspace.ledger.put(compressed, session.by)
    exported = exported._replace(compressed=compressed)
    try:
        return exported._replace(report=on_the_suite(session, exported, made))
    except LuthierError as error:
        why = f"the suite was not run on it: {error}"
        return exported._replace(said=(*exported.said, why))


def on_the_suite(session: Session, exported: Exported, made: Path) -> EvalReport:
    """The project's suite on the weights as the file holds them, and on the original where that was not done yet."""
    ledger, compressed = session.workspace.ledger, exported.compressed
    assert compressed is not None, "only a compressed model is measured again"
    newest_index(session)  # said before a model is loaded
    asked = evaluation.suite(session)
    key = keys.issue(ledger, "export", ("engineer",), "public", session.by)

    def ask(model: ModelVersion, folder: Path, baseline: EvalReport | None = None) -> EvalReport:
        with serving(session, folder, model.id) as url, servers.gateway(session, url) as gateway:
            return evaluation.measure(session, asked, model, gateway.url, key, baseline)

    try:
        before = evaluation.measured_before(session, asked, exported.model) or ask(exported.model, made / "whole")
        return ask(compressed, made / "unpacked", before)
    finally:
        keys.revoke(ledger, "export", session.by)


@contextlib.contextmanager
def serving(session: Session, folder: Path, name: str) -> Iterator[str]:
    """The engine with the whole model in `folder`, called `name`; its URL."""
    port = servers.free_port()
    embedder = session.project.knowledge.embedder
    local(embedder)
    words: list[Any] = ["--base", folder, "--name", name, "--embedder", embedder, "--host", "127.0.0.1", "--port", port]
    log = session.workspace.folder / "logs" / "engine.log"
    with servers.serving("luthier.engine", [str(word) for word in words], port, log) as server:
        yield server.url
