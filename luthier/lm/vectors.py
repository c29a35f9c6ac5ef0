"""Adapters that are a few vectors: learnt factors, (IA)³, and learnt positions in front, prefix and prompt tuning.

All three are PEFT's, in PEFT's format. A learnt prompt makes the sequence longer inside the model; it is cut off again
before the output layer, so that every position outside means what it meant: a loss need not know of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoTokenizer, PreTrainedModel

from luthier.errors import BadConfig
from luthier.records.training import Ia3Spec, PrefixSpec, PromptSpec

SCALED, INNER = ("k_proj", "v_proj", "down_proj"), ("down_proj",)


def put_on(model: PreTrainedModel, spec: Ia3Spec | PrefixSpec | PromptSpec, seed: int, base: Path) -> PeftModel:
    """`model`, frozen, with a fresh adapter. `base` is its folder: the tokenizer there reads a prompt's `text`."""
    torch.manual_seed(seed)
    if isinstance(spec, Ia3Spec):
        return factors(model)
    if isinstance(spec, PrefixSpec):
        return prefix(model, spec)
    return prompt(model, spec, base)


def factors(model: PreTrainedModel) -> PeftModel:
    """(IA)³ (Liu et al. 2022, arXiv:2205.05638): every factor is 1 at first.

    Raises BadConfig where neither we nor PEFT know which layers of this architecture make keys, values and features.
    """
    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    known = {"target_modules": list(SCALED), "feedforward_modules": list(INNER)} if ends >= {*SCALED} else {}
    try:
        config = IA3Config(task_type="CAUSAL_LM", **known)
        return get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise BadConfig(f"{model.config.model_type} takes no (IA)³ ({error})", "use lora") from error


@torch.no_grad()
def prefix(model: PreTrainedModel, spec: PrefixSpec) -> PeftModel:
    """Prefix tuning (Li and Liang 2021, arXiv:2101.00190).

    It begins with the keys and values of real tokens: drawn at random, as PEFT does it, they push the model so far
    off that short trainings never recover.
    """
    ids_1P = some_ids(model, spec.tokens)
    seen = model(input_ids=ids_1P, use_cache=True).past_key_values
    pairs = [each[0].transpose(0, 1) for layer in seen.layers for each in (layer.keys, layer.values)]  # (P, H, D) each
    start = torch.stack([pair.flatten(1) for pair in pairs], dim=1).flatten(1)
    tuned = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=spec.tokens))
    weight = tuned.prompt_encoder["default"].embedding.weight
    if weight.shape != start.shape:
        raise BadConfig(f"the layers of {model.config.model_type} differ in their keys: no prefix fits", "use lora")
    weight.copy_(start)
    return tuned


@torch.no_grad()
def prompt(model: PreTrainedModel, spec: PromptSpec, base: Path) -> PeftModel:
    """Prompt tuning (Lester et al. 2021, arXiv:2104.08691), beginning with `text` or with tokens drawn by the seed."""
    if spec.text:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
        words = list(tokenizer(spec.text, add_special_tokens=False)["input_ids"])
        repeated = (words * (spec.tokens // len(words) + 1))[: spec.tokens]
        ids_1P = torch.tensor([repeated], device=model.device)
    else:
        ids_1P = some_ids(model, spec.tokens)
    start = model.get_input_embeddings()(ids_1P)[0]
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=spec.tokens, prompt_tuning_init="RANDOM")
    tuned = get_peft_model(model, config)
    tuned.prompt_encoder["default"].embedding.weight.copy_(start)

    def cut(decoder: torch.nn.Module, args: Any, given: dict[str, Any], out: Any) -> Any:
        # Only a pass that was given embeddings has the prompt in front of it: answers grow token by token behind it.
        if given.get("inputs_embeds") is not None:
            out.last_hidden_state = out.last_hidden_state[:, spec.tokens :]
        return out

    model.get_decoder().register_forward_hook(cut, with_kwargs=True)
    return tuned


def some_ids(model: PreTrainedModel, count: int) -> torch.Tensor:
    """Token ids to begin with, (1, count), the beginning-of-sequence token first where there is one."""
    settings = model.config.get_text_config()
    ids_1P = torch.randint(0, settings.vocab_size, (1, count))
    first = getattr(settings, "bos_token_id", None)
    if isinstance(first, int):
        ids_1P[0, 0] = first  # much attention rests on the first position, whatever stands there
    return ids_1P.to(model.device)
