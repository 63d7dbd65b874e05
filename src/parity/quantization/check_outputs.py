"""What llama.cpp computes from a file against what transformers computes from its folder, on the same token ids.

Kullback-Leibler divergence from the folder's distribution, top-1 flips, the ratio of perplexities: over every position
of the given texts. Greedy agreement is the share of texts whose likeliest next tokens are all the same.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.checked import Agreement
from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import UsageError

# A faithful F32 file differs by rounding only; of what quantizing may lose this is the most that is no mistake.
_EXACT_KL, _LOSSY_KL = 1e-4, 1.0
# What outputs are compared on where the user gives nothing: prose, a list, code and another script.
TEXTS: tuple[str, ...] = (
    "The committee met on Tuesday to decide whether the old bridge should be repaired or replaced before winter.",
    "Question: A train leaves at 9:40 and arrives at 11:05. How long does the journey take?\nAnswer: 85 minutes.",
    "def mean(values):\n    total = 0.0\n    for one in values:\n        total += one\n    return total / len(values)",
    "Die Lampe steht auf dem Tisch, und daneben liegt ein Buch über Sterne.",
)


def agreement(folder: Path, engine: LlamaCppEngine, texts: Sequence[str], most_tokens: int = 128) -> Agreement:
    """Compare on the folder's own token ids of each text (at most so many).

    Raises:
        UsageError: no text has two tokens.
        EngineError: llama.cpp broke off.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    model.eval()
    divergences, flips, ours, theirs, whole = [], [], [], [], []
    for text in texts:
        ids = tokenizer.encode(text)[:most_tokens]
        if len(ids) < 2:
            continue
        with torch.inference_mode():
            expected_TV = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1).numpy()
        logits_TV = engine.logits(ids).astype(np.float64)[:, : expected_TV.shape[1]]
        found_TV = logits_TV - np.logaddexp.reduce(logits_TV, axis=1, keepdims=True)
        divergences += (np.exp(expected_TV) * (expected_TV - found_TV)).sum(-1).tolist()
        flipped = expected_TV.argmax(-1) != found_TV.argmax(-1)
        flips += flipped.tolist()
        whole.append(not flipped.any())
        at, following = np.arange(len(ids) - 1), np.array(ids[1:])
        theirs += expected_TV[at, following].tolist()
        ours += found_TV[at, following].tolist()
    if not theirs:
        raise UsageError("There is no text to compare on.", "Give texts of at least two tokens.")
    return Agreement(
        len(divergences), float(np.mean(divergences)), float(np.max(divergences)), float(np.mean(flips)),
        float(np.exp(np.mean(theirs) - np.mean(ours))), float(np.max(np.abs(np.subtract(ours, theirs)))),
        float(np.mean(whole)),
    )  # fmt: skip


def output_problems(found: Agreement, lossy: bool) -> Iterator[tuple[str, str]]:
    """A divergence beyond what the file's types can lose, as (cause, what was seen)."""
    limit = _LOSSY_KL if lossy else _EXACT_KL
    if not found.kl_mean <= limit:
        yield "other outputs", f"mean divergence {found.kl_mean:.2g} nats where at most {limit:g} is expected"
