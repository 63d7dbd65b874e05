"""Training data: masks against an oracle, near-duplicates against brute force, and copies of a benchmark found.

    .venv/bin/python benchmarks_perf/tune_data.py [--quick]

Masks: every chat template that TRL ships (and those of the data folder) x 200 conversations against the marks of their
training twins, or marks by hand; tests/curation/mask_oracle.py says how. Ends with one JSON line.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the oracle is the tests' own

from curation import mask_oracle as oracle  # noqa: E402
from parity.core.examples import Example  # noqa: E402
from parity.curation.labels import Labeller  # noqa: E402
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
