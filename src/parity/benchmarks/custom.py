"""Benchmarks of your own: items in a JSONL or CSV file, described by a few lines of TOML.

    name = "refunds"
    items = "refunds.csv"          # beside this file; columns question, answer, and options for a choice
    mark = "letter"                # choice | letter | exact | numeric | regex

`choice` compares log-likelihoods: of the letters when the prompt shows the options, of the options' texts when it does
not. `letter` reads the letter a model writes. Items with options offer both, so that an API can be asked the one and
weights either; they are never compared with each other. `code` runs what is written against tests (the answer), `sql`
compares what a query returns with what the right one does on the `database`; both in the sandbox. `json` validates what
is written by the JSON Schema in the answer column, or in `schema`. `judge` makes grading prompts of answers that
exist (see `parity.benchmarks.judging`). `open` only has answers written, which `parity judge` compares. Everything else
a spec may say is in `custom_spec`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from parity.benchmarks.base import Benchmark, Protocol, read_letter, spaced_letters
from parity.benchmarks.custom_spec import SLOT, CustomSpec, check_pin, check_spec
from parity.benchmarks.judge_styles import Pair
from parity.benchmarks.judging import pairwise_benchmark
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.errors import DataError, listed
from parity.files import read_text
from parity.files.specs import read_toml
from parity.files.tables import ID_COLUMNS, Table, check_ids, read_table
from parity.marking import exact, numeric, pattern
from parity.marking.checks import Reading, shared_sandbox
from parity.marking.code import read_program
from parity.marking.sql import read_query
from parity.marking.structured import check_available, mark_json, schema_problem

Row = Mapping[str, str | None]
Read = TypeVar("Read")


def load(path: Path) -> Benchmark:
    """The benchmark that a TOML file describes.

    Raises:
        DataError: the spec or its items are malformed (all problems listed), or the file is not the pinned one.
    """
    spec = read_toml(path, CustomSpec, "description of a benchmark")
    source = path.parent / spec.items.expanduser()
    table = read_table(source)
    check_pin(spec, source)
    check_spec(spec, path, table)
    rows = _numbered(table, spec)
    if spec.mark == "judge":
        return pairwise_benchmark(spec.name, _each(spec, source, rows, _pair), spec.columns.tags)
    items = _each(_with_schema(spec, path), source, rows, _item)
    shots = _shots(spec, path)
    by_id = {item.id: row for item, (_, row) in zip(items, rows, strict=True)}

    def prompt(item: Item) -> TextPrompt:
        # Options stand as the item has them, which is not always as the file does.
        return TextPrompt(_rendered(spec, by_id[item.id], item), shots=shots)

    script = read_text(path.parent / spec.database.expanduser(), "database", DataError) if spec.database else ""
    protocols = _protocols(spec, prompt, script)
    return Benchmark(spec.name, spec.version, tuple(items), protocols, spec.mark, spec.columns.tags)


def _pair(spec: CustomSpec, item_id: str, row: Row) -> Pair:
    """A row as two answers for a judge: `answer` is the candidate's, `baseline` the other's.

    Raises:
        ValueError: there is no message, or no answer at all.
    """
    columns = spec.columns
    tags = tuple(Tag(kind, value) for kind in columns.tags if (value := row[kind]))
    message, ours, theirs = (row[name] or "" for name in (columns.question, columns.answer, columns.baseline))
    if not message.strip():
        raise ValueError(f"{columns.question!r} is empty")
    if not (ours.strip() or theirs.strip()):
        raise ValueError(f"{columns.answer!r} and {columns.baseline!r} are both empty")
    return Pair(item_id, message, ours, theirs, tags=tags)


def _with_schema(spec: CustomSpec, path: Path) -> CustomSpec:
    """The spec, its schema checked and read from beside it."""
    if spec.mark != "json":
        return spec
    check_available()
    return replace(spec, schema=path.parent / spec.schema) if spec.schema else spec


def _protocols(spec: CustomSpec, prompt: Callable[[Item], TextPrompt], script: str) -> dict[str, Protocol]:
    told = (spec.template, spec.mark, spec.rule, *([script] if script else []))
    version = f"{spec.version}/{digest(told)[:8]}"

    if not spec.has_options:
        if spec.is_run:
            shared_sandbox()
        sampling = Sampling(spec.max_tokens, stop=() if spec.is_long and spec.stop == ("\n",) else spec.stop)
        read = None if spec.mark == "open" else partial(_read, spec, script)
        return {spec.mark: Protocol(spec.mark, version, prompt, sampling=sampling, read=read)}
    shown = "{options}" in spec.template
    protocols = {"choice": Protocol("choice", version, prompt, spaced_letters if shown else _texts)}
    if shown:
        sampling = Sampling(min(spec.max_tokens, 8), stop=spec.stop)
        protocols["letter"] = Protocol("letter", version, prompt, sampling=sampling, read=read_letter)
    return protocols


def _read(spec: CustomSpec, script: str, text: str, item: Item) -> Reading:
    rule = spec.rule
    if spec.mark == "code":
        return read_program(text, item.targets)
    if spec.mark == "json":
        return mark_json(text, item.targets)
    if spec.mark == "sql":
        return read_query(text, item.targets, script)
    if spec.mark == "numeric":
        return numeric(text, item.targets, rule.tolerance)
    if spec.mark == "regex":
        assert rule.pattern is not None
        return pattern(text, item.targets, rule.pattern, rule.ignore_case)
    return exact(text, item.targets, rule.ignore_case)


def _texts(item: Item) -> tuple[str, ...]:
    return tuple(f" {option}" for option in item.options)


def _numbered(table: Table, spec: CustomSpec) -> list[tuple[str, Row]]:
    """Every row with its id: of the column named, of a usual id column, or its number from 1."""
    if spec.columns.id:
        ids = [row[spec.columns.id] or "" for row in table.rows]
        check_ids(ids, str(table.path))
    elif set(ID_COLUMNS) & set(table.columns):
        ids = table.item_ids()
    else:
        ids = [str(number) for number in range(1, len(table.rows) + 1)]
    return list(zip(ids, table.rows, strict=True))


def _each(
    spec: CustomSpec, source: Path, rows: list[tuple[str, Row]], read: Callable[[CustomSpec, str, Row], Read]
) -> list[Read]:
    """Every row read.

    Raises:
        DataError: rows that cannot be, the first ten of them said.
    """
    items, problems = [], []
    for item_id, row in rows:
        try:
            items.append(read(spec, item_id, row))
        except ValueError as error:
            problems.append(f"item {item_id}: {error}")
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise DataError(f"{source}:\n{listed(problems[:10] + more)}", "Mend the items, or leave them out.")
    return items


def _item(spec: CustomSpec, item_id: str, row: Row) -> Item:
    columns = spec.columns
    answers = _schemas(spec, row) if spec.mark == "json" else _list_or_one(row.get(columns.answer))
    if spec.mark != "open" and (not answers or not all(answers)):
        raise ValueError(f"{columns.answer!r} is empty")
    options = _options(spec, row) if spec.has_options else ()
    targets = tuple(_letter_of(answer, options) for answer in answers) if options else answers
    if spec.mark == "numeric":
        wrong = [target for target in targets if numeric(target, (target,)).value != 1]
        if wrong:
            raise ValueError(f"{columns.answer!r} is {wrong[0]!r}, which is no number")
    tags = tuple(Tag(kind, value) for kind in columns.tags if (value := row[kind]))
    return Item(item_id, row.get(columns.question) or "", targets, options, tags)


def _schemas(spec: CustomSpec, row: Row) -> tuple[str, ...]:
    """The JSON Schema of a row: of the file, or of its answer column.

    Raises:
        ValueError: it is none.
    """
    where = spec.schema
    schema = read_text(where, "JSON Schema", DataError) if where else row[spec.columns.answer] or ""
    if problem := schema_problem(schema):
        raise ValueError(f"its schema {problem}")
    return (schema,)


def _options(spec: CustomSpec, row: Row) -> tuple[str, ...]:
    named = spec.columns.options
    options = _list_or_one(row[named]) if isinstance(named, str) else tuple(row[name] or "" for name in named)
    if isinstance(named, str) and len(options) == 1:
        raise ValueError(f"{named!r} is {options[0][:40]!r}, which is no JSON list of options")
    options = tuple(option for option in options if option)
    if not 2 <= len(options) <= 26:
        raise ValueError(f"{len(options)} options; a choice has 2 to 26")
    if len(set(options)) < len(options):
        raise ValueError("two options are the same text")
    return options


def _letter_of(answer: str, options: tuple[str, ...]) -> str:
    """The letter of the right option, which a file may name by letter or by its text; the text goes first."""
    if answer in options:
        return chr(ord("A") + options.index(answer))
    if len(answer) == 1 and 0 <= ord(answer.upper()) - ord("A") < len(options):
        return answer.upper()
    raise ValueError(
        f"the answer {answer!r} is neither a letter up to {chr(ord('A') + len(options) - 1)} nor an option"
    )


def _list_or_one(cell: str | None) -> tuple[str, ...]:
    """A JSON list of texts, or the text itself."""
    if cell is None:
        return ()
    if cell.startswith("["):
        try:
            found = json.loads(cell)
        except ValueError:
            return (cell,)
        return tuple(entry if isinstance(entry, str) else json.dumps(entry) for entry in found)
    return (cell,)


def _rendered(spec: CustomSpec, row: Row, item: Item) -> str:
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(item.letters, item.options, strict=True))
    shown = {**row, "options": lines} if item.options else row
    return SLOT.sub(lambda slot: shown[slot.group(1)] or "", spec.template)


def _shots(spec: CustomSpec, path: Path) -> tuple[str, ...]:
    """Worked examples as they stand before every question: prompt, answer, an empty line."""
    if spec.shots is None:
        return ()
    source = path.parent / spec.shots.expanduser()
    table = read_table(source)
    check_spec(spec, source, table)
    rows = _numbered(table, spec)
    items = _each(spec, source, rows, _item)
    answers = [_shown_answer(spec, item) for item in items]
    return tuple(
        f"{_rendered(spec, row, item)} {answer}\n\n"
        for item, answer, (_, row) in zip(items, answers, rows, strict=True)
    )


def _shown_answer(spec: CustomSpec, item: Item) -> str:
    if item.options and "{options}" not in spec.template:
        return item.options[item.letters.index(item.targets[0])]
    return item.targets[0]
