"""Each fault that would only show after hours, planted: it is refused before step 0, with the row and the mend."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from luthier.errors import BadConfig, BadData, NoRoom, RunFailed
from luthier.lm.chat import Chat
from luthier.records.data import Message, Row
from luthier.records.training import LoraSpec
from luthier.training import preflight
from luthier.training.method import Batch, Item, Loss
from luthier.training.sft import SFT
from tests.tiny import CHATML
from tests.training.making import Ready, dialogue, make_recipe, ready, row, some_rows

VOCABULARY = 384


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copied"))


def prepare(folder: Path, rows: Sequence[Row], **fields: object) -> preflight.Prepared:
    return preflight.prepare(rows, SFT, Chat.load(folder), make_recipe(folder, **fields), VOCABULARY)


def with_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_good_rows_pass_with_every_token_accounted_for(base: Path) -> None:
    rows = some_rows()
    prepared = prepare(base, rows)
    ledger = prepared.ledger
    assert [item.row for item in prepared.items] == [each.id for each in rows]
    assert (ledger.rows, ledger.dropped_rows, ledger.dropped_tokens) == (len(rows), 0, 0)
    assert ledger.tokens == sum(len(item.ids) for item in prepared.items)
    assert ledger.learnt == sum(sum(item.learnt) for item in prepared.items)
    assert ledger.longest == max(len(item.ids) for item in prepared.items)


def test_a_turn_that_is_closed_with_no_stop_token(copied: Path) -> None:
    """The model would never learn to end."""
    open_ended = CHATML.replace("message['content'] + '<|im_end|>\n'", "message['content'] + '\n'")
    with pytest.raises(
        BadData, match=r"20 of 20 rows .* row train-000 .*does not end with a token that stops"
    ) as refused:
        prepare(with_template(copied, open_ended), some_rows(validation=0))
    assert "<|im_end|>" in refused.value.mend


def test_a_stop_token_that_the_model_does_not_stop_at(copied: Path) -> None:
    """As Gemma's, where the config names <eos> alone."""
    other = CHATML.replace("<|im_end|>", "<|im_start|>")
    with pytest.raises(BadData, match="does not end with a token that stops generation"):
        prepare(with_template(copied, other), some_rows(4, 0))


@pytest.mark.parametrize(
    "messages",
    [
        dialogue("A?"),
        dialogue("A?", "B.", weights=(0,)),
        dialogue("A?", "B.", "C?", "D.", weights=(0, 0)),
        dialogue(system="You are a bank."),
    ],
)
def test_nothing_to_learn(base: Path, messages: tuple[Message, ...]) -> None:
    rows = [*some_rows(3, 0), row(77, messages)]
    with pytest.raises(BadData, match=r"1 of 4 rows .* row train-077 .made:78.: it has no assistant turn to learn"):
        prepare(base, rows)


def test_no_rows(base: Path) -> None:
    with pytest.raises(BadData, match="no row to train on"):
        prepare(base, [])


def test_too_long_is_refused_with_count_and_place(base: Path) -> None:
    rows = [*some_rows(3, 0), row(4, dialogue("A?", "B. " * 200)), row(5, dialogue("A?", "C. " * 300))]
    with pytest.raises(
        BadData, match="2 of 5 rows are longer than max_length 300; the first is row train-004 with "
    ) as e:
        prepare(base, rows, max_length=300)
    assert e.value.mend == "raise max_length, or say too_long: drop"


def test_too_long_is_dropped_and_booked(base: Path) -> None:
    rows = [*some_rows(3, 0), row(4, dialogue("A?", "B. " * 200))]
    kept, whole = (prepare(base, rows, max_length=most, too_long="drop") for most in (300, 1000))
    assert [item.row for item in kept.items] == ["train-000", "train-001", "train-002"]
    assert (kept.ledger.rows, kept.ledger.dropped_rows) == (3, 1)
    assert kept.ledger.tokens + kept.ledger.dropped_tokens == whole.ledger.tokens
    assert kept.ledger.dropped_tokens == whole.ledger.longest
    assert whole.items[:3] == kept.items  # nothing is cut


