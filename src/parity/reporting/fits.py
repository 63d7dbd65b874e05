"""How a fit reads: what takes memory, what fits, how fast, what to turn."""

from parity.core.digests import Plain, plain
from parity.models.fit import Choice, Fit
from parity.reporting.models import gigabytes
from parity.reporting.page import Block, Page, Sentence, Table


def fit_page(found: Fit) -> Page:
    """A row a choice, best quality first, then the answer and the knobs."""
    device, spec = found.device, found.spec
    what = f"{spec.parallel} x {found.context_tokens:,} tokens"
    if spec.train:
        what = f"{spec.train} with batches of {what}"
    blocks: list[Block] = [
        Sentence(
            f"For {what} on {device.name}: {gigabytes(device.memory_bytes)} of memory, "
            f"{gigabytes(device.room_bytes)} of it to use" + _speed(device.bandwidth_bytes_s) + "."
        ),
        Table(_columns(found), tuple(_row(found, choice) for choice in found.choices)),
        _answer(found),
    ]
    blocks += [Sentence(knob) for knob in found.knobs]
    if not spec.train and device.bandwidth_bytes_s:
        blocks.append(
            Sentence("tokens/s: one sequence, at half of what memory bandwidth allows (in brackets: all of it).", "dim")
        )
    return Page(f"Does {found.ref} fit?", tuple(blocks))


def fit_json(found: Fit) -> dict[str, Plain]:
    """The same in bytes and tokens a second."""
    return {
        "model": found.ref,
        "context_tokens": found.context_tokens,
        "parallel": found.spec.parallel,
        "train": found.spec.train,
        "kv_type": found.spec.kv_type,
        "device": plain(found.device),
        "choices": [_choice_json(choice) for choice in found.choices],
        "best": found.best.type if found.best else None,
        "fits": found.best is not None,
        "longest_context_tokens": found.longest_context_tokens,
        "knobs": list(found.knobs),
    }


def _choice_json(choice: Choice) -> Plain:
    return {
        "type": choice.type,
        "fits": choice.fits,
        "total_bytes": choice.memory.total_bytes,
        **{name: getattr(choice.memory, name) for name in choice.memory.__dataclass_fields__},
        "tokens_per_s": choice.tokens_per_s,
        "tokens_per_s_at_most": choice.tokens_per_s_at_most,
    }


def _columns(found: Fit) -> tuple[str, ...]:
    if found.spec.train:
        return ("", "weights", "activations", "logits", "adapter", "optimizer", "overhead", "total", "fits")
    return ("type", "weights", "KV cache", "activations", "logits", "total", "fits", "tokens/s")


def _row(found: Fit, choice: Choice) -> tuple[str, ...]:
    memory, fits = choice.memory, "yes" if choice.fits else "no"
    if found.spec.train:
        parts: tuple[int, ...] = (
            memory.weights_bytes, memory.activations_bytes, memory.logits_bytes, memory.adapter_bytes,
            memory.optimizer_bytes, memory.overhead_bytes, memory.total_bytes,
        )  # fmt: skip
        return (choice.type, *map(gigabytes, parts), fits)
    parts = (
        memory.weights_bytes, memory.kv_bytes, memory.activations_bytes, memory.logits_bytes, memory.total_bytes,
    )  # fmt: skip
    speed = "unknown"
    if choice.tokens_per_s and choice.tokens_per_s_at_most:
        speed = f"{choice.tokens_per_s:.3g} ({choice.tokens_per_s_at_most:.3g})"
    return (choice.type, *map(gigabytes, parts), fits, speed)


def _answer(found: Fit) -> Sentence:
    if found.best is None:
        return Sentence("It does not fit.", "red")
    if found.spec.train:
        return Sentence("It fits.", "green")
    longest = found.longest_context_tokens
    return Sentence(
        f"Best that fits: {found.best.type}" + (f", up to {longest:,} tokens of context." if longest else "."), "green"
    )


def _speed(bandwidth: float | None) -> str:
    return f", read at {bandwidth / 1e9:,.0f} GB/s" if bandwidth else ", memory bandwidth unknown"
