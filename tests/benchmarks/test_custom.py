"""Benchmarks of one's own: every rule marks as it says, and what is wrong with a file is said at once."""

import csv
import json
from hashlib import sha256

import pytest

from parity.benchmarks.catalog import open_benchmark
from parity.core.items import Tag
from parity.core.outputs import Generation, Loglikelihoods
from parity.core.prompts import Generate, Loglikelihood
from parity.core.scores import Score
from parity.errors import DataError, UsageError

CHOICE = [
    {"id": "a", "question": "Red?", "options": ["yes", "no"], "answer": "no", "topic": "colour"},
    {"id": "b", "question": "Two?", "options": ["one", "two", "three"], "answer": "B", "topic": "number"},
]


@pytest.fixture
def bench(tmp_path):
    def make(rows, toml, name="items.jsonl"):
        if isinstance(rows, str):
            (tmp_path / name).write_text(rows)
        else:
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        path = tmp_path / "bench.toml"
        path.write_text(f'name = "mine"\nitems = "{name}"\n{toml}')
        return str(path)

    return make


def marked(benchmark, at, text):
    protocol = benchmark.protocol(None)
    return protocol.mark(benchmark.items[at], Generation(text, "stop"))


def test_a_choice_offers_log_likelihood_and_letter(bench):
    benchmark = open_benchmark(bench(CHOICE, 'mark = "choice"\n[columns]\ntags = ["topic"]'))
    assert [item.targets for item in benchmark.items] == [("B",), ("B",)]
    request = benchmark.protocol(None).request(benchmark.items[1])
    assert isinstance(request, Loglikelihood)
    assert request.prompt.text == "Two?\nA. one\nB. two\nC. three\nAnswer:"
    assert request.continuations == (" A", " B", " C")
    mark = benchmark.protocol(None).mark(benchmark.items[1], Loglikelihoods((-2.0, -1.0, -3.0), (1, 1, 1)))
    assert mark == Score(1.0, "B")
    assert isinstance(benchmark.protocol("letter").request(benchmark.items[0]), Generate)
    assert benchmark.only((Tag("topic", "colour"),)).items == benchmark.items[:1]


def test_a_prompt_without_options_compares_their_texts(bench):
    benchmark = open_benchmark(bench(CHOICE, 'mark = "choice"\nprompt = "Q: {question}\\nA:"'))
    request = benchmark.protocol(None).request(benchmark.items[0])
    assert (request.prompt.text, request.continuations) == ("Q: Red?\nA:", (" yes", " no"))
    assert list(benchmark.protocols) == ["choice"]


def test_a_csv_with_options_in_columns_and_shots(bench, tmp_path):
    (tmp_path / "dev.csv").write_text("q,x,y,answer\nDo?,p,q,q\n")
    toml = 'mark = "letter"\nshots = "dev.csv"\n[columns]\nquestion = "q"\noptions = ["x", "y"]'
    benchmark = open_benchmark(bench("q,x,y,answer\nIs?,r,s,A\n", toml, "items.csv"))
    request = benchmark.protocol(None).request(benchmark.items[0])
    assert request.prompt.text == "Do?\nA. p\nB. q\nAnswer: B\n\nIs?\nA. r\nB. s\nAnswer:"
    assert benchmark.items[0].id == "1"
    assert marked(benchmark, 0, " A.").value == 1
    assert marked(benchmark, 0, " It is r").outside


def test_exact_numeric_and_regex(bench):
    rows = [{"id": "1", "question": "Sum?", "answer": ["12", "twelve"]}]
    assert marked(open_benchmark(bench(rows, 'mark = "exact"')), 0, " twelve\n").value == 1
    assert marked(open_benchmark(bench(rows, 'mark = "exact"')), 0, "Twelve").value == 0
    assert marked(open_benchmark(bench(rows, 'mark = "exact"\n[rule]\nignore_case = true')), 0, "Twelve").value == 1
    number = [{"id": "1", "question": "Sum?", "answer": 12.5}]
    assert marked(open_benchmark(bench(number, 'mark = "numeric"\n[rule]\ntolerance = 0.6')), 0, "about 13").value == 1
    assert marked(open_benchmark(bench(number, 'mark = "numeric"')), 0, "about 13").value == 0
    found = open_benchmark(bench(rows, "mark = \"regex\"\n[rule]\npattern = '####\\s*(\\S+)'"))
    assert marked(found, 0, "so #### 12").value == 1
    assert marked(found, 0, "so 12").outside


def test_what_decides_a_mark_decides_the_run(bench):
    rows = [{"id": "1", "question": "Sum?", "answer": "12"}]
    versions = {
        open_benchmark(bench(rows, toml)).protocol(None).version
        for toml in ('mark = "exact"', 'mark = "exact"\n[rule]\nignore_case = true', 'mark = "numeric"')
    }
    assert len(versions) == 3


