"""An export is whole or not there, carries its papers, and a compressed model is recorded as one of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from luthier.errors import BadConfig, NoRoom, UnknownName
from luthier.lm import adapters
from luthier.lm.chat import Chat
from luthier.lm.export.__main__ import main
from luthier.lm.folders import folder_digest
from luthier.records.evaluation import EvalReport
from luthier.records.training import ModelVersion
from luthier.workflows import export_model
from luthier.workflows.export_model import export
from luthier.workflows.session import Session
from tests.tiny import tiny_adapter, tiny_model
from tests.workflows.making import a_dataset, a_row

IDS = torch.tensor([[1, 40, 50, 60, 2]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The export runs in this process: a fresh one takes seconds to load torch."""

    def run_child(session: Session, arguments: list[str]) -> dict[str, float]:
        assert main(arguments) == 0
        found: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    monkeypatch.setattr(export_model, "run_child", run_child)


@pytest.fixture
def model(session: Session, base: Path, tmp_path: Path) -> ModelVersion:
    """A tuned model in the ledger, with validation rows."""
    folder = tiny_adapter(tmp_path / "adapter", base)
    chat = Chat.load(base)
    digests = adapters.Stamp(folder_digest(base), chat.template_digest, chat.tokenizer_digest)
    (folder / adapters.STAMP).write_text(json.dumps(digests._asdict()))
    (folder / "README.md").unlink(missing_ok=True)
    rows = [a_row(f"What does card {n} cost?", f"It costs {n} EUR.", split="validation") for n in range(3)]
    blobs = session.workspace.blobs
    made = ModelVersion(
        name="support",
        base=str(base),
        base_licence="Apache-2.0",
        files={path.name: blobs.put_file(path) for path in sorted(folder.iterdir())},
        dataset=a_dataset(session, "d", rows).id,
        rank=4,
        **digests._asdict(),
    )
    session.workspace.ledger.put(made)
    return made


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return (adapters.read_onto(model, adapter) if adapter else model).eval()(IDS).logits[0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_adapter_as_it_was_trained(session: Session, model: ModelVersion, base: Path, tmp_path: Path) -> None:
    done = export(session, model.id, tmp_path / "out", "adapter")
    assert names(done.folder) == {*model.files, "LICENSE", "NOTICE", "README.md"}
    assert torch.equal(logits(base, done.folder), logits(base, tmp_path / "adapter"))


def test_merged_with_its_papers(session: Session, model: ModelVersion, base: Path, tmp_path: Path) -> None:
    done = export(session, model.id, tmp_path / "deep" / "out", "merged")
    there = names(done.folder)
    assert {"model.safetensors", "config.json", "tokenizer.json", "LICENSE", "NOTICE", "README.md"} <= there
    apart = logits(base, tmp_path / "adapter")
    assert (logits(done.folder) - apart).abs().max() < 1e-4 * apart.abs().max()
    assert adapters.read_stamp(done.folder) == adapters.Stamp(
        model.base_digest, model.template_digest, model.tokenizer_digest
    )
    assert done.change["texts"] == 3, "the validation rows were not read"
    assert "Apache License" in (done.folder / "LICENSE").read_text()
    assert model.id in (done.folder / "NOTICE").read_text()
    _, head, text = (done.folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head) | {"tags": []} == {
        "license": "apache-2.0",
        "base_model": base.name,
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": [],
    }
    assert "stays the same" not in text
    assert "100.00 % of the places" in text
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"], "something is left beside it"


@pytest.mark.usefixtures("here")
def test_a_compressed_model_is_another_model(session: Session, model: ModelVersion, tmp_path: Path) -> None:
    done = export(session, model.id, tmp_path / "out", "int4")
    (file,) = done.folder.glob("*.gguf")
    assert file.name == "support-int4.gguf"
    ledger = session.workspace.ledger
    assert done.compressed is not None
    kept = ledger.get(done.compressed.id, ModelVersion)
    assert ("made_from", model.id) in [(parent.role, parent.id) for parent in kept.parents()]
    assert [link.child for link in ledger.descendants(model.id)] == [kept.id]
    assert session.workspace.blobs.get(kept.files[file.name]) == file.read_bytes()
    assert kept.figures == done.change
    assert done.change["same"] < 1
    assert done.change["texts"] == 3
    assert done.report is None
    (why,) = done.said
    assert "suite was not run" in why, "the tiny project has no index to answer from"
    assert why in (done.folder / "README.md").read_text()
    with pytest.raises(BadConfig, match="compressed model already"):
        export(session, kept.id, tmp_path / "again", "merged")


def test_by_alias(session: Session, model: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Live:
        model: str

    Live.model = model.id
    monkeypatch.setattr(export_model.registry, "live", lambda ledger, name: Live if name == "desk" else None)
    assert export(session, "desk", tmp_path / "out", "adapter").model == model
    with pytest.raises(UnknownName):
        export(session, "nobody", tmp_path / "other", "adapter")


def test_what_is_there_already_is_not_overwritten(session: Session, model: ModelVersion, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(BadConfig, match="there already"):
        export(session, model.id, tmp_path / "out", "adapter")
    assert names(tmp_path / "out") == {"mine.txt"}


def test_a_base_that_changed_is_refused(session: Session, model: ModelVersion, tmp_path: Path) -> None:
    other = model.model_copy(update={"base_digest": "0" * 64})
    session.workspace.ledger.put(other)
    with pytest.raises(BadConfig, match="not the base"):
        export(session, other.id, tmp_path / "out", "merged")


def test_nothing_is_left_of_what_failed(
    session: Session, model: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NoRoom("the disk is full", "make room")

    stale = tmp_path / ".out.4194303"  # of a process that was killed: no process has a number as high
    stale.mkdir()
    monkeypatch.setattr(export_model, "settle", full)
    with pytest.raises(NoRoom):
        export(session, model.id, tmp_path / "out", "adapter")
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.usefixtures("here")
def test_an_untouched_base_and_a_whole_model(session: Session, base: Path, tmp_path: Path) -> None:
    chat = Chat.load(base)
    digests = (folder_digest(base), chat.template_digest, chat.tokenizer_digest)
    stamp = adapters.Stamp(*digests)._asdict()
    blobs, ledger = session.workspace.blobs, session.workspace.ledger
    untouched = ModelVersion(name="tiny", base=str(base), files={}, **stamp)
    files = {path.name: blobs.put_file(path) for path in sorted(tiny_model(tmp_path / "whole", seed=4).iterdir())}
    tuned = ModelVersion(name="whole", base=str(base), files=files, **stamp)
    for each in (untouched, tuned):
        ledger.put(each)
        with pytest.raises(BadConfig, match="no adapter"):
            export(session, each.id, tmp_path / "no", "adapter")
    assert torch.equal(logits(export(session, untouched.id, tmp_path / "a", "merged").folder), logits(base))
    again = export(session, tuned.id, tmp_path / "b", "merged").folder
    assert torch.equal(logits(again), logits(tmp_path / "whole"))


@pytest.mark.models
@pytest.mark.usefixtures("here")
def test_a_compressed_model_answers_the_suite(
    session: Session, model: ModelVersion, base: Path, tmp_path: Path
) -> None:
    """Through engine and gateway, beside the model that it was made from, which is measured once."""
    from luthier.lm.pull import local
    from luthier.workflows import knowledge, servers

    question = {"id": "q", "question": "What does a second card cost?", "facts": ["9 EUR"]}
    (session.root / "questions.jsonl").write_text(json.dumps(question) + "\n")
    local(session.project.knowledge.embedder)
    own = Session(session.project.model_copy(update={"base": str(base)}), session.root, session.workspace)
    with servers.engine(own) as engine:
        knowledge.build(own, engine.url)
    done = export(own, model.id, tmp_path / "out", "int8")
    assert done.said == ()
    assert done.report is not None
    assert done.compressed is not None
    assert done.report.model == done.compressed.id
    assert done.report.differences
    before = session.workspace.ledger.get(str(done.report.baseline), EvalReport)
    assert before.model == model.id
    assert "Evaluation of this form" in (done.folder / "README.md").read_text()
    again = export(own, model.id, tmp_path / "again", "int4")
    assert again.report is not None
    assert again.report.baseline == before.id, "the original was measured a second time"
