"""How a quantized model reads: its size, the types its tensors got, and what to know before using it."""

from parity.core.digests import Plain
from parity.core.quantized import Caveat, Quantized
from parity.reporting.page import Block, Page, Sentence, Table


def quantized_json(found: Quantized) -> dict[str, Plain]:
    """The result for machines."""
    return {
        "files": [str(path) for path in found.files],
        "type": found.mixture,
        "size_bytes": found.size_bytes,
        "elements": found.elements,
        "bits_per_weight": found.bits_per_weight,
        "types": [
            {"type": share.type, "tensors": share.tensors, "elements": share.elements, "size_bytes": share.size_bytes}
            for share in found.types
        ],
        "fallbacks": list(found.fallbacks),
        "imatrix": found.importance,
        "caveats": [{"what": caveat.what, "from_tokens": caveat.from_tokens} for caveat in found.caveats],
        "seconds": round(found.seconds, 3),
    }


def quantized_page(found: Quantized) -> Page:
    """The result for people."""
    rows = tuple(
        (share.type, f"{share.tensors:,}", f"{share.elements:,}", f"{share.size_bytes / 1e6:,.1f} MB")
        for share in found.types
    )
    blocks: list[Block] = [Table(("stored as", "tensors", "weights", "size"), rows)]
    if found.importance:
        blocks.append(Sentence(f"Importance matrix: {found.importance}."))
    if found.fallbacks:
        blocks.append(
            Sentence(
                f"{len(found.fallbacks)} tensors have rows that are no whole blocks and got the nearest type that "
                f"fits, {found.fallbacks[0]} among them.",
                "yellow",
            )
        )
    blocks += [Sentence(_sentence(caveat), "yellow") for caveat in found.caveats]
    blocks.append(Sentence("Written: " + ", ".join(map(str, found.files))))
    title = f"{found.mixture}: {found.size_bytes / 1e6:,.1f} MB, {found.bits_per_weight:.2f} bits a weight"
    return Page(title, tuple(blocks))


def _sentence(caveat: Caveat) -> str:
    since = f" (matters from {caveat.from_tokens:,} tokens of context)" if caveat.from_tokens else ""
    return f"{caveat.what}{since}."
