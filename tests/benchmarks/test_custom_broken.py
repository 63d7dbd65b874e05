"""Broken descriptions of benchmarks, as people write them: what is wrong is said in words, never a traceback."""

import pytest

from parity.cli import main

GOOD = '{"id": "a", "question": "Q?", "answer": "x"}\n'
HEAD = 'name = "n"\nitems = "i.jsonl"\n'
CHOICE = '{"id": "a", "question": "Q", "answer": %s, "options": %s}\n'
BROKEN = {
    "no TOML": ("name = n", GOOD, "b.toml is not TOML"),
    "keys missing": ('name = "n"\n', GOOD, "the key 'items' is missing"),
    "unknown key": (HEAD + 'mark = "exact"\npromt = "x"', GOOD, "unknown key 'promt'. Did you mean 'prompt'?"),
    "unknown mark": (HEAD + 'mark = "exakt"', GOOD, "'exakt': input should be 'choice'"),
    "empty name": ('name = " "\nitems = "i.jsonl"\nmark = "exact"', GOOD, "name is empty"),
    "no such items": ('name = "n"\nitems = "gone.jsonl"\nmark = "exact"', GOOD, "There is no file"),
    "items are a folder": ('name = "n"\nitems = "."\nmark = "exact"', GOOD, "Is a directory"),
    "no such column": (HEAD + 'mark = "exact"\nprompt = "{frage}"', GOOD, "no column 'frage'"),
    "no options": (HEAD + 'mark = "choice"', GOOD, "a choice needs options"),
    "letters unseen": (HEAD + 'mark = "letter"\nprompt = "{question}"', CHOICE % ('"A"', '["x", "y"]'), "{options} in"),
    "pattern": (HEAD + 'mark = "regex"\n[rule]\npattern = "("', GOOD, "is not a regular expression"),
    "no pattern": (HEAD + 'mark = "regex"', GOOD, "needs rule.pattern"),
    "no database": (HEAD + 'mark = "sql"', GOOD, "mark = 'sql' needs database"),
    "lost database": (HEAD + 'mark = "sql"\ndatabase = "d.sql"', GOOD, "There is no database"),
    "lost shots": (HEAD + 'mark = "exact"\nshots = "s.jsonl"', GOOD, "There is no file"),
    "tokens": (HEAD + 'mark = "exact"\nmax_tokens = -1', GOOD, "max_tokens = -1"),
    "pin": (HEAD + 'mark = "exact"\nsha256 = "00"', GOOD, "the spec pins 00"),
    "half a line": (HEAD + 'mark = "exact"', GOOD + '{"id":', "line 2, is not JSON"),
    "a list": (HEAD + 'mark = "exact"', "[1, 2]\n", "line 1, is not a JSON object"),
    "id twice": (HEAD + 'mark = "exact"', GOOD * 2, "id 'a' is in rows 1 and 2"),
    "empty answer": (HEAD + 'mark = "exact"', GOOD.replace('"x"', '""'), "item a: 'answer' is empty"),
    "no number": (HEAD + 'mark = "numeric"', GOOD, "'x', which is no number"),
    "no items": (HEAD + 'mark = "exact"', "", "has no rows"),
    "no option": (HEAD + 'mark = "choice"', CHOICE % ('"z"', '["x", "y"]'), "neither a letter up to B nor an option"),
    "one option": (HEAD + 'mark = "choice"', CHOICE % ('"x"', '"[x"'), "no JSON list of options"),
    "options alike": (HEAD + 'mark = "choice"', CHOICE % ('"x"', '["x", "x"]'), "two options are the same"),
    "no baseline": (HEAD + 'mark = "judge"', GOOD, "no column 'baseline'"),
    "nothing to judge": (
        HEAD + 'mark = "judge"',
        GOOD.replace('"x"', '"", "baseline": " "'),
        "item a: 'answer' and 'baseline' are both empty",
    ),
    "nothing asked": (
        HEAD + 'mark = "judge"',
        GOOD.replace('"Q?"', '""').replace('"x"', '"x", "baseline": "y"'),
        "item a: 'question' is empty",
    ),
    "schema": (HEAD + 'mark = "json"', GOOD.replace('"x"', '"{"'), "its schema is not JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said(name, tmp_path, capsys):
    spec, items, wanted = BROKEN[name]
    (tmp_path / "b.toml").write_text(spec + "\n")
    (tmp_path / "i.jsonl").write_text(items)
    assert main(["benchmarks", "check", str(tmp_path / "b.toml")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert wanted in said
    assert said.startswith("error: ")
    assert said[-1] == "."
