"""Training data: masks against an oracle, near-duplicates against brute force, copies of a benchmark, a million rows.

    .venv/bin/python benchmarks_perf/tune_data.py [--quick] [--part masks,near,copies,million]

Masks: every chat template that TRL ships (and those of the data folder) x 200 conversations against the marks of their
training twins, or marks by hand; tests/curation/mask_oracle.py says how. Ends with one JSON line.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the oracle is the tests' own

import made_chats  # noqa: E402

from curation import mask_oracle as oracle  # noqa: E402
from parity.benchmarks.catalog import open_benchmark  # noqa: E402
from parity.core.examples import Example, Turn  # noqa: E402
from parity.core.fingerprints import Fingerprints  # noqa: E402
from parity.curation.formats import row_of  # noqa: E402
from parity.curation.labels import Labeller  # noqa: E402
from parity.curation.near import clusters, shingles, signatures  # noqa: E402
from parity.errors import ParityError  # noqa: E402
from parity.testing.folders import qwen_tokenizer  # noqa: E402

DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
Check = Callable[[Labeller, object, Example], oracle.Checked]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="24 conversations a template, 2,000 rows")
    parser.add_argument("--part", default="masks,near,copies", help="which parts, by commas; million: 1,000,000 rows")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the part million (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data (default: %(default)s)")
    arguments = parser.parse_args()
    quick, found = arguments.quick, dict[str, object]()
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "masks": lambda: masks(arguments.data, 24 if quick else 200),
        "near": lambda: near_duplicates(2_000 if quick else 10_000),
        "copies": lambda: decontamination(arguments.data),
        "million": lambda: million(20_000 if quick else arguments.rows, arguments.data),
    }
    try:
        for part in arguments.part.split(","):
            found |= parts[part]()
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(found))
    return 0


def masks(data: Path, shapes: int = 200) -> dict[str, object]:
    """Tokens whose label differs from the oracle's, over all templates; refused rows are counted with their reasons."""
    total, refused = Counter[str](), Counter[str]()
    templates = list(_templates(data))
    checked = [(name, template, check) for name, template, check in templates if check is not None]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("fork")) as pool:
        for name, mine, reasons in pool.map(_masks_of, checked, repeat(data), repeat(shapes)):
            total += mine
            refused += reasons
            print(f"{name:32} {dict(mine)}", file=sys.stderr)
    return {
        "mis_masked_tokens": total["mis_masked"],
        "templates_checked": len(checked),
        "templates_without_oracle": [name for name, _, check in templates if check is None],
        "conversations": shapes,
        "tokens_compared": total["compared"],
        "rows_compared": total["rows"],
        "rows_refused": total["refused"],
        "refused_reasons": dict(refused.most_common(8)),
        "tokens_marked_that_no_model_emits": total["beyond_end"],
    }


def _masks_of(asked: tuple[str, str, Check], data: Path, shapes: int) -> tuple[str, Counter[str], Counter[str]]:
    """One template: what was counted, and why rows were refused."""
    name, template, check = asked
    tokenizer = oracle.special_tokenizer(qwen_tokenizer(data / "tokenizers" / "qwen2.5"), template)
    mine, reasons = Counter[str](), Counter[str]()
    with closing(Labeller(tokenizer, template)) as labeller:
        for conversation in oracle.shapes(shapes):
            one = check(labeller, tokenizer, conversation)
            reason = one.refused.split(": ", 1)[-1]
            reasons[" ".join(word for word in reason.split() if not word.isdigit())] += bool(reason)
            mine["refused" if one.refused else "rows"] += 1
            for key in ("compared", "mis_masked", "beyond_end"):
                mine[key] += getattr(one, key)
    return name, mine, reasons


