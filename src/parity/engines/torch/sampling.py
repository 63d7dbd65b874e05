"""Which token comes next: the likeliest, or one drawn from what temperature and nucleus leave of the distribution.

A draw takes one number in [0, 1) from the request's own source and finds the token at that share of the cumulated
probabilities, so that it does not depend on what is asked beside it. Nucleus: Holtzman et al. 2020, section 3.1.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module

from parity.core.prompts import Sampling
from parity.engines.tokens.draws import choose
from parity.engines.torch.head import likeliest

# Rows drawn from together: each takes some copies of a row of the vocabulary, in fp64.
_ROWS = 16


def pick(
    head: Module, hidden_RH: Tensor, samplings: Sequence[Sampling], share: Callable[[int], float]
) -> list[int | None]:
    """The next token after each hidden state, by the output matrix; None where the largest logit is no number.

    `share(row)` is asked once for every row that is drawn.
    """
    tokens: list[int | None] = [None] * len(samplings)
    greedy = [row for row, sampling in enumerate(samplings) if sampling.temperature <= 0]
    if greedy:
        best_R, token_R = likeliest(head, hidden_RH[greedy])
        for row, token, sound in zip(greedy, token_R.tolist(), best_R.isfinite().tolist(), strict=True):
            tokens[row] = token if sound else None
    drawn = [row for row, sampling in enumerate(samplings) if sampling.temperature > 0]
    for start in range(0, len(drawn), _ROWS):
        rows = drawn[start : start + _ROWS]
        found = _drawn(head(hidden_RH[rows]), [samplings[row] for row in rows], [share(row) for row in rows])
        for row, token in zip(rows, found, strict=True):
            tokens[row] = token
    return tokens


def _drawn(logits_RV: Tensor, samplings: Sequence[Sampling], shares: Sequence[float]) -> list[int | None]:
    # A GPU cumulates in no fixed order.
    if logits_RV.device.type != "cpu" and not torch.are_deterministic_algorithms_enabled():
        return drawn_together(logits_RV, samplings, shares)
    rows = logits_RV.float().cpu().numpy()
    return [choose(*asked) for asked in zip(rows, samplings, shares, strict=True)]


def drawn_together(logits_RV: Tensor, samplings: Sequence[Sampling], shares: Sequence[float]) -> list[int | None]:
    """What `choose` draws from each row, without taking the logits off the device. None as in `pick`."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=logits_RV.device)[:, None]

    wide = torch.promote_types(logits_RV.dtype, torch.float32)
    temperature_R1 = column([sampling.temperature for sampling in samplings])
    chance_RV = torch.softmax(logits_RV.to(wide) / temperature_R1.to(wide), dim=-1).double()
    if any(sampling.top_p < 1 for sampling in samplings):
        ordered_RV, order_RV = chance_RV.sort(dim=-1, descending=True, stable=True)
        before_RV = ordered_RV.cumsum(-1) - ordered_RV
        nucleus_R1 = column([_nucleus(sampling.top_p) for sampling in samplings])
        chance_RV = torch.zeros_like(chance_RV).scatter(-1, order_RV, ordered_RV.where(before_RV < nucleus_R1, 0.0))
    cumulated_RV = chance_RV.cumsum(-1)
    found_R1 = torch.searchsorted(cumulated_RV, column(shares) * cumulated_RV[:, -1:], right=True)
    token_R = found_R1[:, 0].clamp(max=logits_RV.shape[-1] - 1)
    sound_R = logits_RV.amax(-1).isfinite()
    return [token if sound else None for token, sound in zip(token_R.tolist(), sound_R.tolist(), strict=True)]


def _nucleus(top_p: float) -> float:
    """The share that is kept; a `top_p` of 1 keeps all, whatever the sums are rounded to, and 0 the likeliest."""
    return float("inf") if top_p >= 1 else max(top_p, 1e-12)
