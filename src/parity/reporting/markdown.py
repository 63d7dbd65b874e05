"""Writes a page as Markdown."""

from parity.reporting.page import Figure, Heading, Page, Sentence, Table


def write(page: Page) -> str:
    pieces = [f"# {page.title}"]
    for block in page.blocks:
        match block:
            case Heading(text):
                pieces.append(f"## {text}")
            case Sentence(text, _):
                pieces.append(text)
            case Table():
                pieces.append(_table(block))
            case Figure(lines):
                pieces.append("\n".join(("```text", *lines, "```")))
    return "\n\n".join(pieces) + "\n"


def _table(block: Table) -> str:
    ruler = ("---", *("---:" for _ in block.columns[1:]))
    return "\n".join(
        "| " + " | ".join(_cell(cell) for cell in row) + " |" for row in (block.columns, ruler, *block.rows)
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
