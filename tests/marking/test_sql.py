"""Queries are marked by what they return: order, duplicates, NULL and numbers, and real queries on real schemas."""

import gzip
import json

import pytest

from parity.marking.checks import mark_all
from parity.marking.sandbox import Sandbox
from parity.marking.sql import read_query, sql_case
from shared import needs_shared

SCRIPT = """
CREATE TABLE t (a INTEGER, b TEXT, c REAL);
INSERT INTO t VALUES (1, 'x', 0.1), (2, 'y', 0.2), (2, NULL, 0.30000000000000004), (3, 'x', NULL);
"""


@pytest.mark.parametrize(
    ("gold", "query", "right"),
    [
        ("SELECT a FROM t", "SELECT a FROM t ORDER BY a DESC", True),  # no order was asked for
        ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY c)", "SELECT a FROM t", True),  # an inner order orders nothing
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t", False),  # duplicates count
        ("SELECT a FROM t WHERE b IS NULL", "SELECT 2", True),  # names of columns do not
        ("SELECT b FROM t WHERE a = 2", "SELECT b FROM t WHERE a = 2 AND b IS NOT NULL", False),  # NULL is a value
        ("SELECT NULL", "SELECT NULL", True),  # and equal to itself, as two results are compared
        ("SELECT NULL", "SELECT 0", False),
        ("SELECT NULL", "SELECT ''", False),
        ("SELECT 0.3", "SELECT c FROM t WHERE b IS NULL", True),  # to six digits
        ("SELECT 0.3", "SELECT 0.30001", False),
        ("SELECT 2", "SELECT 2.0", True),
        ("SELECT 2", "SELECT '2'", False),  # a number is no text
        ("SELECT a, b FROM t", "SELECT b, a FROM t", False),  # columns come in their order
        ("SELECT a FROM t WHERE a > 9", "SELECT b FROM t WHERE a > 9", True),  # nothing is nothing
        ("SELECT a FROM t", "SELECT a FROM nowhere", False),
        ("SELECT a FROM t", "DROP TABLE t", False),
        ("SELECT a FROM t", "SELECT a FROM t; DROP TABLE t", True),  # up to the first semicolon
        ("SELECT count(*) FROM t", "SELECT writefile('x', 'y')", False),
    ],
)
def test_what_makes_two_results_the_same(gold, query, right):
    marking = mark_all([read_query(query, (gold,), SCRIPT)])
    assert [mark.value for mark in marking.marks] == [float(right)]


def test_any_of_several_right_queries_will_do():
    marks = mark_all([read_query("SELECT b FROM t", ("SELECT a FROM t", "SELECT b FROM t"), SCRIPT)]).marks
    assert marks[0].value == 1.0
    assert mark_all([read_query("I do not know.", ("SELECT 1",), SCRIPT)]).marks[0].outside


def schemas():
    """A script that makes and fills the tables of each of Spider's databases; rows are made up."""
    described = json.loads(gzip.decompress(needs_shared("domain_sql", "spider_eval", "tables.json.gz").read_bytes()))
    return {base["db_id"]: "\n".join(_tables(base)) for base in described}


def _tables(base):
    columns = list(zip(base["column_names_original"], base["column_types"], strict=True))
    for number, table in enumerate(base["table_names_original"]):
        if table.startswith("sqlite_"):
            continue
        mine = [(name, kind) for (of, name), kind in columns if of == number]
        kinds = {"number": "INTEGER", "boolean": "INTEGER"}
        named = ", ".join(f'"{name}" {kinds.get(kind, "TEXT")}' for name, kind in mine)
        yield f'CREATE TABLE "{table}" ({named});'
        for row in range(5):
            found = (str((row * 3 + at) % 4) if kind in kinds else f"'v{(row + at) % 3}'"
                     for at, (_, kind) in enumerate(mine))  # fmt: skip
            yield f'INSERT INTO "{table}" VALUES ({", ".join(found)});'


@pytest.mark.slow
def test_real_queries_pass_against_themselves_on_their_schemas():
    folder = needs_shared("domain_sql", "spider_eval", "gold.txt").parent
    lines = [line.split("\t") for line in (folder / "gold.txt").read_text().splitlines() if line.strip()]
    written = [line for line in (folder / "predict.txt").read_text().splitlines() if line.strip()]
    scripts = schemas()
    assert len(lines) == len(written)
    asked = [(gold, query, scripts[base.strip()]) for (gold, base), query in zip(lines, written, strict=True)][::6]
    with Sandbox() as sandbox:
        same = list(sandbox.check_all([sql_case(gold, gold, script) for gold, _, script in asked]))
        other = list(sandbox.check_all([sql_case(query, gold, script) for gold, query, script in asked]))
    assert [verdict.reason for verdict in same if not verdict.passed] == []
    # The predictions are of a real parser: some are right, some are not, and none is without a verdict.
    assert 0 < sum(verdict.passed for verdict in other) < len(asked)
    assert [verdict.reason for verdict in other if verdict.outcome.value == "no verdict"] == []
