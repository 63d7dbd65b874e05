"""Every family: packed rows do not see each other, adapters reach what is asked, and come back as they were saved."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from parity.errors import ModelError
from parity.testing.families import FAMILIES, family_folder
from parity.testing.folders import trained_tokenizer
from parity.tuning.collating import PackedCollator
from parity.tuning.loading import load
from parity.tuning.loss import next_token_loss
from parity.tuning.merging import merge
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.tokens import Row, gather
from parity.tuning.tune import tune
from tuning.conftest import write_rows

MIXTURES = [name for name in FAMILIES if name in ("mixtral", "qwen2-moe", "qwen3-moe", "deepseek-v2", "deepseek-v3")]


@pytest.fixture(scope="module")
def padded():
    tokenizer = trained_tokenizer(["a b c d e f g"] * 3, 290)
    tokenizer.add_tokens(["<|endoftext|>"])  # which Qwen's own tokenizer class adds by itself
    return tokenizer


@pytest.fixture(scope="module")
def folder(padded, tmp_path_factory):
    root, made = tmp_path_factory.mktemp("families"), {}

    def of(name):
        if name not in made:
            made[name] = family_folder(name, root / name, padded)
        return made[name]

    return of


def some_rows(vocabulary):
    random = torch.Generator().manual_seed(0)
    rows = []
    for at, length in enumerate((5, 31, 12, 9, 20)):
        ids = tuple(torch.randint(3, vocabulary, (length,), generator=random).tolist())
        rows.append(Row(str(at), ids, tuple(-100 if place < 3 else token for place, token in enumerate(ids))))
    return gather(rows, "rows")


def moved(model):
    """The adapter's second half is zero at first: move it, so that it says something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    return model


def summed(model, tensors):
    labels = tensors.pop("labels")
    outputs = model(**tensors, use_cache=False, output_hidden_states=True, logits_to_keep=1)
    return next_token_loss(outputs.hidden_states[-1], model.get_output_embeddings(), labels)


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_loss_and_gradients_are_those_of_rows_alone(folder, padded, name):
    loaded = load(folder(name), "sft", "lora", 4, "train", torch.float32, 0)
    model = moved(loaded.model).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    tokens = some_rows(len(padded))
    packed = summed(model, PackedCollator(tokens, 0).tensors(((0, 1), (2, 3, 4))))
    found = torch.autograd.grad(packed, weights, allow_unused=True)
    alone = 0.0
    for row in range(len(tokens)):
        ids, labels = (torch.from_numpy(part.astype("int64")) for part in tokens.row(row))
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        alone = alone + torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum")
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    for one, other in zip(found, torch.autograd.grad(alone, weights, allow_unused=True), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("experts", ["train", "frozen"])
def test_experts_train_or_stay_frozen_as_asked(folder, name, experts):
    loaded = load(folder(name), "sft", "lora", 4, experts, torch.float32, 0)
    counts = {row.kind: row for row in loaded.adapters}
    for kind in ("experts.gate_up_proj", "experts.down_proj"):
        assert counts[kind].adapted == (counts[kind].present if experts == "train" else 0)
    rest = [row for row in loaded.adapters if not row.kind.startswith("experts.")]
    assert all(row.adapted == row.present > 0 for row in rest)
    kinds = {row.kind for row in rest}
    if name == "deepseek-v3":
        assert {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"} <= kinds
    assert not {"gate", "shared_expert_gate", "lm_head"} & kinds


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["qwen2", *MIXTURES])
def test_saved_adapters_come_back_and_merge(folder, tmp_path, name):
    model = moved(load(folder(name), "sft", "lora", 4, "train", torch.float32, 0).model).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    expected = model(ids).logits.detach()
    model.save_pretrained(str(tmp_path / "adapter"))
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder(name)), str(tmp_path / "adapter"))
    assert torch.equal(again.eval()(ids).logits, expected)
    report = merge(str(folder(name)), tmp_path / "adapter", tmp_path / "merged")
    assert report.apart < 1e-3 < report.moved
    assert report.changed > 0
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(merged(ids).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weights", ["dora", "qlora"])
@pytest.mark.parametrize("name", MIXTURES)
def test_what_mixtures_cannot_carry_is_refused_by_name(folder, name, weights):
    with pytest.raises(ModelError, match=r"layers\.\d\.mlp\.experts\.\w+.* more\.\sSet weights = \"lora\""):
        load(folder(name), "sft", weights, 4, "train", torch.float32, 0)
    if name in ("mixtral", "qwen3-moe"):  # nothing beside the experts has their names
        counts = load(folder(name), "sft", weights, 4, "frozen", torch.float32, 0).adapters
        assert {row.kind for row in counts if row.adapted} == {"q_proj", "k_proj", "v_proj", "o_proj"}
        return
    with pytest.raises(ModelError, match=r"mlp\.(shared_experts?\.)?(down|gate|up)_proj\.weight") as found:
        load(folder(name), "sft", weights, 4, "frozen", torch.float32, 0)
    assert "frozen" not in str(found.value)


@pytest.mark.parametrize("weights", ["dora", "qlora"])
def test_frozen_experts_leave_the_rest_to_train(folder, padded, tmp_path, weights):
    rows = [{"prompt": "a b c", "completion": " d e"}, {"prompt": "b c", "completion": " f"}] * 6
    recipe = Recipe(weights=weights, rank=4, experts="frozen", learning_rate=1e-2, epochs=4, batch_tokens=40)
    data = write_rows(tmp_path / "rows.jsonl", [{**row, "id": str(at)} for at, row in enumerate(rows)])
    plan = Plan(base=str(folder("qwen3-moe")), data=data, out=tmp_path / "out", recipe=recipe, precision="float32")
    done = tune(plan)
    assert done.points[-1].loss < done.points[0].loss
    assert not any("experts" in name for name in load_file(done.out / "adapter_model.safetensors"))
