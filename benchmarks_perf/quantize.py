"""Conversion and quantization beside llama.cpp's own: tensors, next tokens, ids, importance, bytes, time and memory.

llama.cpp's converter is the script in the source distribution that `make peers` unpacks; `llama-quantize` and
`llama-imatrix` are those that `make peers-tools` compiles from it. Ends with one JSON line; what needs those tools is
null without them under --quick, and an error otherwise.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from gguf_agreement import imatrix_error, planted_faults, token_ids
from gguf_running import figures
from transformers import AutoModelForCausalLM

from parity.core.refs import ModelRef
from parity.models.gguf import check_gguf
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.testing.families import FAMILIES, WIDE, family_folder
from parity.testing.folders import qwen_tokenizer, random_llama_folder, trained_tokenizer
from parity.testing.gguf_logits import GgufLogits, first_difference
from peers import DEFAULT_FOLDER, llama_cpp_of, tools_folder

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
PROMPTS, TOKENS = 20, 64
ROUNDS = 2
NEED_DATA = (
    "token_ids_equal", "imatrix_relative_error", "loglik_error_max", "decode_vs_bare", "mmlu_prefix_speedup",
)  # fmt: skip
ONE_B = {"hidden": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "ffn": 8192}
SMALL = {"hidden": 1024, "layers": 12, "heads": 16, "kv_heads": 4, "ffn": 4096}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 prompts a family, a smaller model to time")
    parser.add_argument("--tools", type=Path, help="folder with llama-quantize and llama-imatrix, if not those of make")
    arguments = parser.parse_args()
    tools = arguments.tools or tools_folder(DEFAULT_FOLDER)
    if tools is None and not arguments.quick:
        raise SystemExit("llama.cpp's tools are not built: make peers-tools (about 6 minutes, once)")
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(report(Path(scratch), arguments.quick, tools)))
    return 0


def report(scratch: Path, quick: bool, tools: Path | None) -> dict[str, object]:
    tokenizer = trained_tokenizer(["the cat sat on the mat and the dog ran over the hill"] * 4, vocabulary=320)
    equal = ties = asked = 0
    worst = 0.0
    for name in FAMILIES:
        others = {"sliding_window": None} if name == "mistral" else {}
        folder = family_folder(name, scratch / name, tokenizer, sizes=WIDE, **others)
        file = to(folder, scratch / f"{name}.gguf", "F32")
        found = continued(folder, file, 5 if quick else PROMPTS)
        equal, ties, asked, worst = equal + found[0], ties + found[1], asked + found[2], max(worst, found[3])
        print(f"{name}: {found[0]} of {found[2]} continuations equal, {found[1]} near-ties, error {found[3]:.1e}")
    return {
        "families": len(FAMILIES),
        "greedy_equal": equal / asked,
        "near_ties": ties,
        "logprob_error_max": worst,
        **converter_agreement(scratch, tuple(FAMILIES)[:4] if quick else tuple(FAMILIES)),
        **timed(scratch, SMALL if quick else ONE_B, tools),
        **planted_faults(scratch),
        **with_data(scratch, quick, tools),
    }


def with_data(scratch: Path, quick: bool, tools: Path | None) -> dict[str, object]:
    """What needs real tokenizers and questions; null where they are not at hand."""
    if not DATA.exists():
        return dict.fromkeys(NEED_DATA)
    found = token_ids(scratch, DATA, quick)
    families = ("llama-3", "mixtral") if quick else ("llama-3", "mixtral", "qwen2-moe", "qwen3-moe", "deepseek-v2")
    found |= imatrix_error(scratch, DATA, tools, families) if tools else {"imatrix_relative_error": None}
    (scratch / "running").mkdir()
    return {**found, **figures(scratch / "running", DATA, quick)}


def to(source: Path, target: Path, mixture: str) -> Path:
    return quantize(QuantizeSpec(ModelRef.parse(str(source)), mixture, target)).files[0]


def continued(folder: Path, file: Path, prompts: int) -> tuple[int, int, int, float]:
    """Greedy continuations of random prompts: equal, near-ties, all, and the largest error of a log-probability."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    random = np.random.default_rng(0)
    running, equal, ties, worst = GgufLogits([file]), 0, 0, 0.0
    for _ in range(prompts):
        ids = random.integers(3, model.config.vocab_size, 12).tolist()
        with torch.inference_mode():
            for _ in range(TOKENS):
                ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            expected = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        logits = running.logits(ids)
        same, near = first_difference(ids[12:], logits[11:-1])
        equal, ties = equal + same, ties + near
        difference = torch.log_softmax(torch.from_numpy(logits).double(), -1) - expected
        worst = max(worst, float(difference.abs().max()))
    running.close()
    return equal, ties, prompts, worst


