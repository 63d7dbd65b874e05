"""Draws a page with rich."""

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from parity.reporting.page import Figure, Heading, Page, Sentence, Table

# Where no terminal says how wide it is (a pipe, a file), tables of run ids and long names still fit.
PIPE_COLUMNS = 110


def screen() -> Console:
    """The console results are drawn on: stdout, as wide as the terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def draw(page: Page, console: Console) -> None:
    console.print(Text(page.title, style="bold"))
    for block in page.blocks:
        console.print()
        match block:
            case Heading(text):
                console.print(Text(text, style="bold"))
            case Sentence(text, tone):
                console.print(Text(text, style=tone))
            case Table():
                console.print(_table(block))
            case Figure(lines):
                for line in lines:
                    console.print(Text(line), no_wrap=True, crop=False)


def _table(block: Table) -> RichTable:
    table = RichTable(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(block.columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
