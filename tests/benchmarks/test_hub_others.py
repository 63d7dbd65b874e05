"""Every other benchmark with a hub source: fetched at its pinned commit from a look-alike, in the hub's own columns."""

import json

import pytest

from benchmarks.hub_lookalike import parquet_of, run_against, serving

LOAD = """
import json, sys
from parity.benchmarks.catalog import open_benchmark
from parity.errors import ParityError
for name in sys.argv[1:]:
    try:
        benchmark = open_benchmark(name)
        first = benchmark.items[0]
        print(json.dumps([name, len(benchmark.items), first.question, first.options, first.targets]))
    except ParityError as error:
        print(json.dumps([name, str(error)]))
"""
ARC = "allenai/ai2_arc/resolve/210d026faf9955653af8916fad021475a3f00453/ARC-"
GSM8K = "openai/gsm8k/resolve/740312add88f781978c0658806c59bc2815b9866/main/"
MMLU_PRO = "TIGER-Lab/MMLU-Pro/resolve/b189ec765aa7ed75c8acfea42df31fdae71f97be/data/"
TRUTHFUL = "truthfulqa/truthful_qa/resolve/741b8276f2d1982aa3d5b832d3ee81ed3b896490/"
FIRST = "-00000-of-00001.parquet"
TWO = {"text": ["one", "two"], "label": ["1", "2"]}
# Address on the hub: rows as they are there.
FILES = {
    f"{ARC}Challenge/test{FIRST}": [{"id": "a", "question": "Q?", "choices": TWO, "answerKey": "2"}],
    f"{ARC}Easy/test{FIRST}": [{"id": "a", "question": "E?", "choices": TWO, "answerKey": "1"}],
    f"Rowan/hellaswag/resolve/218ec52e09a7e7462a5400043bb9a69a41d06b76/data/validation{FIRST}": [
        {"activity_label": "Act", "ctx_a": "A man.", "ctx_b": "he", "endings": list("abcd"), "label": "3"}
    ],
    f"allenai/winogrande/resolve/01e74176c63542e6b0bcb004dcdea22d94fb67b5/winogrande_xl/validation{FIRST}": [
        {"sentence": "The _ was big.", "option1": "cup", "option2": "box", "answer": "2"}
    ],
    "baber/piqa/resolve/142f6d7367fd9877f0fb3b5734ea6a545f54cdd1/piqa_validation.parquet": [
        {"goal": "Open it", "sol1": "pull", "sol2": "push", "label": 1}
    ],
    f"aps/super_glue/resolve/3de24cf8022e94f4ee4b9d55a6f539891524d646/boolq/validation{FIRST}": [
        {"question": "is it", "passage": "It is.", "idx": 0, "label": 1}
    ],
    f"allenai/openbookqa/resolve/388097ea7776314e93a529163e0fea805b8a6454/main/test{FIRST}": [
        {"id": "o", "question_stem": "The sun", "choices": TWO, "answerKey": "2"}
    ],
    f"{TRUTHFUL}multiple_choice/validation{FIRST}": [
        {
            "question": "Why?",
            "mc1_targets": {"choices": ["so", "not"], "labels": [1, 0]},
            "mc2_targets": {"choices": ["so", "and so", "not"], "labels": [1, 1, 0]},
        }
    ],
    f"{GSM8K}test{FIRST}": [{"question": "1+1?", "answer": "It is 2.\n#### 2"}],
    f"{GSM8K}train{FIRST}": [{"question": f"{at}?", "answer": f"#### {at}"} for at in range(8)],
    "google/IFEval/resolve/966cd89545d6b6acfd7638bc708b98261ca58e84/ifeval_input_data.jsonl": [
        {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    ],
    "HuggingFaceH4/MATH-500/resolve/6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be/test.jsonl": [
        {"problem": "1/2?", "solution": "\\boxed{1}", "answer": "1", "subject": "Algebra", "level": 1, "unique_id": "m"}
    ],
}
# Name: what its one item is.
ITEMS = {
    "arc_challenge": ("Q?", ["one", "two"], ["B"]),
    "arc_easy": ("E?", ["one", "two"], ["A"]),
    "hellaswag": ("Act: A man. He", list("abcd"), ["D"]),
    "winogrande": ("The _ was big.", ["cup", "box"], ["B"]),
    "piqa": ("Open it", ["pull", "push"], ["B"]),
    "openbookqa": ("The sun", ["one", "two"], ["B"]),
    "truthfulqa_mc1": ("Why?", ["so", "not"], ["A"]),
    "truthfulqa_mc2": ("Why?", ["so", "and so", "not"], ["A", "B"]),
    "gsm8k": ("1+1?", [], ["It is 2.\n#### 2"]),
    "ifeval": ("No commas.", [], None),
    "math-500": ("1/2?", [], ["\\boxed{1}"]),
    "boolq": (None, ["no", "yes"], ["B"]),
}


def content(path, rows):
    if path.endswith(".parquet"):
        return parquet_of(rows)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture(scope="module")
def hub():
    with serving({f"/datasets/{path}": content(path, rows) for path, rows in FILES.items()}) as server:
        yield server


def loaded(done):
    assert done.returncode == 0, done.stderr
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


def test_hub_rows_become_items_at_the_pinned_commits(hub, tmp_path):
    found = loaded(run_against(hub, tmp_path, LOAD, *ITEMS))
    assert sorted(hub.served) == sorted(hub.files), "each file once, at its commit"
    for name, (question, options, targets) in ITEMS.items():
        count, *item = found[name]
        assert count == 1, name
        wanted = [question if question is not None else item[0], options, targets if targets is not None else item[2]]
        assert item == wanted, name
    again = loaded(run_against(hub, tmp_path, LOAD, *ITEMS, offline=True))
    assert again == found, "the hub's cache serves without a connection"
    assert len(hub.served) == len(hub.files)


def test_mmlu_pro_is_pinned_to_its_bytes(tmp_path):
    row = {
        "question_id": 1,
        "question": "Q?",
        "options": ["a", "b"],
        "answer": "B",
        "answer_index": 1,
        "category": "law",
    }
    files = {f"/datasets/{MMLU_PRO}{split}{FIRST}": parquet_of([row]) for split in ("test", "validation")}
    with serving(files) as hub:
        [message] = loaded(run_against(hub, tmp_path, LOAD, "mmlu-pro"))["mmlu-pro"]
    assert "the pinned file has 0e24a191921c" in message


def test_a_hub_without_the_file_says_what_to_do(tmp_path):
    with serving({}) as hub:
        [message] = loaded(run_against(hub, tmp_path, LOAD, "piqa"))["piqa"]
    assert "baber/piqa/piqa_validation.parquet at 142f6d7 cannot be fetched" in message
