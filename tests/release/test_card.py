"""The model card, written from a real ledger and read back as the Hugging Face hub reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from luthier.errors import UnknownName
from luthier.records.base import short
from luthier.records.evaluation import Measure
from luthier.release import registry
from luthier.release.card import model_card
from luthier.store.workspace import Workspace
from tests.release.making import ADA, BOB, World, a_model, a_report, a_verdict, a_world

SECTIONS = [
    "Intended use",
    "Training data",
    "Training",
    "Evaluation",
    "Further measurement: red-team",
    "Verdict",
    "Approvals",
    "Limits",
    "How to serve",
    "Digests",
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        yield a_world(workspace)


def card_of(world: World, model_id: str) -> str:
    return model_card(world.workspace.ledger, world.workspace.blobs, model_id)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Workspace.open(tmp_path_factory.mktemp("card") / "w", create=True) as workspace:
        yield released(a_world(workspace))


def released(world: World) -> str:
    ledger, model = world.workspace.ledger, world.model
    a_report(world.workspace, model, "red-team", refuses=Measure(mean=0.969, low=0.838, high=0.999, n=32))
    registry.propose(ledger, model.id, world.verdict.id, ADA)
    registry.approve(ledger, model.id, BOB)
    registry.deploy(ledger, model.id, "desk", world.policy.id, world.knowledge.id, ADA)
    return card_of(world, short(model.id))


def test_the_sections_stand_in_their_order(card: str) -> None:
    assert [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")] == SECTIONS


@pytest.mark.parametrize(
    "line",
    [
        "A rank-16 adapter for `smollm2-135m-instruct`",
        "State: live as `desk`.",
        "from 2 documents of `documents` (1 public, 1 for staff only), in en, de. Citations are required.",
        "| advice | input | refuse | No advice. |",
        "| tickets-2025 | 900 | proprietary | contract | `111111111111` |",
        "| faq\\|edited | 300 | CC-BY-4.0 | public | `222222222222` |",
        "- Splits: train 1,140, validation 60",
        "- Languages: en 1,000, de 200",
        "- Personal data replaced, by type: PERSON 512, IBAN 40",
        "- Duplicates left out: 17",
        "- Quarantined rows: 3",
        "| learning rate | 0.0002 |",
        "| lora | variant plain, rank 16, rank stabilised True, dropout 0.0, targets all-linear, rate ratio 1.0 |",
        "| loss | 0.4321 |",
        "| steps | 142 |",
        "| machine: torch | 2.13.0 |",
        "| facts | 84.0 (73.7 to 91.4) | 62.6 (50.0 to 73.0) | +21.4 (12.0 to 30.9) | 75 |",
        "| cited | 50.0 (38.0 to 62.0) | – | – | 75 |",
        "1 question got no answer and scored 0.",
        "| refuses | 96.9 (83.8 to 99.9) | – | – | 32 |",
        "**pass** at gate `better-than-base`",
        "- pass: facts: +21.4 points over the base (95 % 12.0 to 30.9, n = 75): better than 0, as asked",
        "- Proposed by ada at 20",
        "- Approved by bob at 20",
        "- Deployed as `desk` by ada",
        "- The least certain figure is cited: 50.0 (38.0 to 62.0) over 75 questions.",
        "python -m luthier.engine --base smollm2-135m-instruct --adapter support-1=FOLDER --port 8000",
        "--max-lora-rank 16 --lora-modules support-1=FOLDER",
        f"| chat template | `{'c' * 64}` |  |",
        f"| adapter_config.json | `{'9' * 64}` | no |",
    ],
)
def test_it_says_what_the_records_say(card: str, line: str) -> None:
    assert line in card


def test_the_head_is_what_the_hub_reads(card: str) -> None:
    head = yaml.safe_load(card.split("---\n")[1])
    results = head.pop("model-index")
    assert head == {
        "license": "apache-2.0",
        "base_model": "smollm2-135m-instruct",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "language": ["de", "en"],
        "tags": ["luthier", "lora", "sft"],
        "datasets": ["tickets-2025", "faq|edited"],
    }
    assert results[0]["name"] == "support-1"
    assert [result["dataset"]["name"] for result in results[0]["results"]] == ["support", "red-team"]


def test_the_hubs_own_reader_understands_it(card: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    read = hub.ModelCard(card, ignore_metadata_errors=False).data
    found = {(result.dataset_name, result.metric_type): result.metric_value for result in read.eval_results}
    assert found == {("support", "facts"): 0.84, ("support", "cited"): 0.5, ("red-team", "refuses"): 0.969}
    assert read.license == "apache-2.0"


def test_nothing_is_made_up_about_a_model_without_a_past(world: World) -> None:
    text = card_of(world, a_model(world.workspace, "bare", files={"model.safetensors": "e" * 64}).id)
    for sentence in (
        "It has not been deployed, so no use is recorded.",
        "No dataset is recorded.",
        "No run is recorded.",
        "No evaluation is recorded.",
        "No verdict is recorded.",
        "Nobody has proposed it.",
        "Nothing was measured",
        "--base FOLDER",
    ):
        assert sentence in text
    assert yaml.safe_load(text.split("---\n")[1]) == {
        "license": "unknown",
        "base_model": "smollm2-135m-instruct",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["luthier"],
    }


def test_a_doubtful_limit_and_an_erased_dataset_are_limits(world: World) -> None:
    a_verdict(world.workspace, world.model, "inconclusive")
    world.workspace.blobs.delete(world.dataset.rows)
    text = card_of(world, world.model.id)
    assert "- Not shown at the gate: facts: +21.4 points" in text
    assert "no longer kept" in text
    assert "- It was not compared with its base." in text


def test_a_folder_as_base_does_not_tell_where_it_lies(world: World) -> None:
    model = world.model.model_copy(update={"base": "/home/ada/models/private-7b"})
    world.workspace.ledger.put(model)
    text = card_of(world, model.id)
    assert "/home/ada" not in text
    assert "base_model: private-7b" in text


def test_unknown_models_are_named(world: World) -> None:
    with pytest.raises(UnknownName):
        card_of(world, "model-0000")
