"""Specs that people write as TOML, read into a frozen dataclass: all that is wrong is said at once."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from parity.errors import DataError, did_you_mean, listed
from parity.files import read_text

Spec = TypeVar("Spec")


def read_toml(path: Path, spec: type[Spec], what: str) -> Spec:
    """The spec in a TOML file. `spec` is a pydantic dataclass that forbids extra keys; `what` names it for people.

    Raises:
        DataError: the file is missing or not TOML, has an unknown key, lacks one, or holds one of another type.
    """
    text = read_text(path, what, DataError)
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(
            f"{path} is not TOML: {error}.", "Text in TOML stands in quotes; see docs/benchmarks.md and docs/price.md."
        ) from error
    try:
        return TypeAdapter(spec).validate_python(entries)
    except ValidationError as error:
        problems = [_problem(spec, entries, found) for found in error.errors(include_url=False)]
        raise DataError(f"{path} is no {what}:\n{listed(problems)}", "Mend all of these and run it again.") from error


def _problem(spec: Any, entries: dict[str, Any], found: Any) -> str:
    *parents, last = found["loc"]
    key = ".".join(map(str, found["loc"]))
    if found["type"] == "unexpected_keyword_argument":
        for parent in parents:
            # A position in a list of tables leads to what the list holds.
            spec = get_args(spec)[0] if isinstance(parent, int) else spec.__dataclass_fields__[parent].type
        return f"unknown key {key!r}. {did_you_mean(str(last), list(spec.__dataclass_fields__))}"
    if found["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"the key {key!r} is missing"
    return f"{key} = {found['input']!r}: {found['msg'].lower()}"
