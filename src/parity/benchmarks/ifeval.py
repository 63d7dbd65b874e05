"""IFEval: 541 prompts with instructions that a program can verify (Zhou et al. 2023, arXiv 2311.07911; Apache-2.0).

`strict` counts a prompt when every instruction is followed, `loose` when each is once a first or last line or asterisks
are left out. `strict-share` and `loose-share` are graded: the share of a prompt's instructions that are followed (the
paper's instruction-level accuracy weighs instructions, not prompts). All four read the same answers.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import HARNESS, version_of
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, read_all, rows_of, texts
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score
from parity.marking.instructions import Instruction, check_available

_HUB = HubFile("google/IFEval", "966cd89545d6b6acfd7638bc708b98261ca58e84", "ifeval_input_data.jsonl")
SOURCE = Source(("ifeval_input_data", "input_data", "ifeval"), _HUB)
MAX_TOKENS = 1280


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """IFEval.

    Raises:
        DataError: the data is missing or malformed, or names an instruction nobody knows; langdetect is missing.
    """
    check_available()
    items = read_all(rows_of(SOURCE, folder, "IFEval"), _item, "ifeval")
    sampling = Sampling(MAX_TOKENS)
    protocols = {
        name: Protocol(name, f"{HARNESS}/v4", _prompt, sampling=sampling, read=partial(_read, check, share))
        for name, check, share in (
            ("strict", Instruction.followed, False),
            ("loose", Instruction.followed_loosely, False),
            ("strict-share", Instruction.followed, True),
            ("loose-share", Instruction.followed_loosely, True),
        )
    }
    return Benchmark("ifeval", version_of(items), tuple(items), protocols, "strict", ("instruction",))


def instructions_of(item: Item) -> list[Instruction]:
    """The instructions of an item, from its targets."""
    return [Instruction(**json.loads(target)) for target in item.targets]


def _item(at: int, row: Row) -> Item:
    names, arguments = texts(row["instruction_id_list"]), row["kwargs"]
    if not isinstance(arguments, list) or len(arguments) != len(names):
        raise ValueError("kwargs are not as many as instructions")
    targets = [_told(name, given) for name, given in zip(names, arguments, strict=True)]
    tags = tuple(Tag("instruction", name) for name in dict.fromkeys(names))
    return Item(f"ifeval/{at}", str(row["prompt"]), tuple(targets), (), tags)


def _told(name: str, given: object) -> str:
    """An instruction as text, its empty arguments left out; refused when nobody knows it."""
    if not isinstance(given, Mapping):
        raise ValueError(f"the arguments of {name} are {given!r}")
    arguments = {key: value for key, value in given.items() if value}
    Instruction(name, arguments)
    return json.dumps({"name": name, "arguments": arguments}, sort_keys=True, ensure_ascii=False)


def _prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


def _read(check: Callable[[Instruction, str], bool], share: bool, text: str, item: Item) -> Mark:
    told = instructions_of(item)
    broken = [instruction.name for instruction in told if not check(instruction, text)]
    value = 1 - len(broken) / len(told) if share else float(not broken)
    return Score(value, ", ".join(f"not {name}" for name in broken)[:200])
