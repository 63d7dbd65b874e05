"""Measure two models on items of your own and read the verdict. Runs as it is: `python examples/01_measure.py`."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import parity


def main() -> None:
    """Two models without weights answer 200 questions; put your own names and files in their place."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2]} for n in range(200)]
        (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "even.toml").write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n')
        spec = parity.MeasureSpec(
            candidates=(parity.ModelRef.parse("dummy:letter=A"),),
            incumbent=parity.ModelRef.parse("dummy:"),
            margin=0.05,
        )
        workspace = parity.Workspace(folder / ".parity")
        found = parity.measure(spec, parity.open_benchmark(str(folder / "even.toml")), workspace)
        workspace.close()
        gap = found.comparisons[0].gap
        print(f"{gap.verdict}: {100 * gap.gap:+.1f} points, 95 % {100 * gap.low:+.1f} to {100 * gap.high:+.1f}")


if __name__ == "__main__":
    main()
