"""Which storage type each tensor gets when a model is quantized: llama.cpp's mixtures, as rules over names and layers.

A mixture such as Q4_K_M gives some tensors more bits than others. The rules are those of llama.cpp's quantizer
(src/llama-quant.cpp, MIT) at the pinned version; what they say of Falcon alone is left out. Knows names and shapes,
never values; benchmarks compare every choice with `llama-quantize`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from parity.core.models import ModelShape
from parity.errors import UsageError, did_you_mean
from parity.models.counts import Weight
from parity.models.ggml_types import BY_NAME


@dataclass(frozen=True, slots=True)
class Mixture:
    """A quantization users ask for by name: the type most tensors get, and llama.cpp's number for the whole."""

    name: str
    plain: str
    file_type: int


# From the most bits to the fewest.
MIXTURES: Mapping[str, Mixture] = MappingProxyType(
    {
        name: Mixture(name, plain, file_type)
        for name, plain, file_type in (
            ("F32", "F32", 0), ("BF16", "BF16", 32), ("F16", "F16", 1), ("Q8_0", "Q8_0", 7), ("Q6_K", "Q6_K", 18),
            ("Q5_1", "Q5_1", 9), ("Q5_K_M", "Q5_K", 17), ("Q5_K_S", "Q5_K", 16), ("Q5_0", "Q5_0", 8),
            ("Q4_1", "Q4_1", 3), ("Q4_K_M", "Q4_K", 15), ("Q4_K_S", "Q4_K", 14), ("Q4_0", "Q4_0", 2),
            ("IQ4_NL", "IQ4_NL", 25), ("IQ4_XS", "IQ4_XS", 30), ("Q3_K_L", "Q3_K", 13), ("Q3_K_M", "Q3_K", 12),
            ("IQ3_M", "IQ3_S", 27), ("IQ3_S", "IQ3_S", 26), ("Q3_K_S", "Q3_K", 11), ("IQ3_XS", "IQ3_S", 22),
            ("IQ3_XXS", "IQ3_XXS", 23), ("Q2_K", "Q2_K", 10), ("Q2_K_S", "Q2_K", 21), ("IQ2_M", "IQ2_S", 29),
            ("IQ2_S", "IQ2_XS", 28), ("IQ2_XS", "IQ2_XS", 20), ("IQ2_XXS", "IQ2_XXS", 19), ("IQ1_M", "IQ1_M", 31),
            ("IQ1_S", "IQ1_S", 24),
        )
    }
)  # fmt: skip
# What llama.cpp's users write for the middle one of a family.
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "FP16": "F16", "FP32": "F32"}
_UNQUANTIZED = ("F32", "BF16", "F16")
_NEED_IMPORTANCE = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"})
# A row that is no whole number of blocks: the nearest type with blocks of 32; F16 where that does not fit either.
_FALLBACK = MappingProxyType(
    {
        **dict.fromkeys((*_NEED_IMPORTANCE, "IQ3_S", "IQ4_XS"), "IQ4_NL"),
        "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a model the rules ask for. `experts` is 0 in a dense one."""

    layers: int
    heads: int
    kv_heads: int
    experts: int = 0
    architecture: str = "llama"

    @classmethod
    def of(cls, shape: ModelShape) -> "Traits":
        count = shape.experts.count if shape.experts else 0
        return cls(shape.layers, shape.heads, shape.kv_heads, count, shape.architecture)

    @property
    def groups(self) -> int:
        return self.heads // max(self.kv_heads, 1)

    @property
    def shares_values_widely(self) -> bool:
        """Models of 80 layers whose few value heads get more bits: nearly free, since they are small."""
        return self.layers == 80 and (
            (self.architecture == "llama" and self.heads != self.kv_heads) or self.architecture == "qwen2"
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One tensor's question: the mixture, its place among its kind (`index` of `count`), and the model."""

    mixture: Mixture
    index: int
    count: int
    traits: Traits
    importance: bool

    @property
    def name(self) -> str:
        return self.mixture.name

    @property
    def first_eighth(self) -> bool:
        return self.index < self.count // 8

    @property
    def more_bits(self) -> bool:
        """The first and last eighth of the layers, and every third between."""
        eighth = self.count // 8
        return self.first_eighth or self.index >= 7 * self.count // 8 or (self.index - eighth) % 3 == 2

    @property
    def in_the_middle(self) -> bool:
        return not self.first_eighth and self.index < 7 * self.count // 8


def find_mixture(name: str) -> Mixture:
    """A mixture by the name llama.cpp gives it, in any case.

    Raises:
        UsageError: there is none of that name.
    """
    folded = {known.casefold(): known for known in MIXTURES} | {a.casefold(): k for a, k in _ALIASES.items()}
    if name.casefold() not in folded:
        raise UsageError(f"Unknown type {name!r}.", did_you_mean(name, list(MIXTURES)))
    return MIXTURES[folded[name.casefold()]]


def tensor_types(
    weights: Iterable[Weight], mixture: Mixture, traits: Traits, importance: bool = False
) -> list[str | None]:
    """The type of every tensor, in the order of layers; None for those that are never quantized.

    `importance`: an importance matrix is at hand, which changes some choices.
    """
    weights = list(weights)
    kinds = [_kind(weight.role) for weight in weights]
    tied, values = "output" not in kinds, kinds.count("attn_v")
    seen: Counter[str] = Counter()
    found: list[str | None] = []
    for weight, kind in zip(weights, kinds, strict=True):
        if not is_quantized(weight):
            found.append(None)
            continue
        by_layer = kind.startswith("ffn_") and traits.experts > 1 and mixture.name not in _TINY
        index = weight.layer or 0 if by_layer else seen[kind]
        asked = _Asked(mixture, index, values if kind == "attn_v" else traits.layers, traits, importance)
        seen[kind] += 1
        found.append(_fitting(_choose(kind, weight, tied, asked), weight.shape[-1]))
    return found


def is_quantized(weight: Weight) -> bool:
    """Whether a tensor may be stored in fewer bits at all: matrices, but neither norms nor routers nor positions."""
    matrix = sum(1 for extent in weight.shape[:-1] if extent > 1) > 0
    role = weight.role
    kept = role.endswith((".bias", "_norm", "ffn_gate_inp")) or role.startswith(("norm_", "position_embd", "rope_"))
    return matrix and not kept


def needs_importance(role: str, kind: str, mixture: Mixture) -> bool:
    """Whether a tensor in this type is garbage without an importance matrix, as llama.cpp judges it."""
    if role in ("token_embd", "output"):
        return False
    return kind in _NEED_IMPORTANCE or (kind == "Q2_K" and mixture.name == "Q2_K_S")


def _kind(role: str) -> str:
    for kind, marks in (
        ("attn_v", ("attn_v", "attn_qkv", "attn_kv_b")), ("attn_k", ("attn_k",)), ("attn_q", ("attn_q",)),
        ("attn_output", ("attn_output",)), ("output", ("output",)), ("token_embd", ("token_embd",)),
    ):  # fmt: skip
        if role in marks:
            return kind
    return next((kind for kind in ("ffn_up", "ffn_gate", "ffn_down") if kind in role), "other")


Rule = tuple[Callable[[_Asked], bool], str]
_NARROW, _WIDE = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), ("IQ2_S", "IQ2_M")
_TINY = (*_NARROW, *_WIDE)


def _always(_: _Asked) -> bool:
    return True


def _wide_groups(asked: _Asked) -> bool:
    return asked.traits.groups >= 4


def _eight(asked: _Asked) -> bool:
    return asked.traits.experts == 8


def _for(names: Iterable[str], *rules: Rule) -> dict[str, tuple[Rule, ...]]:
    return dict.fromkeys(names, rules)


_SHARED_TINY: Rule = (lambda asked: _wide_groups(asked) or asked.traits.experts >= 4, "Q4_K")
_EIGHT_OUTPUT: Rule = (_eight, "Q5_K")
# By kind of tensor and mixture: the first rule that holds; without one the mixture's plain type.
_RULES: Mapping[str, Mapping[str, tuple[Rule, ...]]] = {
    "attn_v": {
        **_for(_NARROW, _SHARED_TINY, (_always, "Q2_K")),
        **_for(_WIDE, _SHARED_TINY, (_always, "IQ3_S")),
        **_for(("Q2_K_S", "IQ3_XS", "IQ3_S"), (_wide_groups, "Q4_K")),
        **_for(("IQ4_NL", "IQ4_XS"), (_wide_groups, "Q5_K")),
        **_for(("Q4_K_M", "Q5_K_M"), (lambda asked: asked.more_bits, "Q6_K")),
        "Q2_K": ((_wide_groups, "Q4_K"), (_always, "Q3_K")),
        "IQ3_XXS": ((_wide_groups, "Q4_K"), (lambda asked: not asked.importance, "IQ3_S")),
        "IQ3_M": ((_always, "Q4_K"),),
        "Q3_K_M": ((lambda asked: asked.index < 2, "Q5_K"), (_always, "Q4_K")),
        "Q3_K_L": ((_always, "Q5_K"),),
        "Q4_K_S": ((lambda asked: asked.index < 4, "Q5_K"),),
    },
    "attn_k": {
        **_for(MIXTURES, (_eight, "Q8_0")),
        **_for(_TINY, (_eight, "Q4_K")),
        "IQ3_XS": ((_eight, "Q8_0"), (_always, "IQ3_XXS")),
        "IQ3_XXS": ((_eight, "Q8_0"), (_always, "IQ2_S")),
    },
    "attn_q": {"IQ3_XS": ((_always, "IQ3_XXS"),), "IQ3_XXS": ((_always, "IQ2_S"),)},
    "attn_output": {
        **_for(
            ("IQ3_XS", "Q3_K_S", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ4_XS", "IQ2_XXS", "IQ2_XS"), _EIGHT_OUTPUT
        ),
        **_for(("IQ1_S", "IQ1_M"), _EIGHT_OUTPUT, (_always, "IQ2_XXS")),
        **_for(("IQ3_XXS", *_WIDE), _EIGHT_OUTPUT, (_always, "IQ3_S")),
        **_for(("Q3_K_M", "IQ3_M"), _EIGHT_OUTPUT, (_always, "Q4_K")),
        "Q2_K": (_EIGHT_OUTPUT, (_always, "Q3_K")),
        "Q3_K_L": ((lambda asked: not _eight(asked), "Q5_K"),),
    },
    "ffn_down": {
        **_for(_NARROW, (lambda asked: asked.first_eighth, "Q2_K")),
        **_for(_WIDE, (lambda asked: asked.first_eighth, "IQ3_S")),
        **_for(("Q4_K_M", "Q5_K_M"), (lambda asked: asked.more_bits, "Q6_K")),
        **_for(("IQ4_NL", "IQ4_XS"), (lambda asked: asked.first_eighth and not asked.importance, "Q5_K")),
        "Q2_K": ((_always, "Q3_K"),),
        "Q2_K_S": ((lambda asked: asked.first_eighth, "Q4_K"),),
        "IQ3_XXS": (
            (lambda asked: asked.first_eighth and not asked.importance, "Q4_K"),
            (lambda asked: not asked.importance, "Q3_K"),
        ),
        "IQ3_M": ((lambda asked: asked.first_eighth or (_eight(asked) and asked.more_bits), "Q4_K"),),
        "Q3_K_M": ((lambda asked: asked.index < asked.count // 16, "Q5_K"), (_always, "Q4_K")),
        "Q3_K_L": ((_always, "Q5_K"),),
        "Q4_K_S": ((lambda asked: asked.first_eighth, "Q5_K"),),
        # Their blocks go wrong in the first layers with an importance matrix, and without one when they have a minimum.
        "Q4_0": ((lambda asked: asked.first_eighth and asked.importance, "Q4_1"),),
        "Q5_0": ((lambda asked: asked.first_eighth and asked.importance, "Q5_1"),),
    },
    **{kind: {"IQ3_XS": ((lambda asked: asked.in_the_middle, "IQ3_XXS"),)} for kind in ("ffn_gate", "ffn_up")},
    "token_embd": {
        **_for(_NARROW, (_always, "Q2_K")),
        **_for((*_WIDE, "IQ3_XXS"), (_always, "IQ3_S")),
    },
}


def _choose(kind: str, weight: Weight, tied: bool, asked: _Asked) -> str:
    plain = asked.mixture.plain
    if plain in _UNQUANTIZED:
        return plain
    if kind == "output" or (kind == "token_embd" and tied):
        return _head(weight.shape[-1], asked.mixture)
    rules = _RULES.get(kind, {}).get(asked.name, ())
    found = next((then for holds, then in rules if holds(asked)), plain)
    if kind == "attn_v" and asked.name not in _TINY:
        if _eight(asked):
            return "Q8_0"
        if asked.traits.shares_values_widely and found in ("Q3_K", "Q4_K"):
            return "Q5_K"
    return found


def _head(columns: int, mixture: Mixture) -> str:
    if mixture.plain == "Q8_0" or columns % BY_NAME[mixture.plain].block:
        return "Q8_0"
    return "Q5_K" if mixture.name in (*_TINY, "IQ3_XXS") else "Q6_K"


def _fitting(name: str, columns: int) -> str:
    if columns % BY_NAME[name].block == 0:
        return name
    name = _FALLBACK.get(name, name)
    return name if columns % BY_NAME[name].block == 0 else "F16"
