"""A progress bar on stderr for jobs that take long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Unit = Literal["items", "bytes"]


@contextmanager
def showing(
    enabled: bool = True, unit: Unit = "items", in_bytes: Callable[[str], bool] | None = None
) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function to call with (what, done, total); one bar for every `what`.

    A job of several kinds of work says with `in_bytes` which of them count bytes; all others count items.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    counts_bytes = in_bytes or (lambda what: unit == "bytes")
    columns = (TextColumn("{task.description}"), BarColumn(), *_counts(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not enabled, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, bytes=counts_bytes(what))
            progress.update(tasks[what], completed=done, total=total)

        yield show


def _counts() -> "tuple[ProgressColumn, ...]":
    """How far a bar is: 3/7, or bytes and how fast they come, as its task says."""
    from rich.progress import DownloadColumn, MofNCompleteColumn, ProgressColumn, Task, TransferSpeedColumn
    from rich.text import Text

    class Count(ProgressColumn):
        items, bytes = MofNCompleteColumn(), DownloadColumn()

        def render(self, task: Task) -> Text:
            return (self.bytes if task.fields["bytes"] else self.items).render(task)

    class Speed(ProgressColumn):
        bytes = TransferSpeedColumn()

        def render(self, task: Task) -> Text:
            return self.bytes.render(task) if task.fields["bytes"] else Text()

    return Count(), Speed()
