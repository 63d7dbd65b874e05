"""Fills what a recipe leaves to us, and says why: each value with its rule and where the rule comes from.

Knows numbers of the literature. Does not know data or weights beyond their sizes.
"""

import math
from dataclasses import dataclass, replace

from parity.tuning.recipe import AUTO, Method, Recipe

# Full fine-tuning; adapters take ten times as much (LoRA Without Regret, Schulman et al. 2025: 10x, any rank).
_ADAPTER_FACTOR = 10.0
_PREFERENCE_RATES: dict[Method, tuple[float, str]] = {
    "dpo": (5e-7, "5e-7 for all weights (Zephyr, alignment-handbook), ten times that for adapters"),
    "kto": (5e-7, "5e-7 to 1e-6 at beta .1 for all weights (KTO's authors: more epochs, not more rate), adapters x10"),
    "reward": (1e-5, "1e-5 for all weights, ten times that for adapters (TRL's default for reward models is 1e-4)"),
    "grpo": (1e-6, "1e-6 for all weights (TRL, DeepSeekMath 2402.03300), ten times that for adapters"),
    "rloo": (1e-6, "1e-6 for all weights (TRL), ten times that for adapters"),
}
_BETAS: dict[Method, tuple[float, str]] = {
    "dpo": (0.1, "0.1 (DPO 2305.18290, section 6; Zephyr .01 to .1)"),
    "kto": (0.1, "0.1 (KTO 2402.01306, section 4.3)"),
    "grpo": (0.04, "0.04 (DeepSeekMath 2402.03300); TRL's default 0 would report no KL"),
    "rloo": (0.05, "0.05 (TRL; RLOO 2402.14740)"),
}
_BATCH_ROWS = 32
_BATCH_SOURCE = "about 32 rows a step (LoRA Without Regret: adapters lose more than full tuning at larger batches)"


@dataclass(frozen=True, slots=True)
class Facts:
    """What defaults depend on. `row_tokens`: tokens of every row, sorted. `context_tokens`: what the model can read.

    `sequences`: how many sequences are computed for a row (2 for a pair, and for KTO's answer and its mismatch).
    """

    hidden: int
    parameters: int
    architecture: str
    context_tokens: int | None
    row_tokens: tuple[int, ...]
    sequences: int = 1


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe without any "auto"; `reasons` name every field's rule and source, in the recipe's order."""

    recipe: Recipe
    learning_rate: float
    length_tokens: int
    batch_tokens: int
    beta: float
    reasons: tuple[tuple[str, str, str], ...]


def resolve(recipe: Recipe, facts: Facts) -> Resolved:
    """Numbers for every field of a recipe."""
    rate, why_rate = learning_rate(recipe, facts)
    length, why_length = length_tokens(recipe, facts)
    batch, why_batch = batch_tokens(recipe, facts)
    beta, why_beta = _beta(recipe)
    filled = replace(recipe, learning_rate=rate, length_tokens=length, batch_tokens=batch, beta=beta)
    given = "as given"
    reasons = (
        ("learning_rate", f"{rate:.3g}", given if recipe.learning_rate != AUTO else why_rate),
        ("length_tokens", f"{length:,}", given if recipe.length_tokens != AUTO else why_length),
        ("batch_tokens", f"{batch:,}", given if recipe.batch_tokens != AUTO else why_batch),
        *([("beta", f"{beta:g}", given if recipe.beta != AUTO else why_beta)] if recipe.method in _BETAS else []),
    )
    return Resolved(filled, rate, length, batch, beta, reasons)


def learning_rate(recipe: Recipe, facts: Facts) -> tuple[float, str]:
    """The peak rate and the rule it comes from.

    Supervised: 5e-5 * (2000 / hidden)^p, p = .781 for Llama and .0775 for others, ten times that for adapters
    (Tinker cookbook, hyperparam_utils; calibrated for Llama and Qwen only). Pretraining: .003239 - .0001395 ln N
    (Kaplan et al. 2020, eq. D.1).
    """
    if recipe.learning_rate != AUTO:
        return float(recipe.learning_rate), "as given"
    factor = 1.0 if recipe.weights == "full" else _ADAPTER_FACTOR
    if recipe.method == "pretrain":
        rate = max(1e-4, 0.003239 - 0.0001395 * math.log(facts.parameters))
        return rate, f".003239 - .0001395 ln N for {facts.parameters:,} parameters (Kaplan et al. 2020, eq. D.1)"
    if recipe.method in _PREFERENCE_RATES:
        rate, source = _PREFERENCE_RATES[recipe.method]
        return rate * factor, source
    power = 0.781 if facts.architecture in ("llama", "yi") else 0.0775
    rate = 5e-5 * (2000 / facts.hidden) ** power * factor
    more = ", times 10 for adapters (LoRA Without Regret)" if factor > 1 else ""
    return rate, f"5e-5 x (2000 / {facts.hidden})^{power}{more} (Tinker cookbook; calibrated on Llama and Qwen)"


def length_tokens(recipe: Recipe, facts: Facts) -> tuple[int, str]:
    """The longest row that is trained on: the 99.9th percentile, within the model's context."""
    if recipe.length_tokens != AUTO:
        return int(recipe.length_tokens), "as given"
    rows = facts.row_tokens
    longest = rows[math.ceil(0.999 * len(rows)) - 1] if rows else 2
    if len(rows) < 1_000:  # the percentile of fewer rows is their longest
        longest = rows[-1] if rows else 2
    if facts.context_tokens:
        longest = min(longest, facts.context_tokens)
    return max(2, longest), "99.9th percentile of the rows' tokens, within the model's context"


