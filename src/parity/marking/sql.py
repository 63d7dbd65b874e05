"""Marks SQL by what it returns: the query and the right one are run on the same sqlite database, built from a script.

The written query runs in the sandbox, the right one beside the comparison. Rows are compared as a multiset, in order
where the right query orders its own; numbers to six digits after the point; names of columns do not count.
"""

import re

from parity.core.scores import Score
from parity.marking.checks import Check, Reading
from parity.marking.code import fenced_blocks
from parity.marking.sandbox import Case

_QUERY = re.compile(r"^\s*(?:select|with|values)\b", re.I | re.M)
_ORDERS = re.compile(r"\border\s+by\b(?![^()]*\))", re.I)
_PROGRAM = """
import sqlite3
def answer(script):
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    return connection.execute({query!r}).fetchall()
"""
_TEST = """
import sqlite3
from collections import Counter
def rows(found):
    return [tuple(round(cell, 6) if type(cell) is float else cell for cell in row) for row in found]
connection = sqlite3.connect(":memory:")
connection.executescript({script!r})
right, got = rows(connection.execute({gold!r}).fetchall()), rows(answer({script!r}))
assert got == right if {ordered} else Counter(got) == Counter(right)
"""


def sql_case(query: str, gold: str, script: str) -> Case:
    """The check of a query against the right one on the database that `script` builds."""
    test = _TEST.format(script=script, gold=gold, ordered=bool(_ORDERS.search(gold)))
    return Case(_PROGRAM.format(query=query), test, "answer")


def query_of_answer(text: str) -> str | None:
    """The query of an answer: of its last fenced block, or from the first line that begins one, up to the semicolon."""
    blocks = [code for language, code in fenced_blocks(text) if language in ("", "sql", "sqlite")]
    found = blocks[-1] if blocks else text
    begins = _QUERY.search(found)
    return found[begins.start() :].strip().partition(";")[0] if begins else None


def read_query(text: str, targets: tuple[str, ...], script: str) -> Reading:
    """The query of an answer, to be compared with each of the right ones; any of them will do."""
    query = query_of_answer(text)
    if query is None:
        return Score(0.0, text.strip()[:80], outside=True)
    return Check(tuple(sql_case(query, gold, script) for gold in targets))
