"""How a pulled model reads: its pinned name first, then what came."""

from parity.core.digests import Plain
from parity.models.hub import Pulled
from parity.reporting.page import Block, Page, Sentence, Table


def pulled_json(found: Pulled) -> dict[str, Plain]:
    """The pulled model for machines."""
    return {
        "model": str(found.ref),
        "commit": found.ref.revision,
        "folder": str(found.folder),
        "files": [
            {"name": entry.name, "size_bytes": entry.size_bytes, entry.kind or "digest": entry.digest}
            for entry in found.files
        ],
        "size_bytes": sum(entry.size_bytes for entry in found.files),
        "fetched_bytes": found.fetched_bytes,
        "retries": found.retries,
        "gated": found.gated,
        "asks_for_code": list(found.code),
        "offline": found.offline,
    }


def pulled_page(found: Pulled) -> Page:
    """The name to use from now on, and the files."""
    size = sum(entry.size_bytes for entry in found.files)
    came = "the hub was not asked" if found.offline else f"{found.fetched_bytes:,} of them fetched now"
    blocks: list[Block] = [
        Sentence(f"{len(found.files)} files, {size:,} bytes, {came}; every one has the digest that the hub lists."),
        Table(
            ("file", "bytes", "digest"),
            tuple((entry.name, f"{entry.size_bytes:,}", entry.digest[:12]) for entry in found.files),
        ),
        Sentence(f"Lies in {found.folder}"),
    ]
    if found.retries:
        blocks.append(Sentence(f"{found.retries} attempts failed or stalled and were made again."))
    if found.code:
        blocks.append(
            Sentence(
                f"Its configuration asks to run its own code ({', '.join(found.code)}). That is noted, and nothing of "
                "it is run: models that need it cannot be measured with Parity.",
                "yellow",
            )
        )
    return Page(str(found.ref), tuple(blocks))