def batch_tokens(recipe: Recipe, facts: Facts) -> tuple[int, str]:
    """Tokens of one step: what 32 average rows hold; pretraining and plain text take four times as many."""
    if recipe.batch_tokens != AUTO:
        return int(recipe.batch_tokens), "as given"
    rows = facts.row_tokens
    mean = facts.sequences * sum(rows) / len(rows) if rows else 1
    tokens = max(1, round(_BATCH_ROWS * mean)) if recipe.method != "pretrain" else max(4_096, round(64 * mean))
    source = _BATCH_SOURCE if recipe.method != "pretrain" else "64 average rows, at least 4,096 tokens"
    return tokens, source


def _beta(recipe: Recipe) -> tuple[float, str]:
    if recipe.beta != AUTO:
        return float(recipe.beta), "as given"
    return _BETAS.get(recipe.method, (0.0, "none"))


EXPLAINED: tuple[tuple[str, str, str], ...] = (
    ("method", "sft", "Learn accepted answers first: the best value for its risk (tuning order: sft, dpo, grpo)."),
    (
        "weights",
        "lora",
        "Equals full tuning on data of this size at 57 % of the memory and 44 % of the time (PEFT method comparison, "
        "Llama-3.2-3B: .478 against .472 on GSM8K). rsLoRA helps from rank 64 (2312.03732); DoRA took 27 % more time "
        "for nothing there; qlora: NF4 with double quantization (2305.14314).",
    ),
    ("targets", "all linear layers", "Attention alone is worse even at equal size (LoRA Without Regret; 2405.09673)."),
    ("rank", "32", "Holds the information of most logs (1 to 50 thousand rows); alpha = rank keeps the scale at 1."),
    (
        "experts",
        "train",
        "Attention alone is .02 % of a mixture's weights (mlx-lm issue 571); routers stay frozen.",
    ),
    ("learning_rate", "auto", "By model size and method; the one number worth a sweep (parity's is on the task)."),
    (
        "length_tokens",
        "auto",
        "99.9th percentile of the data. Longer rows are left out by name: cut ones lose their end.",
    ),
    ("epochs", "1", "Early stopping on dev watches longer runs; 1 to 3 is usual."),
    ("batch_tokens", "auto", _BATCH_SOURCE),
    ("beta", "auto", "; ".join(f"{method}: {source}" for method, (_, source) in _BETAS.items())),
    ("reward", "none", "A marker of parity, or a reward model trained here; grpo and rloo only."),
    ("prompt_loss", "0", "Answers only. TRL learns prompts too unless told otherwise; short answers may gain from .1."),
    ("seed", "0", "Order of rows and new weights; the adapter is drawn after it is set."),
    ("schedule", "cosine, 3 % warm-up", "Usual for adapters; weight decay 0 (0.1 for pretrain), gradients cut at 1."),
    ("optimizer", "AdamW", "beta .9, .999 in fp32 (.9, .95 for pretrain: GPT-3)."),
)
