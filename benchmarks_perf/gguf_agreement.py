"""What `quantize.py` holds against others beside speed: token ids, importance matrices, and ten planted faults."""

import random
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.refs import ModelRef
from parity.quantization.calibration import compute
from parity.quantization.check import CheckSpec, check
from parity.quantization.convert import open_folder
from parity.quantization.importance import Sums, read_matrix
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import WIDE, family_folder
from parity.testing.folders import qwen_tokenizer, trained_tokenizer
from parity.testing.gguf_faults import FAULTS, plant
from parity.testing.gguf_logits import GgufLogits
from parity.testing.llama2c import sentencepiece_tokenizer

SPLIT = "\n__ggml_vocab_test__\n"
TEXT_BYTES, PIECE_BYTES = 1_000_000, 10_000
CHUNK_TOKENS, CHUNKS = 256, 4
WORDS = ["the cat sat on the mat and the dog ran over the hill", "one two three four five six seven", "A B C D answer"]
Encode = Callable[[str], list[int]]


SCRIPTS = ((0x4E00, 0x9FFF), (0x3041, 0x30FE), (0xAC00, 0xD7A3), (0x410, 0x44F), (0x627, 0x64A), (0x905, 0x939))
COMMON = "the of Question answer don't WE'LL it's naïve Straße coöperate e.g. U.S.A. — … “ ” « € § ± ≠ ∞ √ α → ★ ﬁ ½ ²"
SPACES = (" ", "\t", "\n", "\r\n", "\u00a0", "\u200b")
SIGNS = ("{}", "[]", "::", "->", "!=", "//", '"""', "&amp;", "\\n", "${x}")
JOINED = ("", "\U0001f3fd", "\u200d\U0001f469", "\ufe0f")


def mixed_text(size_bytes: int, seed: int = 0) -> str:
    """Text of every kind that tokenizers differ on, drawn at random but always the same for a seed."""
    draw = random.Random(seed)

    def letters() -> str:
        low, high = draw.choice(SCRIPTS)
        return "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 12)))

    def code() -> str:
        return f"def f_{draw.randint(0, 99)}(x):\n{' ' * 4 * draw.randint(1, 4)}return x[{draw.random():.6g}]  # ok\n"

    kinds: Sequence[Callable[[], str]] = (
        letters,
        code,
        lambda: draw.choice(COMMON.split()),
        lambda: f'<a href="/{draw.randint(0, 9)}?q={draw.choice(SIGNS)}">{draw.choice(SIGNS)}</a>',
        lambda: chr(draw.randint(0x1F300, 0x1F64F)) + draw.choice(JOINED),
        lambda: draw.choice("aeouncy") + "".join(chr(draw.randint(0x300, 0x330)) for _ in range(draw.randint(1, 3))),
        lambda: draw.choice(SPACES) * draw.randint(1, 9),
        lambda: draw.choice((str(draw.randint(0, 10**9)), f"{draw.random() * 1e6:,.2f}", "007", "3.14e-10")),
    )
    found: list[str] = []
    size = 0
    while size < size_bytes:
        found.append(draw.choice(kinds)() + draw.choice(("", " ", " ", "  ")))
        size += len(found[-1].encode())
    return "".join(found)


def pieces(text: str) -> list[str]:
    """The text in parts of about PIECE_BYTES, cut anywhere."""
    length = PIECE_BYTES * len(text) // len(text.encode())
    return [text[at : at + length] for at in range(0, len(text), length)]


@dataclass(slots=True)
class Ids:
    """How many of all ids are equal, and where a text's first differ."""

    equal: int = 0
    total: int = 0
    exceptions: list[str] | None = None

    def add(self, name: str, text: str, expected: Sequence[int], found: Sequence[int]) -> None:
        self.exceptions = [] if self.exceptions is None else self.exceptions
        self.total += 1
        if list(expected) == list(found):
            self.equal += 1
            return
        at = next(at for at, (one, other) in enumerate(zip_longest(expected, found)) if one != other)
        self.exceptions.append(
            f"{name}: {text[:30]!r}... at id {at}: {expected[at : at + 4]} here {found[at : at + 4]}"
        )


def token_ids(scratch: Path, data: Path, quick: bool) -> dict[str, object]:
    """Share of texts whose ids by llama.cpp are those of their source: published texts, and 1 MB of mixed ones."""
    found, size = Ids(), TEXT_BYTES // 10 if quick else TEXT_BYTES
    text = mixed_text(size)
    folder, tokenizers = data / "tokenizers" / "llama_cpp_vocab", data / "tokenizers"
    for name, published, running, source, normalised in _tokenizers(scratch, tokenizers):
        rows = _published(folder, published) if published else ()
        for part, ids in rows:
            found.add(f"{name}, published", part, ids, running.tokens(part))
        for part in pieces(unicodedata.normalize("NFC", text) if normalised else text):
            found.add(f"{name}, mixed", part, source(part), running.tokens(part))
        running.close()
    assert found.exceptions is not None
    for exception in found.exceptions[:20]:
        print(exception)
    return {
        "token_ids_equal": found.equal / found.total,
        "token_id_texts": found.total,
        "token_id_exceptions": found.exceptions[:20],
    }


