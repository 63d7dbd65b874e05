"""What is learned, and how: a recipe of twelve fields, a plan that names base, data and place; both in TOML.

Knows the choices and what they mean. Defaults that depend on model or data are "auto"; `defaults.py` fills them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from parity.errors import UsageError, listed
from parity.files.specs import read_toml

Method = Literal["pretrain", "continue", "sft", "dpo", "kto", "reward", "grpo", "rloo"]
Weights = Literal["lora", "rslora", "dora", "qlora", "full"]
AUTO: Literal["auto"] = "auto"
TEXT_METHODS = ("pretrain", "continue", "sft")
PREFERENCE_METHODS = ("dpo", "kto", "reward")
RL_METHODS = ("grpo", "rloo")


@checked(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """What is learned. Every default has a source: `parity tune --explain`.

    Parameters
    ----------
    method
        pretrain (weights from a configuration), continue (plain text), sft (answers), dpo, kto, reward, grpo, rloo.
    weights
        lora, rslora, dora, qlora (the base in 4 bits), or full: all weights.
    rank
        Rank of the adapter; alpha equals it.
    experts
        Whether the experts of a mixture get adapters (train) or not (frozen); says nothing for a dense model.
    learning_rate
        Peak rate, or auto: by a rule from the model's size, the method and whether adapters are trained.
    length_tokens
        Longest row, or auto: the 99.9th percentile of the data; longer rows are refused, never cut.
    epochs
        Passes over the data.
    batch_tokens
        Tokens of a step (sft, continue, pretrain); other methods take as many rows as fit it.
    beta
        Strength of the pull to the reference (dpo, kto, grpo, rloo), or auto.
    reward
        For grpo and rloo: a marker (exact, numeric, pattern:EXPRESSION) or the folder of a reward model.
    prompt_loss
        Weight of the tokens that are read, not written (sft); 0 learns answers only.
    seed
        Seeds the order of the data and new weights.
    """

    method: Method = "sft"
    weights: Weights = "lora"
    rank: int = 32
    experts: Literal["train", "frozen"] = "train"
    learning_rate: float | Literal["auto"] = AUTO
    length_tokens: int | Literal["auto"] = AUTO
    epochs: float = 1.0
    batch_tokens: int | Literal["auto"] = AUTO
    beta: float | Literal["auto"] = AUTO
    reward: str | None = None
    prompt_loss: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan whose base, data and place may still be missing, without its recipe: what flags can say.

    Parameters
    ----------
    base
        The model: a folder or hf:org/name@revision; for pretrain a folder with config.json and a tokenizer.
    data
        Training rows (JSONL), or a folder with train and dev files.
    out
        Folder for the result; the same command goes on there after a stop.
    dev
        Rows that stop the training early; without it some are held out of the data.
    keep
        adapter: what was trained. merged: the base with the adapter in it.
    patience
        Stop after so many looks at dev without a better loss; 0 never stops early.
    looks
        How often dev is looked at, and a checkpoint kept.
    precision
        Number type of the base's weights.
    checkpointing
        Compute activations again instead of keeping them; auto does so when memory is short.
    devices
        Processes that share every step.
    """

    base: str | None = None
    data: Path | None = None
    out: Path | None = None
    dev: Path | None = None
    keep: Literal["adapter", "merged"] = "adapter"
    patience: int = 3
    looks: int = 10
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpointing: Literal["auto", "on", "off"] = "auto"
    devices: int = 1


@checked(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Plan(Draft):
    """One run: a recipe, on what, to where, and how it runs on this machine; fields as in `Draft`."""

    base: str
    data: Path
    out: Path
    recipe: Recipe = Recipe()


def read_plan(path: Path) -> Plan:
    """A plan from a TOML file: base, data and out above, the recipe's fields under [recipe].

    Raises:
        DataError: the file is missing, not TOML, or has unknown, missing or ill-typed keys; all are listed.
        UsageError: values that do not go together.
    """
    plan = read_toml(path, Plan, "plan for tuning")
    check_plan(plan)
    return plan


def check_plan(plan: Plan) -> None:
    """Refuse what cannot be meant, everything at once.

    Raises:
        UsageError: values out of range, or that contradict each other.
    """
    problems = [*_ranges(plan), *_conflicts(plan)]
    if problems:
        raise UsageError("This plan cannot be run:\n" + listed(problems), "See parity tune --explain.")


@dataclass(frozen=True, slots=True)
class _Range:
    name: str
    value: float | str
    least: float
    strict: bool = True


def _ranges(plan: Plan) -> list[str]:
    recipe = plan.recipe
    rows = [
        _Range("rank", recipe.rank, 1, False),
        _Range("learning_rate", recipe.learning_rate, 0),
        _Range("length_tokens", recipe.length_tokens, 2, False),
        _Range("epochs", recipe.epochs, 0),
        _Range("batch_tokens", recipe.batch_tokens, 1, False),
        _Range("beta", recipe.beta, 0, False),
        _Range("prompt_loss", recipe.prompt_loss, 0, False),
        _Range("patience", plan.patience, 0, False),
        _Range("looks", plan.looks, 1, False),
        _Range("devices", plan.devices, 1, False),
    ]
    found = []
    for row in rows:
        if isinstance(row.value, str):
            continue
        if not (row.value > row.least if row.strict else row.value >= row.least) or row.value == float("inf"):
            found.append(f"{row.name} = {row.value:g} is not {'above' if row.strict else 'at least'} {row.least:g}")
    return found


def _conflicts(plan: Plan) -> list[str]:
    recipe = plan.recipe
    wrong = []
    if recipe.method == "pretrain" and recipe.weights != "full":
        wrong.append(f'method = "pretrain" trains all weights, not {recipe.weights}: set weights = "full"')
    if recipe.method in RL_METHODS and not recipe.reward:
        wrong.append(
            f"method = {recipe.method!r} needs a reward: exact, numeric, pattern:EXPRESSION, or a reward model"
        )
    if recipe.reward and recipe.method not in RL_METHODS:
        wrong.append(f"reward is for grpo and rloo; {recipe.method} reads no reward")
    if recipe.prompt_loss and recipe.method != "sft":
        wrong.append(f"prompt_loss is for sft; {recipe.method} has no prompts that are learned")
    if recipe.beta != AUTO and recipe.method not in ("dpo", "kto", *RL_METHODS):
        wrong.append(f"beta is for dpo, kto, grpo and rloo; {recipe.method} has no reference")
    if plan.keep == "merged" and recipe.weights == "qlora":
        wrong.append('keep = "merged" would round a 4-bit base: keep the adapter, and merge it into the 16-bit base')
    if plan.keep == "merged" and recipe.method == "reward":
        wrong.append('keep = "merged" is for models that write; a reward model keeps its adapter, or weights = "full"')
    return wrong
