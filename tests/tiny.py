"""A random Llama of two layers with its own tokenizer, made in under a second: what tests run instead of a real model.

The same bytes every time. Its words mean nothing, but every part of a real model folder is there: config,
safetensors, a ByteLevel BPE tokenizer, a ChatML template and a generation config.
"""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = (
    "How do I block my card? Call the hotline at once, day or night, and we will block it.",
    "A replacement card costs 8 EUR and arrives within five working days at your address.",
    "The overdraft interest is 9.5 percent a year. Savings accounts pay 1.25 percent.",
    "Wie sperre ich meine Karte? Rufen Sie sofort die Hotline an, Tag und Nacht.",
    "system user assistant question answer document passage [1] [2] [3]",
)
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def tiny_tokenizer(vocabulary: int = 384) -> PreTrainedTokenizerFast:
    """A ByteLevel BPE trained on `SENTENCES`: every byte can be said, so any text survives the round trip."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        model_max_length=512,
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def tiny_model(folder: Path, *, seed: int = 0, window: int = 512, width: int = 64) -> Path:
    """Write the model into `folder` (created), weights drawn from `seed`. Returns the folder."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for weight in model.parameters():  # larger than trained models start out: an untrained argmax hardly moves
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=0.15)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_adapter(
    folder: Path,
    base: Path,
    *,
    seed: int = 1,
    rank: int = 4,
    alpha: int = 8,
    rslora: bool = False,
    targets: tuple[str, ...] = LINEAR,
) -> Path:
    """Write a PEFT LoRA of `base` into `folder`, both factors random so that it changes what the model says."""
    model = LlamaForCausalLM.from_pretrained(base)
    spec = LoraConfig(r=rank, lora_alpha=alpha, use_rslora=rslora, target_modules=list(targets), task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuned = get_peft_model(model, spec)
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(folder)
    return folder
