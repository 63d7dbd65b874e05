"""What the TOML file of a benchmark of your own may say, and what is wrong with it.

Knows keys, and columns by name. Refuses to know what stands in the rows: that is `custom`.
"""

import re
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from parity.errors import DataError, did_you_mean, listed
from parity.files import digest_file
from parity.files.tables import Table

SLOT = re.compile(r"\{(\w+)\}")
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Columns:
    """Which column holds what. `options` is one column with a JSON list, or a list of columns, one an option."""

    id: str | None = None
    question: str = "question"
    answer: str = "answer"
    baseline: str = "baseline"
    options: str | tuple[str, ...] = "options"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, config=_STRICT)
class Rule:
    """How a written answer is read: `pattern` for regex (its first group is the answer), `tolerance` for numeric."""

    pattern: str | None = None
    tolerance: NonNegativeFloat = 0.0
    ignore_case: bool = False


@dataclass(frozen=True, slots=True, config=_STRICT)
class CustomSpec:
    """The TOML file. `prompt` names columns in braces, and `{options}`; `shots` is a file of worked examples."""

    name: str
    items: Path
    mark: Literal["choice", "letter", "exact", "numeric", "regex", "code", "sql", "json", "judge", "open"]
    version: str = "1"
    prompt: str | None = None
    shots: Path | None = None
    max_tokens: PositiveInt = 64
    stop: tuple[str, ...] = ("\n",)
    sha256: str | None = None
    database: Path | None = None
    schema: Path | None = None
    columns: Columns = field(default_factory=Columns)
    rule: Rule = field(default_factory=Rule)

    @property
    def has_options(self) -> bool:
        return self.mark in ("choice", "letter")

    @property
    def is_run(self) -> bool:
        """Whether answers are programs, which are run."""
        return self.mark in ("code", "sql")

    @property
    def is_long(self) -> bool:
        """Whether answers end with more than a line."""
        return self.is_run or self.mark in ("json", "open")

    @property
    def template(self) -> str:
        return self.prompt or ("{question}\n{options}\nAnswer:" if self.has_options else "{question}\nAnswer:").replace(
            "{question}", f"{{{self.columns.question}}}"
        )


def check_pin(spec: CustomSpec, source: Path) -> None:
    """Raises DataError when the items are not the file that the spec pins."""
    if spec.sha256 is None:
        return
    found = digest_file(source)
    if found != spec.sha256.lower():
        raise DataError(
            f"{source} has SHA-256 {found}, the spec pins {spec.sha256}.",
            "Restore the file, or change sha256 (and version) if the new items are meant.",
        )


def check_spec(spec: CustomSpec, path: Path, table: Table) -> None:
    """What the keys say together, and against the columns of the items.

    Raises:
        DataError: with everything that does not fit.
    """
    options = spec.columns.options if isinstance(spec.columns.options, tuple) else (spec.columns.options,)
    unlisted = "options" in options and "options" not in table.columns
    rules = (
        (not spec.name.strip(), "name is empty"),
        (
            spec.has_options and unlisted,
            "a choice needs options: a column 'options' with a JSON list, or columns.options = [...]",
        ),
        (
            spec.mark == "letter" and "{options}" not in spec.template,
            "mark = 'letter' needs {options} in the prompt, or the model cannot know the letters",
        ),
        (spec.schema is not None and spec.mark != "json", "schema goes with mark = 'json'"),
        (
            (spec.mark == "sql") is not (spec.database is not None),
            "mark = 'sql' needs database, a file of SQL that builds it; no other mark has one",
        ),
    )
    problems = [
        f"the items have no column {name!r}. {did_you_mean(name, list(table.columns))}"
        for name in _named_columns(spec, table, options)
        if name not in table.columns and not (name == "options" and spec.has_options)
    ]
    problems += [problem for broken, problem in rules if broken]
    if spec.mark == "regex":
        problems += _pattern_problems(spec.rule.pattern)
    if problems:
        raise DataError(f"{path}:\n{listed(problems)}", "Mend all of these and run it again.")


def _named_columns(spec: CustomSpec, table: Table, options: tuple[str, ...]) -> list[str]:
    """Every column that the spec names, each once."""
    columns = spec.columns
    needless = spec.schema or (spec.mark == "open" and columns.answer not in table.columns)
    named = [*SLOT.findall(spec.template), *([] if needless else [columns.answer])]
    named += [*([columns.baseline] if spec.mark == "judge" else []), *columns.tags]
    named += [*([columns.id] if columns.id else []), *(options if spec.has_options else ())]
    return list(dict.fromkeys(named))


def _pattern_problems(expression: str | None) -> list[str]:
    if expression is None:
        return ["mark = 'regex' needs rule.pattern"]
    try:
        re.compile(expression)
    except re.error as error:
        return [f"rule.pattern {expression!r} is not a regular expression: {error}"]
    return []