def test_with_all_rows_too_long_nothing_is_left_to_drop(base: Path) -> None:
    with pytest.raises(BadData, match="3 of 3 rows are longer than max_length 16"):
        prepare(base, some_rows(3, 0), max_length=16, too_long="drop")


def test_a_token_outside_the_vocabulary(copied: Path) -> None:
    tokenizer = Chat.load(copied).tokenizer
    tokenizer.add_tokens(["ibanox"])
    tokenizer.save_pretrained(copied)
    rows = [*some_rows(2, 0), row(3, dialogue("Is ibanox an account?", "No."))]
    with pytest.raises(
        BadData, match=f"1 of 3 .* row train-003 .*token {VOCABULARY}, and the model knows {VOCABULARY}"
    ):
        prepare(copied, rows)


def test_two_beginnings_of_sequence(copied: Path) -> None:
    with pytest.raises(BadData, match=r"4 of 4 .*two beginning-of-sequence tokens"):
        prepare(with_template(copied, "{{ bos_token }}" + CHATML), some_rows(4, 0))


def test_a_prompt_that_is_no_prefix(copied: Path) -> None:
    thinking = CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>' }}{% endif")
    with pytest.raises(BadData, match=r"2 of 2 .* row train-000 .*renders turn 2 differently"):
        prepare(with_template(copied, thinking), some_rows(2, 0))


def test_a_role_that_the_template_does_not_know(copied: Path) -> None:
    picky = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
    with pytest.raises(BadData, match=r"10 of 20 .* row train-001 .*no system role"):
        prepare(with_template(copied, picky), some_rows(validation=0))


def test_a_row_on_both_sides() -> None:
    train = some_rows(4, 0)
    preflight.check_overlap(train, some_rows(0, 4)[:0])
    twin = row(9, train[2].messages, "validation")
    with pytest.raises(
        BadData, match="row validation-009 of the validation rows is row train-002 of the training rows"
    ):
        preflight.check_overlap(train, [row(8, dialogue("New?", "Yes."), "validation"), twin])


def test_overlap_with_tool_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "block", "arguments": "{}"}}
    messages = (Message(role="user", content="A?"), Message(role="assistant", tool_calls=(call,)))
    preflight.check_overlap([row(1, messages)], [row(2, dialogue("A?", "B."), "validation")])
    with pytest.raises(BadData):
        preflight.check_overlap([row(1, messages)], [row(2, messages, "validation")])


def test_how_much_is_trained(base: Path) -> None:
    made = ready(make_recipe(base, lora=LoraSpec(rank=2, targets=("q_proj",))))
    assert preflight.check_model(made.model, made.recipe) == 2 * (2 * 64 + 2 * 64)


def test_nothing_trainable(base: Path) -> None:
    made = ready(make_recipe(base, lora=None))
    made.model.requires_grad_(False)
    with pytest.raises(BadConfig, match="nothing would be trained"):
        preflight.check_model(made.model, made.recipe)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PEFT on tied embeddings
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_that_no_engine_serves(base: Path, target: str) -> None:
    made = ready(make_recipe(base, lora=LoraSpec(rank=2, targets=("q_proj", target))))
    with pytest.raises(BadConfig, match=f"no serving engine takes an adapter at .*{target}"):
        preflight.check_model(made.model, made.recipe)


def test_a_disk_too_small_for_the_checkpoints(tmp_path: Path) -> None:
    preflight.check_disk(tmp_path, 1000)
    with pytest.raises(NoRoom, match=r"checkpoints need 36000.0 GB"):
        preflight.check_disk(tmp_path, 10**12)


def probe(made: Ready, loss: Callable[[torch.nn.Module, Batch], Loss] = SFT.loss) -> None:
    preflight.probe(made.model, SFT._replace(loss=loss), made.items, made.recipe, pad=2)


@pytest.mark.parametrize("lora", [LoraSpec(rank=4, dropout=0.1), None], ids=["adapter", "full"])
def test_the_probe_leaves_the_model_as_it_was(base: Path, lora: LoraSpec | None) -> None:
    made = ready(make_recipe(base, lora=lora, learning_rate=1e-3))
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    probe(made)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.model.state_dict().items())
    assert all(weight.grad is None for weight in made.model.parameters())


