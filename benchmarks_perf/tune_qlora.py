"""What QLoRA saves and costs: bytes of linear layers in NF4 against bf16, loss on unseen answers, time of a step."""

from pathlib import Path

from steps import Steps
from tune_speed import chats, model, write


def qlora(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """LoRA and QLoRA on the same base, which is in bf16 both times."""
    found: dict[str, object] = steps.result("qlora", lambda: measure(data, steps.folder, quick))
    return found


def measure(data: Path, folder: Path, quick: bool) -> dict[str, object]:
    """Bytes of linear layers in NF4 against bf16, of the whole model, and what it costs in loss and time."""
    import torch

    from parity.tuning.loading import load
    from parity.tuning.recipe import Plan, Recipe
    from parity.tuning.tune import tune

    rows = chats(data)
    base = model(folder, rows, vocabulary=8_000, hidden=512, layers=4, ffn=1_536)
    path, dev = write(rows[:32], folder / "rows.jsonl"), write(rows[32:48], folder / "dev.jsonl")
    sizes, losses, seconds = {}, {}, {}
    for weights in ("lora", "qlora"):
        loaded = load(base, "sft", weights, 16, "train", torch.bfloat16, 0).model
        linear = [module for name, module in loaded.named_modules() if name.endswith("base_layer")]
        rest = sum(weight.nbytes for name, weight in loaded.named_parameters() if ".layers." not in name)
        sizes[weights] = (sum(map(stored_bytes, linear)), rest)
        recipe = Recipe(weights=weights, rank=16, learning_rate=1e-3, epochs=1 if quick else 3, batch_tokens=1_000)
        plan = Plan(base=str(base), data=path, dev=dev, out=folder / weights, recipe=recipe, precision="bfloat16")
        done = tune(plan)
        losses[weights], seconds[weights] = done.dev_loss or 0.0, done.seconds / len(done.points)
    ratios = [sum(sizes["qlora"][:n]) / sum(sizes["lora"][:n]) for n in (1, 2)]
    return {
        "qlora_bytes_ratio": round(ratios[0], 3),
        "qlora_whole_model_ratio": round(ratios[1], 3),
        "qlora_dev_loss_ratio": round(losses["qlora"] / losses["lora"], 4),
        "qlora_step_time_ratio": round(seconds["qlora"] / seconds["lora"], 2),
    }


def stored_bytes(module: object) -> int:
    state = getattr(module.weight, "quant_state", None)  # type: ignore[attr-defined]
    scales = state.absmax.nbytes + state.state2.absmax.nbytes if state else 0
    return int(module.weight.nbytes + scales)  # type: ignore[attr-defined]
