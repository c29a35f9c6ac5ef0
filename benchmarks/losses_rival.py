"""Losses and gradients of TRL's own trainers on given batches: run by `benchmarks.losses` with a Python that has TRL.

Takes the task's folder: `task.json`, the models `before` and `now`. Leaves `METHOD.safetensors` with the gradient of
every weight, and prints {method: loss}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_DISABLE_TELEMETRY": "1"}
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"


def main() -> None:
    from safetensors.torch import save_file

    folder = Path(sys.argv[1])
    task: dict[str, Any] = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    losses: dict[str, float] = {}
    for name, compute in {"dpo": dpo, "ipo": dpo, "kto": kto, "orpo": orpo, "simpo": simpo, "reward": reward}.items():
        options: dict[str, Any] = task["options"][name]
        common = {
            "output_dir": str(folder / "out"), "report_to": "none", "use_cpu": True, "bf16": False, "max_length": None,
            "gradient_checkpointing": False, "per_device_train_batch_size": len(task["rows"]), "disable_tqdm": True,
        }  # fmt: skip
        model, loss = compute(folder, task["ratings"] if name == "kto" else task["rows"], options, common)
        loss.backward()
        losses[name] = float(loss.detach())
        gradients = {key: w.grad.contiguous() for key, w in model.named_parameters() if w.grad is not None}
        save_file(gradients, folder / f"{name}.safetensors")
    sys.stdout.write(json.dumps(losses) + "\n")


def made(trainer: Any, config: Any, folder: Path, columns: dict[str, Any], *, reference: bool = False) -> Any:
    """A trainer around the model, with a data set that is only there because it has to be."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    models = [AutoModelForCausalLM.from_pretrained(folder / name, dtype="float32").eval() for name in ("now", "before")]
    given = {"ref_model": models[1]} if reference else {}
    tokenizer = AutoTokenizer.from_pretrained(folder / "now")
    dataset = Dataset.from_dict({name: [value, value] for name, value in columns.items()})
    return trainer(models[0], args=config, train_dataset=dataset, processing_class=tokenizer, **given)


PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


def dpo(folder: Path, rows: list[dict[str, Any]], options: dict[str, Any], common: dict[str, Any]) -> tuple[Any, Any]:
    from trl import DPOConfig, DPOTrainer

    trainer = made(DPOTrainer, DPOConfig(**options, **common), folder, PAIR, reference=True)
    return still(trainer, trainer.data_collator(rows))


def kto(folder: Path, rows: list[dict[str, Any]], options: dict[str, Any], common: dict[str, Any]) -> tuple[Any, Any]:
    from trl import KTOConfig, KTOTrainer

    columns = {"prompt": "a", "completion": "b", "label": True}
    trainer = made(KTOTrainer, KTOConfig(**options, **common), folder, columns, reference=True)
    answers = [row["completion_ids"] for row in rows]
    paired = [row | {"KL_completion_ids": answers[number - 1]} for number, row in enumerate(rows)]
    return still(trainer, trainer.data_collator(paired))


def reward(
    folder: Path, rows: list[dict[str, Any]], options: dict[str, Any], common: dict[str, Any]
) -> tuple[Any, Any]:
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(folder / "scored", num_labels=1, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "now")
    # transformers scores the last token that is not the padding: where that is the end of a turn, the one before it.
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    trainer = RewardTrainer(
        model,
        args=RewardConfig(**options, **common),
        train_dataset=Dataset.from_dict({"chosen": ["a", "a"], "rejected": ["b", "b"]}),
        processing_class=tokenizer,
    )
    sides = ({side: row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids")} for row in rows)
    return still(trainer, trainer.data_collator(list(sides)))


def still(trainer: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
    """Model and loss of one batch; the models here have no dropout, so that the mode makes no difference."""
    return trainer.model, trainer.compute_loss(trainer.model, dict(batch))


def orpo(folder: Path, rows: list[dict[str, Any]], options: dict[str, Any], common: dict[str, Any]) -> tuple[Any, Any]:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer = made(ORPOTrainer, ORPOConfig(**options, **common), folder, PAIR)
    # One row at a time: TRL averages the supervised part over the tokens of whatever it sees at once.
    losses = [trainer.get_batch_loss_metrics(trainer.model, side_by_side([row]))[0] for row in rows]
    return trainer.model, sum(losses) / len(losses)


def simpo(folder: Path, rows: list[dict[str, Any]], options: dict[str, Any], common: dict[str, Any]) -> tuple[Any, Any]:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    trainer = made(CPOTrainer, CPOConfig(loss_type="simpo", cpo_alpha=0.0, **options, **common), folder, PAIR)
    return trainer.model, trainer.get_batch_loss_metrics(trainer.model, side_by_side(rows))[0]


def side_by_side(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The batch as TRL's collator of pairs that are tokenised makes it."""
    from trl.experimental.utils import DPODataCollatorWithPadding

    features = []
    for row in rows:
        feature: dict[str, list[int]] = {"prompt_input_ids": row["prompt_ids"]}
        for side in ("chosen", "rejected"):
            ids = row["prompt_ids"] + row[f"{side}_ids"]
            feature[f"{side}_input_ids"], feature[f"{side}_attention_mask"] = ids, [1] * len(ids)
            feature[f"{side}_labels"] = [-100] * len(row["prompt_ids"]) + row[f"{side}_ids"]
        features.append(feature)
    batch: dict[str, Any] = DPODataCollatorWithPadding(pad_token_id=0, is_encoder_decoder=False)(features)
    return batch


if __name__ == "__main__":
    main()
