"""What was found wrong in a GGUF file, and what every hop lost, drawn for people; and its JSON."""

from dataclasses import asdict

from parity.core.checked import Checked, Conversations, Hop
from parity.core.digests import Plain, plain
from parity.reporting.gaps import TONES, gap_json, verdict_sentences
from parity.reporting.page import Block, Heading, Page, Sentence, Table, percent

_HOPS = {"merged": "merge", "gguf": "conversion to GGUF", "quantized": "quantizing", "chat": "answering"}


def checked_page(found: Checked) -> Page:
    """The first failing hop first, then all problems, what each hop lost, conversations and the task."""
    blocks: list[Block] = []
    if found.first is None:
        blocks.append(Sentence("Every hop holds: the file is the model it was made from.", "green"))
    else:
        first = found.first
        blocks.append(
            Sentence(f"First lost at {_HOPS[first.hop]}, {first.aspect}: {first.cause}. {first.seen}.", "bold red")
        )
        rows = tuple((_HOPS[one.hop], one.aspect, one.cause, one.seen) for one in found.problems)
        blocks += [Heading("Problems"), Table(("hop", "compared", "cause", "seen"), rows)]
    blocks += [Heading("What each hop loses"), _losses(found.hops)]
    blocks += [Sentence(f"{_HOPS[hop.name].capitalize()}: {hop.note}.", "yellow") for hop in found.hops if hop.note]
    if found.conversations is not None:
        blocks += _conversations(found.conversations)
    if found.task is not None:
        gap = found.task.gap
        tone = TONES.get(gap.verdict, "yellow") if gap.verdict else ""
        blocks.append(Heading(f"Task: {found.task.benchmark}"))
        blocks += [Sentence(line, tone) for line in verdict_sentences(gap, "The file", "what it was made from")]
    return Page(f"{found.file} against {found.base}", tuple(blocks))


def checked_json(found: Checked) -> dict[str, Plain]:
    """Everything found, with the keys other tools read; shares are fractions."""
    task = found.task and {"benchmark": found.task.benchmark, **gap_json(found.task.gap)}
    fields = {**asdict(found), "first": asdict(found.first) if found.first else None, "task": task}
    return {key: plain(value) for key, value in fields.items()}


def _losses(hops: tuple[Hop, ...]) -> Table:
    columns = ("", "KL mean", "KL max", "top-1 flips", "perplexity", "greedy equal", "near-ties", "kept")
    rows = []
    for hop in hops:
        out, on = hop.outputs, hop.continued
        if out is None or on is None:
            continue
        rows.append(
            (
                _HOPS[hop.name], f"{out.kl_mean:.2g}", f"{out.kl_max:.2g}", percent(out.flips),
                f"x {out.perplexity_ratio:.4f}", f"{on.equal} of {on.prompts}", str(on.near_ties), percent(on.kept),
            )
        )  # fmt: skip
    return Table(columns, tuple(rows))


def _conversations(found: Conversations) -> list[Block]:
    said = (
        f"{found.equal} of {found.count} are the same through the folder's template, the engine and llama.cpp's "
        f"server; {found.answers_equal} of {found.answers} greedy answers are what the file computes from the "
        "folder's ids."
    )
    blocks: list[Block] = [Heading("Conversations"), Sentence(said)]
    if found.differences:
        rows = tuple((one.conversation, one.ours, one.theirs) for one in found.differences)
        blocks.append(Table(("conversation", "here", "llama.cpp's server"), rows))
    return blocks
