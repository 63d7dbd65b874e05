"""`parity demo`: what Parity does, on an embedded default: no network, no key, no GPU."""

from pathlib import Path


def demo(
    *,
    folder: Path = Path("parity-demo"),
    recorded: bool = False,
) -> int:
    """Show the real gap between open models and APIs from recorded answers, then measure a tiny model live.

    Parameters
    ----------
    folder
        Where the chart, the pages and the live workspace are written.
    recorded
        Only the recorded part, which needs no torch.
    """
    from parity.cli.progress import showing
    from parity.files import write_atomic
    from parity.reporting.demo import LIVE, demo_page, subject_svg
    from parity.reporting.markdown import write
    from parity.reporting.measurements import measurement_page
    from parity.reporting.terminal import draw, screen
    from parity.workflows.demo import live, recorded_gaps

    console = screen()
    gaps = recorded_gaps()
    shown = gaps[1]
    page = demo_page(gaps, shown)
    draw(page, console)
    written = [
        write_atomic(folder / "recorded.md", write(page)),
        write_atomic(folder / "subjects.svg", subject_svg(shown)),
    ]
    if not recorded:
        with showing() as progress:
            found = live(folder, progress)
        page = measurement_page(found)
        console.rule()
        console.print(LIVE + "\n")
        draw(page, console)
        written.append(write_atomic(folder / "live.md", write(page)))
    console.print("\nWritten: " + ", ".join(map(str, written)))
    return 0