def test_items_are_pinned_by_their_digest(bench, tmp_path):
    path = bench(CHOICE, 'mark = "choice"')
    pin = sha256((tmp_path / "items.jsonl").read_bytes()).hexdigest()
    assert open_benchmark(bench(CHOICE, f'mark = "choice"\nsha256 = "{pin}"')).items
    with pytest.raises(DataError, match="the spec pins"):
        open_benchmark(bench(CHOICE[:1], f'mark = "choice"\nsha256 = "{pin}"'))
    with pytest.raises(UsageError, match="Leave --data out"):
        open_benchmark(path, tmp_path)


ONE = [{"id": "1", "question": "Q", "answer": "A"}]


@pytest.mark.parametrize(
    ("rows", "toml", "messages"),
    [
        (ONE, 'mark = "exakt"\nmaxtokens = 3', ["'choice'", "unknown key 'maxtokens'", "'max_tokens'"]),
        (ONE, 'mark = "exact"\n[rule]\ntolerence = 1', ["unknown key 'rule.tolerence'", "'tolerance'"]),
        (ONE, 'mark = "exact"\nmax_tokens = 0', ["max_tokens = 0", "greater than 0"]),
        (ONE, "", ["the key 'mark' is missing"]),
        (ONE, "mark = exact", ["is not TOML"]),
        (ONE, 'mark = "exact"\nprompt = "{qestion}"', ["no column 'qestion'", "'question'"]),
        (ONE, 'mark = "choice"', ["options"]),
        (ONE, 'mark = "regex"', ["rule.pattern"]),
        (ONE, 'mark = "regex"\n[rule]\npattern = "("', ["not a regular expression"]),
        (ONE, 'mark = "numeric"', ["'A', which is no number"]),
        (ONE * 2, 'mark = "exact"', ["id '1' is in rows 1 and 2"]),
        ([{**CHOICE[0], "answer": "C"}], 'mark = "choice"', ["neither a letter up to B nor an option"]),
        ([{**CHOICE[0], "options": ["x", "x"]}], 'mark = "choice"', ["two options are the same"]),
        ([{**CHOICE[0], "options": ["x"]}], 'mark = "choice"', ["no JSON list of options"]),
    ],
)
def test_what_is_wrong_is_said(bench, rows, toml, messages):
    with pytest.raises(DataError) as caught:
        open_benchmark(bench(rows, toml))
    for message in messages:
        assert message in str(caught.value)


def test_a_missing_file_names_it(bench, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.toml"):
        open_benchmark(str(tmp_path / "nowhere.toml"))
    path = bench(CHOICE, 'mark = "choice"')
    (tmp_path / "items.jsonl").unlink()
    with pytest.raises(DataError, match=r"items\.jsonl"):
        open_benchmark(path)


def test_code_is_run_against_its_tests(tmp_path):
    path = described(tmp_path, 'mark = "code"\nmax_tokens = 400', ["add", "def add(a, b)", "assert add(1, 2) == 3"])
    found = open_benchmark(str(path))
    protocol = found.protocol(None)
    assert protocol.sampling.stop == ()
    answers = ["```python\ndef add(a, b):\n    return a + b\n```", "def add(a, b): return 4", "sorry"]
    assert [protocol.mark(found.items[0], Generation(text, "stop")).value for text in answers] == [1.0, 0.0, 0.0]


def test_sql_is_compared_by_what_it_returns(tmp_path):
    script = "create table t (a int, b text); insert into t values (1, 'x'), (2, 'y'), (2, 'z');"
    (tmp_path / "shop.sql").write_text(script)
    described(tmp_path, 'mark = "sql"\ndatabase = "shop.sql"', ["1", "which?", "select b from t where a = 2"])
    found = open_benchmark(str(tmp_path / "own.toml"))
    answers = {
        "```sql\nSELECT b FROM t WHERE a > 1 ORDER BY b DESC;\n```": 1.0,
        "SELECT t.b AS name FROM t WHERE a = 2": 1.0,
        "select b from t": 0.0,
        "select distinct a from t where a = 2": 0.0,
        "select b from t where": 0.0,
        "attach '/etc/passwd' as p; select 1": 0.0,
        "I do not know": 0.0,
    }
    marks = {text: found.protocol(None).mark(found.items[0], Generation(text, "stop")).value for text in answers}
    assert marks == answers
    described(tmp_path, 'mark = "sql"', ["1", "which?", "select 1"])
    with pytest.raises(DataError, match="needs database"):
        open_benchmark(str(tmp_path / "own.toml"))


def described(folder, keys, row):
    """A benchmark of one item with the columns id, question, answer."""
    with (folder / "own.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "question", "answer"], row])
    path = folder / "own.toml"
    path.write_text(f'name = "own"\nitems = "own.csv"\n{keys}\n')
    return path