def _tokenizers(scratch: Path, source: Path) -> Iterable[tuple[str, str | None, GgufLogits, Encode, bool]]:
    """(name, its published texts, the converted file, the source's ids, whether that composes marks)."""
    from sentencepiece import SentencePieceProcessor

    qwen = family_folder("qwen2", scratch / "ids-qwen2.5", qwen_tokenizer(source / "qwen2.5"))
    yield "qwen2.5", "qwen2", _running(qwen, scratch), _fast(qwen), True
    models = {
        "llama2": (source / "llama2" / "tokenizer.model", "llama-spm"),
        "mistral-v1": (source / "mistral" / "tokenizer.model.v1", None),
        "mistral-v3": (source / "mistral" / "mistral_instruct_tokenizer_240323.model.v3", None),
    }
    for name, (model, published) in models.items():
        tokenizer = sentencepiece_tokenizer(model, scratch / f"tokenizer-{name}")
        folder = family_folder("llama-2", scratch / f"ids-{name}", tokenizer)
        shutil.copy(model, folder / "tokenizer.model")
        yield name, published, _running(folder, scratch), SentencePieceProcessor(model_file=str(model)).encode, False


def _running(folder: Path, scratch: Path) -> GgufLogits:
    target = scratch / f"{folder.name}.gguf"
    return GgufLogits(quantize(QuantizeSpec(ModelRef.parse(str(folder)), "F16", target)).files)


def _fast(folder: Path) -> Encode:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _published(folder: Path, name: str) -> list[tuple[str, list[int]]]:
    texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_text().split(SPLIT)
    lines = (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    return [(text, [int(one) for one in line.split()]) for text, line in zip(texts, lines, strict=False)]


def imatrix_error(scratch: Path, data: Path, tools: Path, families: Sequence[str]) -> dict[str, object]:
    """The largest relative difference of a mean square to those of llama.cpp's own tool, on the same text and model."""
    text = scratch / "calibration.txt"
    # Qwen's tokenizer composes marks, llama.cpp does not: on a text that is not composed the two read other ids.
    text.write_text(unicodedata.normalize("NFC", mixed_text(20_000, seed=1)), encoding="utf-8", newline="")
    worst: dict[str, float] = {}
    for name in families:
        folder = family_folder(
            name, scratch / f"imatrix-{name}", qwen_tokenizer(data / "tokenizers" / "qwen2.5"), sizes=WIDE
        )
        file, theirs = scratch / f"imatrix-{name}.gguf", scratch / f"imatrix-{name}.dat.gguf"
        quantize(QuantizeSpec(ModelRef.parse(str(folder)), "F32", file))
        command = [
            str(tools / "llama-imatrix"), "-m", str(file), "-f", str(text), "-o", str(theirs), "-c", str(CHUNK_TOKENS),
            "--chunks", str(CHUNKS), "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-ppl",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        ours = compute(folder, text, open_folder(folder), CHUNK_TOKENS, CHUNKS, lambda *_: None).sums
        other = read_matrix(theirs).sums
        if ours.keys() != other.keys():
            raise SystemExit(f"{name}: importance of other tensors: {sorted(ours.keys() ^ other.keys())[:5]}")
        worst[name] = max(_apart(ours[tensor], other[tensor]) for tensor in ours)
    return {"imatrix_relative_error": max(worst.values()), "imatrix_by_family": worst}


def _apart(one: Sums, other: Sums) -> float:
    means = [
        sums.squares_PC.reshape(len(sums.counts_P), -1) / np.maximum(sums.counts_P, 1)[:, None] for sums in (one, other)
    ]
    return float(np.max(np.abs(means[0] - means[1]) / np.maximum(np.abs(means[1]), 1e-12)))


def planted_faults(scratch: Path) -> dict[str, object]:
    """How many of ten planted faults `check` names, at the hop and in the aspect where they were made."""
    tokenizer, made = trained_tokenizer(WORDS * 4, vocabulary=320), dict[str, Path]()

    def folder_of(family: str) -> Path:
        if family not in made:
            others: dict[str, Any] = {"attention_bias": True} if family == "codellama" else {}
            made[family] = family_folder(family, scratch / f"faults-{family}", tokenizer, sizes=WIDE, **others)
        return made[family]

    named = {}
    for name in FAULTS:
        planted = plant(name, folder_of, scratch / name.replace(" ", "-"))
        first = check(CheckSpec(planted.base, planted.file, WORDS, planted.adapter)).first
        named[name] = first is not None and (first.hop, first.aspect, first.cause) == (
            planted.hop,
            planted.aspect,
            name,
        )
        print(f"planted: {name}; found: {first and (first.hop, first.aspect, first.cause)}")
    return {"planted_faults_named": sum(named.values())}
