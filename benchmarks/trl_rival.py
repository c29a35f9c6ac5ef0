"""One training task with TRL: run by `benchmarks.training` with the Python of an environment that has it.

Prints JSON: seconds of the steps, mean loss of the last tenth of them, peak memory in MiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_DISABLE_TELEMETRY": "1"}


def main() -> None:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    fast = "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8") or torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.bfloat16 if fast else torch.float32)
    lora = LoraConfig(r=16, lora_alpha=16, use_rslora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    micro = min(task["micro_rows"], task["batch_rows"])
    common = {
        "per_device_train_batch_size": micro, "gradient_accumulation_steps": task["batch_rows"] // micro,
        "learning_rate": task["learning_rate"], "num_train_epochs": task["epochs"], "lr_scheduler_type": "linear",
        "warmup_steps": 0, "bf16": fast, "gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "max_length": 4096, "output_dir": tempfile.mkdtemp(),
        "use_cpu": not torch.cuda.is_available(), "max_grad_norm": 1.0, "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for line in task["rows"]:
        *prompt, answer = line["messages"]
        if task["method"] == "sft":
            rows.append({"prompt": prompt, "completion": [answer]})
        else:
            rows.append({"prompt": prompt, "chosen": [answer], "rejected": line["rejected"]})
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    made: dict[str, Any] = {"model": model, "train_dataset": Dataset.from_list(rows), "processing_class": tokenizer}
    made |= {"peft_config": lora, "callbacks": [Clock()]}
    if task["method"] == "sft":
        trainer = SFTTrainer(args=SFTConfig(completion_only_loss=True, **common), **made)
    else:
        trainer = DPOTrainer(args=DPOConfig(**task["options"], **common), **made)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    last = losses[-max(1, len(losses) // 10) :]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": marks[-1] - marks[0], "loss": sum(last) / len(last), "peak": peak}))


if __name__ == "__main__":
    main()
