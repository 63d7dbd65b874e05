"""How an inspected model reads: as a page, and as one JSON object."""

from parity.core.digests import Plain, plain
from parity.models.inspection import Inspection
from parity.reporting.page import Block, Figure, Heading, Page, Sentence, Table

_SHOWN_FILES = 12


def billions(parameters: int) -> str:
    """A count of parameters as people say it.

    >>> billions(8_030_261_248), billions(260_032)
    ('8.03 B', '260.0 k')
    """
    for unit, size in ((" B", 1e9), (" M", 1e6), (" k", 1e3)):
        if parameters >= size:
            digits = 2 if size == 1e9 else 1
            return f"{parameters / size:.{digits}f}{unit}"
    return str(parameters)


def gigabytes(size_bytes: float) -> str:
    """A size in decimal units.

    >>> gigabytes(16_060_522_496), gigabytes(1056)
    ('16.06 GB', '1.1 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.{2 if size == 1e9 else 1}f} {unit}"
    return f"{size_bytes:.0f} B"


def inspection_page(found: Inspection) -> Page:
    """Architecture, sizes, tokenizer, template, licence and files."""
    blocks: list[Block] = [Table(("", "value"), _facts(found))]
    if found.shape_problem:
        blocks.append(Sentence(found.shape_problem, "yellow"))
    blocks += [Sentence(note, "yellow") for note in found.notes]
    if found.stored:
        rows = tuple(
            (row.type, f"{row.tensors:,}", billions(row.elements), gigabytes(row.size_bytes)) for row in found.stored
        )
        blocks.append(Table(("stored as", "tensors", "elements", "size"), rows))
    if found.template_differences is not None:
        blocks.append(Heading("Chat template: what differs from the base model's"))
        blocks.append(Figure(found.template_differences) if found.template_differences else Sentence("Nothing."))
    largest = sorted(found.files, key=lambda entry: -entry.size_bytes)
    files = tuple((entry.name, gigabytes(entry.size_bytes)) for entry in largest[:_SHOWN_FILES])
    blocks.append(Table((f"files ({len(found.files)})", "size"), files))
    if (more := len(largest) - _SHOWN_FILES) > 0:
        blocks.append(Sentence(f"and {more} smaller ones"))
    return Page(found.ref, tuple(blocks))


def _facts(found: Inspection) -> tuple[tuple[str, str], ...]:
    context = f"{found.context_tokens:,} tokens" if found.context_tokens else "not stated"
    rows = [*_shape_rows(found), ("context", context)]
    rows.append(("weights in", found.dtype or "not stated"))
    tokenizer = found.tokenizer
    if tokenizer:
        named = ", ".join(filter(None, (tokenizer.kind, tokenizer.name))) or "unknown kind"
        rows.append(("tokenizer", f"{named} ({tokenizer.found_in})"))
    else:
        rows.append(("tokenizer", "none"))
    if found.template:
        rows.append(("chat template", f"SHA-256 {found.template.sha256[:16]}, in {found.template.found_in}"))
        literals = found.template.literals
        seen = "unreadable" if literals is None else ", ".join(map(repr, literals[:12])) or "roles only"
        rows.append(("its conditions look for", seen + (", ..." if literals and len(literals) > 12 else "")))
    else:
        rows.append(("chat template", "none"))
    licence = found.licence
    where = f" ({licence.found_in})" if licence.found_in else ""
    rows.append(("licence", (licence.name or ("unknown text" if licence.found_in else "not stated")) + where))
    if licence.base_model:
        rows.append(("base model", licence.base_model))
    if found.revision:
        rows.append(("commit", found.revision[:12]))
    return tuple(rows)


def _shape_rows(found: Inspection) -> list[tuple[str, str]]:
    rows = [("kind", found.kind)]
    if found.parameters:
        count = found.parameters
        rows.append(("parameters", f"{billions(count.total)} ({count.total:,}, from the {found.parameters_from})"))
        if found.shape and found.shape.experts:
            rows.append(("active per token", f"{billions(count.active)} ({count.active:,})"))
    shape = found.shape
    if shape is None:
        return rows
    rows.insert(1, ("architecture", shape.architecture))
    rows.append(("layers x hidden", f"{shape.layers} x {shape.hidden:,}"))
    rows.append(("heads", f"{shape.heads} query, {shape.kv_heads} key-value, of size {shape.head_dim}"))
    if shape.latent:
        rows.append(("latent attention", f"rank {shape.latent.kv_rank} + {shape.latent.rope_dim} rotary"))
    if shape.experts:
        mix = shape.experts
        rows.append(("experts", f"{mix.per_token} of {mix.count}, width {mix.ffn:,}, in {len(mix.layers)} layers"))
    if shape.window:
        rows.append(("sliding window", f"{shape.window.tokens:,} tokens in {len(shape.window.layers)} layers"))
    rows.append(("vocabulary", f"{shape.vocabulary:,}" + (", tied to the output" if shape.tied else "")))
    return rows


def inspection_json(found: Inspection) -> dict[str, Plain]:
    """Everything found; sizes in bytes, the template by digest."""
    shape, count, template = found.shape, found.parameters, found.template
    return {
        "model": found.ref,
        "kind": found.kind,
        "revision": found.revision,
        "architecture": shape.architecture if shape else None,
        "parameters_total": count.total if count else None,
        "parameters_active": count.active if count else None,
        "parameters_embedding": count.embedding if count else None,
        "parameters_from": found.parameters_from,
        "layers": shape.layers if shape else None,
        "hidden": shape.hidden if shape else None,
        "heads": shape.heads if shape else None,
        "kv_heads": shape.kv_heads if shape else None,
        "head_dim": shape.head_dim if shape else None,
        "context_tokens": found.context_tokens,
        "vocabulary": shape.vocabulary if shape else None,
        "dtype": found.dtype,
        "shape": plain(shape),
        "shape_problem": found.shape_problem,
        "stored": [plain(row) for row in found.stored],
        "stored_bytes": found.stored_bytes,
        "tokenizer": plain(found.tokenizer),
        "chat_template": {
            "sha256": template.sha256,
            "characters": template.characters,
            "found_in": template.found_in,
            "literals": plain(template.literals),
            "differences": plain(found.template_differences),
        }
        if template
        else None,
        "licence": plain(found.licence),
        "files": [plain(entry) for entry in found.files],
        "notes": list(found.notes),
    }