def converter_agreement(scratch: Path, names: tuple[str, ...]) -> dict[str, object]:
    """Shares of its tensors and metadata that equal llama.cpp's converter's in every byte; None without it.

    Tensors: name, type, shape and values. Exceptions: tensors and keys that differ, or that only one of both wrote.
    """
    script = llama_cpp_of(DEFAULT_FOLDER) / "convert_hf_to_gguf.py"
    if not script.exists() or not DATA.exists():
        return dict.fromkeys(("converter_tensors_equal", "converter_metadata_equal", "converter_exceptions"))
    # Its script knows tokenizers by published ones only.
    tokenizer, equal, others = (
        qwen_tokenizer(DATA / "tokenizers" / "qwen2.5"),
        Counter[str](),
        defaultdict[str, list](list),
    )
    for name in names:
        folder = family_folder(name, scratch / f"real-{name}", tokenizer, sizes=WIDE)
        ours, theirs = to(folder, scratch / "ours.gguf", "F32"), scratch / "theirs.gguf"
        command = [sys.executable, str(script), str(folder), "--outtype", "f32", "--outfile", str(theirs)]
        subprocess.run(command, check=True, capture_output=True)
        for kind, mine, his in zip(("tensors", "metadata"), contents(ours), contents(theirs), strict=True):
            same = {key for key in mine.keys() & his.keys() if mine[key] == his[key]}
            equal[kind] += len(same)
            equal[f"all {kind}"] += len(his)
            for key in (mine.keys() | his.keys()) - same:
                who = "differs" if key in mine and key in his else "ours only" if key in mine else "theirs only"
                others[f"{key} ({who})"].append(name)
        ours.unlink()
        theirs.unlink()
    return {
        "converter_tensors_equal": equal["tensors"] / equal["all tensors"],
        "converter_metadata_equal": round(equal["metadata"] / equal["all metadata"], 4),
        "converter_exceptions": others,
    }


def contents(path: Path) -> tuple[dict[str, object], dict[str, object]]:
    """Tensors, and metadata as it stands in the file, by name."""
    header, raw = check_gguf(path), path.read_bytes()
    tensors: dict[str, object] = {
        one.name: (one.shape, one.type.name, raw[header.data_start + one.offset :][: one.size_bytes])
        for one in header.tensors
    }
    return tensors, {key: raw[begin:end] for key, (begin, end) in header.extents.items()}


def peak_gb(child: "subprocess.Popen[bytes]") -> float:
    """Wait for a process; the most memory it had. (What `wait` tells counts its parent's from before the exec.)"""
    peak_kb = 0
    while child.poll() is None:
        with suppress(OSError):
            for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak_kb = max(peak_kb, int(line.split()[1]))
        time.sleep(0.01)
    return peak_kb / 1e6


def timed(scratch: Path, sizes: dict[str, int], tools: Path | None) -> dict[str, object]:
    """Quantizing one F16 file to Q4_K_M, two threads each, in turns; ours in a process of its own, as theirs."""
    folder = random_llama_folder(
        scratch / "timed", trained_tokenizer(["a b"]), context_tokens=512, vocabulary=32_000, **sizes
    )
    source, ours, theirs = to(folder, scratch / "timed.gguf", "F16"), scratch / "mine.gguf", scratch / "his.gguf"
    shutil.rmtree(folder)
    mine, his, peak = [], [], 0.0
    for _ in range(ROUNDS):
        ours.unlink(missing_ok=True)
        began = time.perf_counter()
        command = ["quantize", str(source), "--to", "Q4_K_M", "-o", str(ours), "--threads", "2", "--json"]
        child = subprocess.Popen([sys.executable, "-m", "parity", *command], stdout=subprocess.DEVNULL)
        peak = max(peak, peak_gb(child))
        if child.returncode:
            raise SystemExit(f"parity quantize ended with status {child.returncode}")
        mine.append(time.perf_counter() - began)
        if tools is not None:
            began = time.perf_counter()
            subprocess.run([tools / "llama-quantize", source, theirs, "Q4_K_M", "2"], check=True, capture_output=True)
            his.append(time.perf_counter() - began)
    print(f"Q4_K_M: ours {mine} s, llama-quantize {his} s")
    return {
        "quantize_s": round(min(mine), 2),
        "speed_vs_llama_quantize": round(min(his) / min(mine), 3) if his else None,
        "bytes_identical": filecmp.cmp(ours, theirs, shallow=False) if his else None,
        "peak_memory_gb": round(peak, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
