"""What is exported computes what was trained: merged, read back by others, and refused where that cannot be."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from luthier.errors import BadConfig, NoRoom
from luthier.lm import adapters, bottleneck, levels
from luthier.lm.chat import Chat
from luthier.lm.export.__main__ import main
from luthier.lm.export.compared import change, said, texts
from luthier.lm.export.merged import merge, require_mergeable
from luthier.lm.folders import folder_digest
from luthier.lm.load import load_model
from luthier.records.training import BottleneckSpec, LoraSpec
from tests.tiny import LINEAR, tiny_adapter, tiny_model

IDS = torch.tensor([[1, 40, 50, 60, 70, 80, 2]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        model = adapters.read_onto(model, adapter)
    with torch.no_grad():
        return model.eval()(IDS).logits[0]


def random_adapter(base: Path, folder: Path, config: object) -> Path:
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base), config)
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, mean=1.0 if "ia3" in name else 0.0, std=0.1)
    model.save_pretrained(folder)
    return folder


def stacked(base: Path, folder: Path) -> Path:
    """A LoRA on top of a LoRA, as a run on top of another leaves it: both as one."""
    below = tiny_adapter(folder / "below", base, seed=5)
    spec = LoraSpec(rank=2)
    model = adapters.put_on(load_model(base, "float32"), spec, 0, lower=levels.read(below))
    trained = {name: torch.randn_like(p) * 0.1 for name, p in model.named_parameters() if p.requires_grad}
    chat = Chat.load(base)
    stamp = adapters.Stamp(folder_digest(base), chat.template_digest, chat.tokenizer_digest)
    adapters.write(model, trained, folder / "both", stamp)
    return folder / "both"


def made(kind: str, base: Path, folder: Path) -> Path:
    if kind == "lora":
        return tiny_adapter(folder / "a", base, rslora=True)
    if kind == "stacked":
        return stacked(base, folder)
    lora = {"r": 4, "target_modules": list(LINEAR), "task_type": "CAUSAL_LM"}
    few = ["k_proj", "v_proj", "down_proj"]
    config = {
        "dora": LoraConfig(use_dora=True, **lora),
        "ia3": IA3Config(target_modules=few, feedforward_modules=["down_proj"], task_type="CAUSAL_LM"),
    }[kind]
    return random_adapter(base, folder / "a", config)


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3", "stacked"])
def test_merged_says_what_base_and_adapter_say(base: Path, tmp_path: Path, kind: str) -> None:
    adapter = made(kind, base, tmp_path)
    found = merge(base, adapter, tmp_path / "whole", "auto", texts(Chat.load(base)))
    apart, together = logits(base, adapter), logits(tmp_path / "whole")
    assert (apart - logits(base)).abs().max() > 0.1, "the adapter changes nothing: the test says nothing"
    assert (apart - together).abs().max() < 1e-4 * apart.abs().max()
    assert found.logits < 1e-4
    assert found.same == 1.0


def test_the_folder_is_whole(base: Path, tmp_path: Path) -> None:
    merge(base, tiny_adapter(tmp_path / "a", base), tmp_path / "whole", "bfloat16", texts(Chat.load(base)))
    ours, theirs = Chat.load(tmp_path / "whole"), Chat.load(base)
    assert (ours.template_digest, ours.tokenizer_digest) == (theirs.template_digest, theirs.tokenizer_digest)
    assert ours.stop_ids == theirs.stop_ids
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "whole").dtype == torch.bfloat16


def test_a_merged_model_that_says_something_else_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "merged", lambda model: model.unload())
    adapter = tiny_adapter(tmp_path / "a", base)
    with pytest.raises(Exception, match="base and adapter merged gives logits that differ"):
        merge(base, adapter, tmp_path / "whole", "auto", texts(Chat.load(base)))
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("kind", ["prefix", "prompt", "bottleneck", "reward", "other base"])
def test_what_cannot_be_merged_is_refused_with_the_mend(base: Path, tmp_path: Path, kind: str) -> None:
    if kind == "bottleneck":
        model = bottleneck.put_on(load_model(base, "float32"), BottleneckSpec(kind="bottleneck", width=4), 0)
        tensors = {name: p for name, p in model.named_parameters() if p.requires_grad}
        adapters.write(model, tensors, tmp_path / "a", adapters.Stamp("", "", ""))
    elif kind == "other base":
        tiny_adapter(tmp_path / "a", base)
        (tmp_path / "a" / adapters.STAMP).write_text(json.dumps(adapters.Stamp("0" * 64, "", "")._asdict()))
    else:
        config = {
            "prefix": PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
            "prompt": PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
            "reward": LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        }[kind]
        random_adapter(base, tmp_path / "a", config)
        if kind == "reward":
            path = tmp_path / "a" / adapters.CONFIG
            path.write_text(json.dumps(json.loads(path.read_text()) | {"task_type": "SEQ_CLS"}))
    with pytest.raises(BadConfig) as caught:
        require_mergeable(tmp_path / "a", base)
    wanted = {"prefix": "keys and values", "prompt": "embeddings", "bottleneck": "layers of their own"}
    assert wanted.get(kind, {"reward": "reward model", "other base": "another base"}.get(kind, "")) in caught.value.what
    assert caught.value.mend


def test_a_change_is_measured(base: Path, tmp_path: Path) -> None:
    items = texts(Chat.load(base))
    before, after = (said(load_model(folder, "float32"), items) for folder in (base, tiny_model(tmp_path, seed=9)))
    none, other = change(before, before), change(before, after)
    assert (none.logprob_change, none.same, none.logits) == (0.0, 1.0, 0.0)
    assert other.same < 0.5
    assert other.logits > 0.1
    model, item = load_model(base, "float32"), items[0]
    with torch.no_grad():
        said_T = model(torch.tensor([item.ids])).logits[0].log_softmax(-1)
    learnt = [float(said_T[at - 1, item.ids[at]]) for at in range(1, len(item.ids)) if item.learnt[at]]
    assert before[0].logprob == pytest.approx(sum(learnt) / len(learnt), abs=1e-5)


def child(*arguments: object, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def small() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "luthier.lm.export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=small)


def test_a_full_disk_is_said(base: Path, tmp_path: Path) -> None:
    done = child("--base", base, "--to", tmp_path / "out", "--as", "merged", limit=50_000)
    assert done.returncode == NoRoom.exit_code, done.stderr[-2000:]
    assert json.loads(done.stderr.splitlines()[-1])["type"] == "NoRoom"


def test_int4_changes_more_than_int8(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    adapter = tiny_adapter(tmp_path / "a", base)
    for form in ("gguf", "int8", "int4"):
        to = tmp_path / form
        arguments = ["--base", str(base), "--adapter", str(adapter), "--to", str(to), "--as", form]
        assert main(arguments) == 0
        found[form] = json.loads(capsys.readouterr().out.splitlines()[-1])["logits"]
        assert AutoTokenizer.from_pretrained(to / "unpacked").chat_template
    assert found["gguf"] < 1e-5
    assert 1e-4 < found["int8"] < found["int4"] < 1
