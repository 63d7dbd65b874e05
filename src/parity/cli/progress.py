"""A progress bar on stderr for jobs that take long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal


@contextmanager
def showing(
    enabled: bool = True, unit: Literal["items", "bytes", "share"] = "items"
) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function to call with (what, done, total); one bar for every `what`.

    With "share" the bars may count different things, and show per cent.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts: dict[str, list[ProgressColumn]] = {
        "items": [MofNCompleteColumn()],
        "bytes": [DownloadColumn(), TransferSpeedColumn()],
        "share": [TaskProgressColumn()],
    }
    columns = (TextColumn("{task.description}"), BarColumn(), *counts[unit], TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not enabled, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield show
