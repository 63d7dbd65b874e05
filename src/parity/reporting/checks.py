"""What was found wrong in a GGUF file, drawn for people."""

from parity.core.checked import Checked
from parity.reporting.page import Heading, Page, Sentence, Table, percent


def checked_page(found: Checked) -> Page:
    """The first failing hop first, then all problems, then how outputs agree."""
    blocks: list[Heading | Sentence | Table] = []
    if found.first is None:
        blocks.append(Sentence("Every hop holds: the file is the model it was made from.", "green"))
    else:
        first = found.first
        blocks.append(Sentence(f"It first fails at the {first.hop}: {first.cause}. {first.seen}.", "bold red"))
        rows = tuple((problem.hop, problem.cause, problem.seen) for problem in found.problems)
        blocks += [Heading("Problems"), Table(("hop", "cause", "seen"), rows)]
    if found.outputs is not None:
        out = found.outputs
        table = Table(
            ("outputs", "value"),
            (
                ("positions", str(out.positions)),
                ("mean divergence, nats", f"{out.kl_mean:.2g}"),
                ("largest divergence, nats", f"{out.kl_max:.2g}"),
                ("top-1 flips", percent(out.flips)),
                ("perplexity, file / folder", f"{out.perplexity_ratio:.4f}"),
                ("texts with every greedy token equal", percent(out.greedy_equal)),
            ),
        )
        blocks += [Heading("Outputs"), table]
    return Page(f"{found.file} against {found.base}", tuple(blocks))
