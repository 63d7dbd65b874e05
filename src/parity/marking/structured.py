"""Marks JSON that was written: whether it is JSON, and valid by a JSON Schema (2020-12, with jsonschema, extra
`marking`).

The JSON of an answer is its last fenced block, or all of it. Refuses to mend it.
"""

import json
from importlib.util import find_spec

from parity.core.scores import Score
from parity.errors import DataError
from parity.marking.code import fenced_blocks


def check_available() -> None:
    """Raises DataError when jsonschema is not installed: better said before a model is asked."""
    if find_spec("jsonschema") is None:
        raise DataError(
            "Marking by JSON Schema needs jsonschema, which is not installed.",
            "Install it with: pip install 'parity-llm[marking]'",
        )


def schema_problem(schema: str) -> str:
    """What is wrong with a schema; empty when nothing is."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except ValueError as error:
        return f"is not JSON: {error}"
    except SchemaError as error:
        return f"is no JSON Schema: {error.message}"
    return ""


def mark_json(text: str, schemas: tuple[str, ...]) -> Score:
    """Score 1 when an answer's JSON is valid by one of the schemas; what is no JSON is wrong and `outside`.

    >>> mark_json('Sure:\\n```json\\n{"a": 1}\\n```', ('{"required": ["a"]}',)).value
    1.0
    """
    from jsonschema import Draft202012Validator

    blocks = [code for language, code in fenced_blocks(text) if language in ("", "json")]
    try:
        value = json.loads(blocks[-1] if blocks else text)
    except (ValueError, RecursionError):
        return Score(0.0, text.strip()[:80], outside=True)
    problems = [next(Draft202012Validator(json.loads(schema)).iter_errors(value), None) for schema in schemas]
    broken = [problem.message for problem in problems if problem is not None]
    if len(broken) < len(problems):
        return Score(1.0, json.dumps(value, ensure_ascii=False)[:200])
    return Score(0.0, broken[0][:200])