def near_duplicates(rows: int) -> dict[str, object]:
    """Share of brute-force pairs at Jaccard >= .8 that end up in one cluster."""
    made = _edited(rows)
    leaders, sets = clusters(signatures(made)), [shingles(row) for row in made]
    holding = defaultdict(list)
    pairs = hit = 0
    for at, mine in enumerate(sets):  # exact: only rows that share a shingle can be alike at all
        shared = Counter(other for shingle in mine for other in holding[shingle])
        for other, common in shared.items():
            if common / (len(mine) + len(sets[other]) - common) >= 0.8:
                pairs, hit = pairs + 1, hit + bool(leaders[at] == leaders[other])
        for shingle in mine:
            holding[shingle].append(at)
    return {"near_duplicate_recall": hit / pairs, "near_duplicate_pairs": pairs}


def million(rows: int, data: Path) -> dict[str, object]:
    """Seconds and peak bytes of `parity data import` and `split`; the share of planted pairs that were found."""
    with tempfile.TemporaryDirectory() as scratch:
        source, imported, splits = (Path(scratch) / name for name in ("chats.jsonl", "imported", "splits"))
        planted = made_chats.write(source, rows)
        found: dict[str, object] = {"million_rows": rows, "million_source_bytes": source.stat().st_size}
        against = ("--against", "mmlu", "--benchmark-data", data / "mmlu")
        verbs = {"import": (source, "--to", imported), "split": (imported, "--to", splits, *against)}
        for verb, arguments in verbs.items():
            found[f"million_{verb}_s"], found[f"million_{verb}_peak_bytes"] = _timed("data", verb, *arguments)
        manifest = json.loads((imported / "manifest.json").read_text())
        found["million_rows_kept"] = manifest["rows"]
        assert manifest["rows"] + manifest["repeated"] + sum(manifest["rejected"].values()) == rows
        together = _together(planted, source, splits / "near_duplicates.txt")
    near = [hit for pair, hit in zip(planted, together, strict=True) if pair.jaccard >= 0.8]
    far = [hit for pair, hit in zip(planted, together, strict=True) if pair.jaccard < 0.6]
    return found | {
        "million_planted_pairs": len(near),
        "million_planted_recall": sum(near) / len(near),
        "million_pairs_below_06": len(far),
        "million_pairs_below_06_joined": sum(far),
    }


def _together(planted: list[made_chats.Planted], source: Path, listed: Path) -> list[bool]:
    """For every planted pair whether a split listed both in one cluster (or they are the same row)."""
    clustered = {
        row_id: number for number, text in enumerate(listed.read_text().splitlines()) for row_id in text.split()
    }
    wanted = {row for pair in planted for row in (pair.one, pair.other)}
    with source.open(encoding="utf-8") as stream:
        ids = {at: row_of(json.loads(text))[1].id for at, text in enumerate(stream) if at in wanted}
    pairs = [(ids[pair.one], ids[pair.other]) for pair in planted]
    return [one == other or clustered.get(one, -1) == clustered.get(other, -2) for one, other in pairs]


