"""The demo: real gaps from recorded answers, then a live measurement of a model made on the spot.

Needs no network, key or GPU. The recorded answers are facts with their sources in `recorded/README.md`; the live items
are made here, so that no benchmark text is shipped.
"""

import json
import random
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from parity.benchmarks.catalog import open_benchmark
from parity.core.refs import ModelRef
from parity.core.runs import Marked
from parity.engines.open import EngineOptions
from parity.errors import ModelError
from parity.files import write_atomic
from parity.measurement.asking import Progress
from parity.measurement.comparison import RecordedGap, compared
from parity.measurement.measure import MeasureSpec, measure
from parity.measurement.records.table import read_marks
from parity.measurement.results import Measurement
from parity.store import Workspace

MARGIN = 0.03
HELM, ROUTELLM = "helm_mmlu_letters.csv.gz", "routellm_mmlu_correct.csv.gz"
LLAMA = (HELM, "meta_llama-3-70b", "Llama-3-70B")
MIXTRAL = (HELM, "mistralai_mixtral-8x22b", "Mixtral-8x22B")
GPT4 = (HELM, "openai_gpt-4-0613", "GPT-4 (0613)")
CLAUDE = (HELM, "anthropic_claude-3-opus-20240229", "Claude 3 Opus")
TURBO = (HELM, "openai_gpt-4-1106-preview", "GPT-4 Turbo (1106)")
SMALL = (ROUTELLM, "mixtral-8x7b-instruct-v0.1", "Mixtral-8x7B-Instruct")
TURBO_ROUTELLM = (ROUTELLM, "gpt-4-1106-preview", "GPT-4 Turbo (1106)")
PAIRS = (
    *((candidate, incumbent) for candidate in (LLAMA, MIXTRAL) for incumbent in (CLAUDE, GPT4, TURBO)),
    (SMALL, TURBO_ROUTELLM),
)
LIVE_ITEMS = 300
Column = tuple[str, str, str]


def recorded_gaps(margin: float = MARGIN) -> list[RecordedGap]:
    """The gap of every pair in PAIRS on the items both answered."""
    marks = {column: _marks(column) for column in dict.fromkeys(column for couple in PAIRS for column in couple)}
    return [
        compared(candidate[2], marks[candidate], incumbent[2], marks[incumbent], margin)
        for candidate, incumbent in PAIRS
    ]


def live(folder: Path, on_progress: Progress | None = None) -> Measurement:
    """Make a small random Llama and a few hundred items, and measure it against a guesser, answer by answer kept."""
    benchmark = open_benchmark(str(write_items(folder)))
    model = make_model(folder / "tiny-llama", [item.question for item in benchmark.items])
    workspace = Workspace(folder / ".parity")
    try:
        spec = MeasureSpec(
            (ModelRef.parse(str(model)),),
            ModelRef.parse("dummy:"),
            margin=MARGIN,
            options=EngineOptions(device="cpu", batch_size=16),
        )
        return measure(spec, benchmark, workspace, on_progress)
    finally:
        workspace.close()


def write_items(folder: Path, count: int = LIVE_ITEMS, seed: int = 0) -> Path:
    """Questions about small numbers with four options, and the TOML that describes them; returns its path."""
    chance = random.Random(seed)
    rows = [_question(chance, at) for at in range(count)]
    write_atomic(folder / "items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return write_atomic(
        folder / "numbers.toml",
        'name = "numbers"\nitems = "items.jsonl"\nmark = "choice"\n\n[columns]\ntags = ["kind"]\n',
    )


def make_model(folder: Path, texts: list[str]) -> Path:
    """A Llama of random weights with a tokenizer learned from `texts`; the same weights every time.

    Raises:
        ModelError: the folder exists and holds something else.
    """
    from transformers.utils.logging import disable_progress_bar

    from parity.testing.folders import random_llama_folder, trained_tokenizer

    if folder.exists() and not (folder / "config.json").exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} holds something else.", "Choose another folder with --folder.")
    disable_progress_bar()  # type: ignore[no-untyped-call]
    sizes = {"hidden": 128, "layers": 4, "heads": 4, "kv_heads": 2, "ffn": 256, "context_tokens": 512}
    return random_llama_folder(folder, trained_tokenizer(texts), **sizes)


def _question(chance: random.Random, at: int) -> dict[str, object]:
    kinds: dict[str, tuple[str, Callable[[list[int]], int]]] = {
        "largest": ("Which of these numbers is the largest?", max),
        "smallest": ("Which of these numbers is the smallest?", min),
        "odd": ("Which of these numbers is odd?", lambda numbers: next(n for n in numbers if n % 2)),
    }
    kind = list(kinds)[at % len(kinds)]
    asked, right = kinds[kind]
    numbers = chance.sample(range(2, 1000, 2) if kind == "odd" else range(1000), 4)
    if kind == "odd":
        numbers[chance.randrange(4)] += 1
    answer = str(right(numbers))
    return {"id": f"n{at}", "question": asked, "options": [str(n) for n in numbers], "answer": answer, "kind": kind}


def _marks(column: Column) -> list[Marked]:
    file, name, _ = column
    with as_file(files("parity.workflows") / "recorded" / file) as path:
        return read_marks(path, name)