def test_the_probe_runs_the_heaviest_batch(base: Path) -> None:
    made = ready(make_recipe(base, batch_rows=8, micro_tokens=1000))
    shapes = []

    def loss(model: torch.nn.Module, batch: Batch) -> Loss:
        shapes.append(tuple(batch.ids_BT.shape))
        return SFT.loss(model, batch)

    probe(made, loss)
    longest = max(len(item.ids) for item in made.items)
    assert longest in (length for _, length in shapes)
    assert max(rows * length for rows, length in shapes) > 3 * longest


def test_a_device_without_the_memory(base: Path) -> None:
    def loss(*_: object) -> Loss:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunFailed, match=r"no memory for . rows of up to .* tokens: lower micro_tokens"):
        probe(ready(make_recipe(base)), loss)


def test_a_learning_rate_that_explodes(educated: Path) -> None:
    with pytest.raises(BadConfig, match=r"on one small batch the loss went from .*lower learning_rate"):
        probe(ready(make_recipe(educated, learning_rate=10.0)))


def test_a_learning_rate_that_moves_nothing(base: Path) -> None:
    with pytest.raises(BadConfig, match=r"28 trainable tensors do not move.*raise learning_rate .it is 0.0."):
        probe(ready(make_recipe(base, learning_rate=0.0)))


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_base_with_a_weight_that_is_no_number(base: Path, value: float) -> None:
    made = ready(make_recipe(base))
    next(made.model.parameters()).data[5] = value
    with pytest.raises(RunFailed, match="before any training the loss is nan; its rows are train-"):
        probe(made)


def test_tensors_that_do_not_move(base: Path) -> None:
    made = ready(make_recipe(base, lora=None, learning_rate=1e-4))
    made.model.model.register_parameter("forgotten", torch.nn.Parameter(torch.ones(3)))
    with pytest.raises(BadConfig, match=r"1 trainable tensors do not move, the first is model\.forgotten"):
        probe(made)


def test_items_of_other_methods_are_held_to_the_same(base: Path) -> None:
    chat = Chat.load(base)
    with pytest.raises(BadData, match="no assistant turn"):
        preflight.check_item(Item("x", [1, 5], [False, False]), chat, VOCABULARY)


def test_an_answer_that_was_not_wanted_is_not_learnt_in_silence(base: Path) -> None:
    chat = Chat.load(base)
    talk = (Message(role="user", content="Rate?"), Message(role="assistant", content="No idea, go away."))
    unwanted = row(1, talk).model_copy(update={"good": False})
    with pytest.raises(BadData, match=f"{unwanted.id} is rated as not wanted"):
        SFT.prepare(unwanted, chat)
    assert SFT.prepare(unwanted.model_copy(update={"good": True}), chat).targets > 0


def test_turns_behind_the_last_answer_are_booked_as_cut(base: Path) -> None:
    talk = dialogue("A?", "B.")
    plain = prepare(base, [row(1, talk)]).ledger
    ledger = prepare(base, [row(1, (*talk, Message(role="user", content="And what does a card cost?")))]).ledger
    chat = Chat.load(base)
    behind = len(chat.encode("\n<|im_start|>user\nAnd what does a card cost?<|im_end|>\n"))
    assert (plain.cut_tokens, ledger.cut_tokens, ledger.tokens) == (0, behind, plain.tokens)
    assert f"= {plain.tokens} trained on" in ledger.spelled()
    assert ledger.spelled().startswith(f"{plain.tokens + behind} tokens read")


def test_roles_are_looked_at(base: Path) -> None:
    rows = [*some_rows(2, 0), row(3, (Message(role="assistant", content="B."),))]
    with pytest.raises(BadData, match=r"1 of 3 .* row train-003 .*answers before anybody asked"):
        prepare(base, rows)


def test_a_tokenizer_that_ends_turns_with_a_token_the_model_lacks(base: Path, copied: Path) -> None:
    made = ready(make_recipe(base))
    preflight.check_tokenizer(made.model, made.chat)
    settings = copied / "generation_config.json"
    settings.write_text(settings.read_text().replace('"eos_token_id": 2', '"eos_token_id": 128009'))
    with pytest.raises(BadConfig, match=f"ends at token 128009; the tokenizer has {VOCABULARY} tokens"):
        preflight.check_tokenizer(made.model, Chat.load(copied))