def _timed(*arguments: object) -> tuple[float, int]:
    """Seconds and peak resident bytes of a verb in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "parity", *map(str, arguments), "--json"], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise ParityError(f"{' '.join(map(str, arguments))} ended with status {status}")
    return round(time.perf_counter() - began, 1), used.ru_maxrss * 1024


def _edited(rows: int) -> list[Example]:
    """Half random texts of 30 to 200 words, half copies of them with 0 to 12 % of their words changed."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(5000)]
    texts = [draw.choices(words, k=draw.randint(30, 200)) for _ in range(rows // 2)]
    for text in texts[: rows - rows // 2]:
        share = draw.random() * 0.12
        texts.append([draw.choice(words) if draw.random() < share else word for word in text])
    return [Example((Turn("user", " ".join(text)), Turn("assistant", "ok"))) for text in texts]


def decontamination(data: Path) -> dict[str, object]:
    """Share of copies of three benchmarks' questions that are found, by what was changed; rephrased and translated ones
    of the data folder (n-grams miss most); and how many rows of three instruction sets are taken for copies."""
    places = {"mmlu": "mmlu", "gsm8k": "reasoning_benchmarks/gsm8k", "humaneval": "code_benchmarks"}
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    changes: dict[str, Callable[[str], str]] = {
        "exact": str,
        "cased": str.upper,
        "reformatted": lambda text: text.replace(" ", "\n ").replace(",", " -"),
        "digits": lambda text: text.translate(arabic),
        "embedded": lambda text: f"Please answer this:\n{text}\nThink step by step.",
    }
    prints, exact, short = dict[str, Fingerprints](), dict[str, float](), dict[str, int]()
    for name, place in places.items():
        questions = [item.question for item in open_benchmark(name, data / place).items]
        prints[name], short[name] = Fingerprints.of(questions)
        long = [question for question in questions if not Fingerprints.of([question])[1]]
        for kind, change in changes.items():
            exact[f"{name} {kind}"] = _share(prints[name], map(change, long))
    honest = [row["instruction"] + "\n" + row["output"] for row in _instructions(data)]
    return {
        "decontaminated_exact": min(exact.values()),
        "decontaminated_by_kind": exact,
        "decontaminated_rephrased": {
            kind: _share(prints[kind.split()[0]], texts) for kind, texts in _rephrased(data).items()
        },
        "items_too_short": short,
        "honest_rows": len(honest),
        "honest_rows_taken_out": {name: sum(map(found.found_in, honest)) for name, found in prints.items()},
    }


def _share(prints: Fingerprints, texts: Iterable[str]) -> float:
    found = [prints.found_in(text) for text in texts]
    return sum(found) / len(found)


def _rephrased(data: Path) -> dict[str, list[str]]:
    """LLM-decontaminator's texts: GSM8K in other words, HumanEval in five languages, an MMLU subject in Chinese."""
    folder = data / "instruction_data" / "contamination"
    texts = {path.name.split(".")[0]: [row["text"] for row in _lines(path)] for path in folder.glob("*.jsonl.gz")}
    code = texts["humaneval_multi"]  # blocks of 164 problems
    languages = ("C", "JavaScript", "Rust", "Go", "Java")
    translated = {f"humaneval in {name}": code[164 * at : 164 * (at + 1)] for at, name in enumerate(languages)}
    chinese = texts["high_school_us_history_test_chinese"]
    return {"gsm8k in other words": texts["rephrase_gsm8k"], **translated, "mmlu US history in Chinese": chinese}


def _instructions(data: Path) -> list[dict[str, str]]:
    folder = data / "instruction_data"
    names = ("llama_factory/alpaca_en_demo", "code_alpaca/code_alpaca_2k", "code_alpaca/new_codealpaca")
    rows = [json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes())) for name in names]
    return [row for found in rows for row in found]


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines() if line.strip()]


def _templates(data: Path) -> Iterator[tuple[str, str, Check | None]]:
    """(name, template, how it is checked) of TRL's templates and of those the data folder holds."""
    import trl

    shipped = Path(trl.__file__).parent / "chat_templates"
    twins = oracle.twins(shipped)
    for name, twin in twins.items():
        yield f"{name} (twin)", oracle.unmarked(twin), _by_marks(name, twin)
        original = (shipped / f"{name}.jinja").read_text()
        if oracle.same_texts(original, twin):
            yield name, original, _by_marks(name, twin)
    folder = data / "tokenizers" / "chat_templates"
    for name, template in oracle.alone(shipped).items():
        yield name, template, _by_hand(name)
    for file in sorted(folder.glob("*.jinja")):
        known = oracle.hand_name(file.read_text())
        yield file.stem, file.read_text(), _by_hand(known) if known else None


def _by_marks(name: str, twin: str) -> Check:
    return partial(_marked, name, twin)


def _marked(name: str, twin: str, labeller: Labeller, tokenizer: object, example: Example) -> oracle.Checked:
    return oracle.by_marks(labeller, tokenizer, name, twin, example)


def _by_hand(name: str) -> Check:
    return partial(_handled, name)


def _handled(name: str, labeller: Labeller, tokenizer: object, example: Example) -> oracle.Checked:
    return oracle.by_hand(labeller, tokenizer, name, example)


if __name__ == "__main__":
    sys.exit(main())
