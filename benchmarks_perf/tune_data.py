"""Training data: masks against an oracle, near-duplicates against brute force, and copies of a benchmark found.

    .venv/bin/python benchmarks_perf/tune_data.py [--quick]

Masks: every chat template that TRL ships (and those of the data folder) x 200 conversations against the marks of their
training twins, or marks by hand; tests/curation/mask_oracle.py says how. Ends with one JSON line.
"""

import argparse
import gzip
import json
import os
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the oracle is the tests' own

from curation import mask_oracle as oracle  # noqa: E402
from parity.core.digests import item_fingerprints  # noqa: E402
from parity.core.examples import Example, Passage, Turn  # noqa: E402
from parity.curation.labels import Labeller  # noqa: E402
from parity.curation.near import clusters, shingles, signatures  # noqa: E402
from parity.curation.splitting import Fingerprints  # noqa: E402
from parity.errors import ParityError  # noqa: E402
from parity.testing.folders import qwen_tokenizer  # noqa: E402

DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
Check = Callable[[Labeller, object, Example], oracle.Checked]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="24 conversations a template, 2,000 rows")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        found = masks(arguments.data, 24 if arguments.quick else 200)
        found |= near_duplicates(2_000 if arguments.quick else 10_000, 0 if arguments.quick else 100_000)
        found |= decontamination(arguments.data)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(found))
    return 0


def masks(data: Path, shapes: int = 200) -> dict[str, object]:
    """Tokens whose label differs from the oracle's, over all templates; refused rows are counted with their reasons."""
    conversations = list(oracle.shapes(shapes))
    total, refused, checked, unmarked = Counter[str](), Counter[str](), [], []
    for name, template, check in _templates(data):
        if check is None:
            unmarked.append(name)
            continue
        tokenizer = oracle.special_tokenizer(qwen_tokenizer(data / "tokenizers" / "qwen2.5"), template)
        labeller = Labeller(tokenizer, template)
        mine = Counter[str]()
        for conversation in conversations:
            one = check(labeller, tokenizer, conversation)
            reason = one.refused.split(": ", 1)[-1]
            refused[" ".join(word for word in reason.split() if not word.isdigit())] += bool(reason)
            mine["refused" if one.refused else "rows"] += 1
            for key in ("compared", "mis_masked", "beyond_end"):
                mine[key] += getattr(one, key)
        labeller.close()
        total += mine
        checked.append(name)
        print(f"{name:32} {dict(mine)}", file=sys.stderr)
    return {
        "mis_masked_tokens": total["mis_masked"],
        "templates_checked": len(checked),
        "templates_without_oracle": unmarked,
        "conversations": shapes,
        "tokens_compared": total["compared"],
        "rows_compared": total["rows"],
        "rows_refused": total["refused"],
        "refused_reasons": dict(refused.most_common(8)),
        "tokens_marked_that_no_model_emits": total["beyond_end"],
    }


def near_duplicates(rows: int, timed: int) -> dict[str, object]:
    """Share of brute-force pairs at Jaccard >= .8 that end up in one cluster; speed and peak bytes of `timed` rows."""
    made = _edited(rows)
    leaders, sets = clusters(signatures(made)), [shingles(row) for row in made]
    holding = defaultdict(list)
    pairs = hit = 0
    for at, mine in enumerate(sets):  # exact: only rows that share a shingle can be alike at all
        shared = Counter(other for shingle in mine for other in holding[shingle])
        for other, common in shared.items():
            if common / (len(mine) + len(sets[other]) - common) >= 0.8:
                pairs, hit = pairs + 1, hit + (leaders[at] == leaders[other])
        for shingle in mine:
            holding[shingle].append(at)
    found: dict[str, object] = {"near_duplicate_recall": hit / pairs, "near_duplicate_pairs": pairs}
    if timed:
        many, began = _edited(timed), time.perf_counter()
        clusters(signatures(many))
        found["near_duplicate_rows_per_s"] = timed / (time.perf_counter() - began)
        found["near_duplicate_peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found


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
    """Share of planted copies of GSM8K questions found, and of the data folder's rephrased ones (n-grams miss most)."""
    folder = data / "instruction_data" / "contamination"
    with gzip.open(folder / "rephrase_gsm8k.jsonl.gz", "rt", encoding="utf-8") as stream:
        rephrased = [json.loads(line)["text"] for line in stream]
    with gzip.open(next((data / "reasoning_benchmarks" / "gsm8k").glob("test*.gz")), "rt", encoding="utf-8") as stream:
        questions = [json.loads(line)["question"] for line in stream]
    hashes, lengths, long = set[str](), set[int](), []
    for question in questions:
        length, found = item_fingerprints(question)
        hashes |= found
        lengths |= {length} if found else set()
        long += [question] if found else []
    prints = Fingerprints(frozenset(hashes), tuple(sorted(lengths)))
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    changes = (
        str,
        str.upper,
        lambda text: text.replace(" ", "\n ").replace(",", " -"),
        lambda text: text.translate(arabic),
    )
    planted = [Passage(change(question)) for question in long for change in changes]
    return {
        "decontaminated_exact": sum(map(prints.found_in, planted)) / len(planted),
        "decontaminated_rephrased": sum(prints.found_in(Passage(text)) for text in rephrased) / len(rephrased),
        "items_too_short": len(questions) - len(long),
    }


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
    return lambda labeller, tokenizer, example: oracle.by_marks(labeller, tokenizer, name, twin, example)


def _by_hand(name: str) -> Check:
    return lambda labeller, tokenizer, example: oracle.by_hand(labeller, tokenizer, name, example)


if __name__ == "__main__":
    sys.exit(main())
