"""A progress bar on stderr for jobs that take long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Unit = Literal["items", "bytes", "share"]


@contextmanager
def showing(
    enabled: bool = True, unit: Unit | Callable[[str], Unit] = "items"
) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function to call with (what, done, total); one bar for every `what`.

    A job of several kinds of work gives a function that says in which unit each of them counts.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), *_counts(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not enabled, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, unit=unit(what) if callable(unit) else unit)
            progress.update(tasks[what], completed=done, total=total)

        yield show


def _counts() -> "tuple[ProgressColumn, ...]":
    """How far a bar is: 3/7, per cent, or bytes and how fast they come, as its task says."""
    from rich.progress import DownloadColumn, MofNCompleteColumn, ProgressColumn, Task, TaskProgressColumn
    from rich.progress import TransferSpeedColumn as TransferSpeed
    from rich.text import Text

    class Count(ProgressColumn):
        by_unit: ClassVar[dict[Unit, ProgressColumn]] = {
            "items": MofNCompleteColumn(),
            "bytes": DownloadColumn(),
            "share": TaskProgressColumn(),
        }

        def render(self, task: Task) -> Text:
            return Text() + self.by_unit[task.fields["unit"]].render(task)

    class Speed(ProgressColumn):
        bytes = TransferSpeed()

        def render(self, task: Task) -> Text:
            return self.bytes.render(task) if task.fields["unit"] == "bytes" else Text()

    return Count(), Speed()
