"""The output matrix in parts: the rows of a few tokens where only these are compared, stretches where the largest wins.

Knows plain matrices. Of anything else (a quantized one, an adapter) it knows all rows at once, or none.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import linear

# Logits of a stretch of the vocabulary: 1 MB of fp32; but never fewer columns than a product needs to be fast.
_CACHED_LOGITS, _LEAST_STRETCH = 1 << 18, 2048


def has_rows(head: Module) -> bool:
    """Whether a row of the output matrix is a row of its weights, and nothing else happens to a logit."""
    return type(head) is Linear and not head._forward_hooks and not head._forward_pre_hooks


def few_logits(head: Module, hidden_PH: Tensor, tokens_P: Sequence[int]) -> Tensor:
    """The logit (P) of one token after each hidden state, in fp32 at least; for a head that `has_rows`.

    Each is summed by itself: it does not depend on what else is asked.
    """
    assert isinstance(head, Linear)
    at_P = torch.tensor(tokens_P, device=head.weight.device)
    wide = torch.promote_types(hidden_PH.dtype, torch.float32)
    logits_P = (hidden_PH.to(wide) * head.weight[at_P].to(wide)).sum(-1)
    return logits_P if head.bias is None else logits_P + head.bias[at_P].to(wide)


def likeliest(head: Module, hidden_RH: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logit (R) after each hidden state and the first token (R) that has it; NaN where any logit is NaN.

    On a CPU stretch by stretch of the vocabulary: what stays in the cache costs less than all logits in memory.
    """
    if not isinstance(head, Linear) or not has_rows(head) or hidden_RH.device.type != "cpu":
        found: tuple[Tensor, Tensor] = head(hidden_RH).max(dim=-1)
        return found
    best_R = hidden_RH.new_full((len(hidden_RH),), -torch.inf)
    token_R = torch.zeros(len(hidden_RH), dtype=torch.long)
    stretch = max(_LEAST_STRETCH, _CACHED_LOGITS // len(hidden_RH))
    for start in range(0, head.out_features, stretch):
        part = slice(start, start + stretch)
        logits_RV = linear(hidden_RH, head.weight[part], None if head.bias is None else head.bias[part])
        most_R = logits_RV.amax(-1)
        better = (~(most_R <= best_R) & ~best_R.isnan()).nonzero()[:, 0]
        if len(better):
            best_R[better] = most_R[better]
            token_R[better] = start + logits_RV[better].argmax(-1)
    return best_R, token_R
