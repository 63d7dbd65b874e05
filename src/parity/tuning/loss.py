"""The loss of next tokens without ever holding all logits: only positions that count, a few rows at a time.

TRL 1.16 chunks too, but off a GPU it multiplies every position with the whole vocabulary, masked or not. Here masked
positions cost nothing, and the gradient is made in the same pass, so no logits are kept for the way back.
"""

from typing import Any

import torch
from torch import Tensor

# Logits that are held at once, in bytes of fp32.
CHUNK_BYTES = 32 << 20


class _ChunkedLoss(torch.autograd.Function):
    """Weighted sum of -log p(label): hidden [T x H], head weight [V x H], bias [V] or None, labels [T], weights [T]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, weights: Tensor
    ) -> Tensor:
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias) if wants_bias and bias is not None else None
        total = hidden.new_zeros((), dtype=torch.float32)
        rows = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            logits = torch.nn.functional.linear(hidden[part], weight, bias).float()
            normalizer = logits.logsumexp(dim=1)
            picked = labels[part, None]
            total += ((normalizer - logits.gather(1, picked)[:, 0]) * weights[part]).sum()
            if grad_hidden is None and grad_weight is None:
                continue
            # softmax - onehot, weighted: the gradient by the logits, written over them
            grad = logits.sub_(normalizer[:, None]).exp_()
            grad.scatter_add_(1, picked, torch.full_like(picked, -1, dtype=grad.dtype))
            grad = grad.mul_(weights[part, None]).to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = grad @ weight
            if grad_weight is not None:
                grad_weight.addmm_(grad.T, hidden[part])
            if grad_bias is not None:
                grad_bias += grad.sum(dim=0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        grads = (None if grad is None else grad * upstream[0].to(grad.dtype) for grad in ctx.saved_tensors)
        return (*grads, None, None)


def next_token_loss(hidden: Tensor, head: torch.nn.Module, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over tokens of weight * -log p(token | before), in nats.

    hidden [B x T x H] of the last layer; `labels` [B x T] aligned with the input, -100 where nothing is learned;
    `weights` [B x T] or None for ones. Position t is predicted from t - 1, so the first of a row never counts.
    """
    wanted = labels[:, 1:] != -100
    picked = labels[:, 1:][wanted]
    ones = torch.ones(picked.shape, dtype=torch.float32, device=picked.device)
    chosen = weights[:, 1:][wanted].float() if weights is not None else ones
    bias = getattr(head, "bias", None)
    loss: Tensor = _ChunkedLoss.apply(hidden[:, :-1][wanted], head.weight, bias, picked, chosen)
    return loss
