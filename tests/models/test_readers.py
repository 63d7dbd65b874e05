"""Foreign weight files: hostile ones are refused for their reason, quickly and in little memory; whole ones read."""

import json
import subprocess
import sys
import time
import tracemalloc
from itertools import chain

import numpy
import pytest

from parity.errors import ModelError
from parity.models.byte_sources import HeldBytes, LocalBytes
from parity.models.ggml_types import BY_ID
from parity.models.gguf import check_gguf, read_gguf
from parity.models.safetensors import check_safetensors, read_safetensors
from parity.testing.hostile_files import Gguf, hostile_files, key, mutations, safetensors, tensor, text
from shared import needs_shared

FILES = list(hostile_files())
READERS = {"gguf": read_gguf, "safetensors": read_safetensors}


def test_there_are_enough_files_and_each_has_its_own_name():
    assert sum(not file.whole for file in FILES) >= 60
    assert len({file.name for file in FILES}) == len(FILES)


# No measure of speed: what takes this long on any machine goes through something again and again.
HANGS_S = 10.0


def verdict(reader, source):
    """(None or the refusal, seconds, peak bytes): read twice, because tracing memory takes time itself."""
    begun = time.process_time()
    problem = problem_of(reader, source)
    took = time.process_time() - begun
    tracemalloc.start()
    again = problem_of(reader, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again == problem
    return problem, took, peak


def problem_of(reader, source):
    try:
        reader(source)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_verdict_on_each_hand_made_file(file, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(file.content)
    problem, took, peak = verdict(READERS[file.format], LocalBytes(path))
    assert (problem is None) == file.whole, problem or file.rule
    assert peak < 64e6
    assert took < HANGS_S
    if problem:
        assert "byte" in problem
        assert str(path) in problem


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2^63 tensors", "at byte 8, it claims 9223372036854775808 tensors"),
        ("alignment 0", "at byte 24, general.alignment is 0"),
        ("a key twice", "appears twice"),
        ("a tensor twice", "appears twice"),
        ("lists nested 5 deep", "nested deeper than 4"),
        ("a list of 2^63 texts", "the file has 0 bytes left"),
        ("a truth value of 2", "a truth value is 2"),
        ("a hole between tensors", "leaves a hole"),
        ("tensors that overlap", "overlaps the tensor before it"),
        ("a tensor that ends behind the end", "the file has"),
        ("a field twice", "a key appears twice"),
        ("metadata that is a number", "'__metadata__' must hold text only"),
        ("lists nested 100,000 deep", "more entries|lists within lists|malformed"),
        ("two million empty lists", "more entries than"),
        ("three million empty texts", "more than 2000000 texts"),
    ],
)
def test_the_reason_is_the_right_one(name, message):
    file = next(file for file in FILES if file.name == name)
    with pytest.raises(ModelError, match=message):
        READERS[file.format](HeldBytes("file", file.content))


@pytest.fixture(scope="module")
def valid():
    """Whole files: stories260K as safetensors, the same as a GGUF by the `gguf` package, and a quantized one."""
    from safetensors.numpy import save

    raw = needs_shared("weights_small", "stories260K", "stories260K.bin").read_bytes()
    width, vocabulary = 64, 512
    table = numpy.frombuffer(raw, "<f4", count=width * vocabulary, offset=28).reshape(vocabulary, width)
    tensors = {"model.embed_tokens.weight": table[:16], "model.norm.weight": table[16], "lm_head.weight": table[17:20]}
    return [("safetensors", save(tensors, {"format": "pt"})), ("gguf", written_gguf(tensors))]


def written_gguf(tensors):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    gguf = pytest.importorskip("gguf")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_context_length(128)
        writer.add_token_list(["<s>", "a", "b"] * 30)
        writer.add_array("llama.some", [1, 2, 3])
        writer.add_chat_template("{{ messages }}")
        for name, content in tensors.items():
            writer.add_tensor(name, content)
        blocks = gguf.quantize(numpy.ones((4, 256), numpy.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor("blk.0.ffn_down.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def test_what_the_gguf_package_wrote_is_read_as_written(valid):
    header = read_gguf(HeldBytes("a", dict(valid)["gguf"]))
    assert header.text("general.architecture") == "llama"
    assert header.text("tokenizer.chat_template") == "{{ messages }}"
    assert header.whole("llama.context_length") == 128
    assert header.metadata["llama.some"].values == (1, 2, 3)
    assert header.metadata["tokenizer.ggml.tokens"].length == 90
    found = {entry.name: (entry.shape, entry.type.name, entry.size_bytes) for entry in header.tensors}
    assert found["model.norm.weight"] == ((64,), "F32", 256)
    assert found["blk.0.ffn_down.weight"] == ((256, 4), "Q8_0", 4 * 8 * 34)
    assert header.trailing_bytes == 0


@pytest.mark.slow
def test_ten_thousand_damaged_files_neither_crash_nor_hang(valid):
    refused = read = 0
    slowest = largest = 0.0
    samples = ((kind, mutations(content, 5_000, seed)) for seed, (kind, content) in enumerate(valid))
    for kind, damaged in chain.from_iterable(((kind, one) for one in stream) for kind, stream in samples):
        problem, took, peak = verdict(READERS[kind], HeldBytes("damaged", damaged))
        refused, read = refused + bool(problem), read + (problem is None)
        slowest, largest = max(slowest, took), max(largest, peak)
    assert refused + read == 10_000
    assert slowest < HANGS_S
    assert largest < 64e6
    assert refused > 5_000  # the others hit free text, names or data, where nothing is wrong to see


def test_headers_only_as_dense_as_a_vocabulary_stay_quick():
    tokens = text(b"token") * 500_000
    content = Gguf((key(b"tokenizer.ggml.tokens", 9, b"\x08\0\0\0" + (500_000).to_bytes(8, "little") + tokens),)).pack()
    problem, took, peak = verdict(read_gguf, HeldBytes("vocabulary", content))
    assert problem is None
    assert took < HANGS_S
    assert peak < 16e6


@pytest.mark.slow
def test_the_most_tensors_a_header_may_have_stay_small():
    names = {f"m.{i}.w": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(60_000)}
    content = safetensors(json.dumps(names, separators=(",", ":")).encode(), bytes(240_000))
    problem, took, peak = verdict(read_safetensors, HeldBytes("many", content))
    assert problem is None
    assert peak < 64e6
    assert took < HANGS_S
    many = Gguf((), tuple(tensor(b"t%d" % i, offset=32 * i) for i in range(60_000)), 60_000 * 32).pack()
    problem, took, peak = verdict(read_gguf, HeldBytes("many", many))
    assert problem is None
    assert peak < 64e6
    assert took < HANGS_S


ORACLE = """
import ctypes, pathlib, sys, xllamacpp
library = ctypes.CDLL(str(next(pathlib.Path(xllamacpp.__file__).parent.glob("*.so"))))
class Parameters(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]
library.gguf_init_from_file.restype = ctypes.c_void_p
library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Parameters]
for path in sys.stdin.read().split():
    print(pathlib.Path(path).name, bool(library.gguf_init_from_file(path.encode(), Parameters(True, None))), flush=True)
"""
# Deliberately read although llama.cpp does not: it could be said what they are, and the specification allows them.
ONLY_OURS = {"gguf whole: big-endian", "gguf whole: lists in lists"}


def test_nothing_is_accepted_that_llama_cpp_refuses(valid, tmp_path):
    pytest.importorskip("xllamacpp")
    small = [(file.name, file.content) for file in FILES if file.format == "gguf" and len(file.content) < 1e6]
    damaged = [(str(index), content) for index, content in enumerate(mutations(dict(valid)["gguf"], 400, 5))]
    paths = {}
    for index, (name, content) in enumerate(small + damaged):
        path = tmp_path / str(index)
        path.write_bytes(content)
        if name not in ONLY_OURS and problem_of(check_gguf, path) is None:
            paths[path.name] = name
    listed = "\n".join(str(tmp_path / name) for name in paths)
    done = subprocess.run([sys.executable, "-c", ORACLE], input=listed.encode(), capture_output=True, check=True)
    theirs = dict(
        line.split() for line in done.stdout.decode("utf-8", "replace").splitlines() if len(line.split()) == 2
    )
    assert {paths[name] for name in paths if theirs.get(name) != "True"} == set()
    assert len(paths) > 100


def test_block_sizes_are_those_of_ggml():
    gguf = pytest.importorskip("gguf")
    theirs = {kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind]) for kind in gguf.GGMLQuantizationType}
    assert {row.id: (row.name, row.block, row.block_bytes) for row in BY_ID.values()} == theirs


def test_real_vocabularies_of_llama_cpp(tmp_path):
    folder = needs_shared("tokenizers", "llama_cpp_vocab")
    found = {path.name: check_gguf(path) for path in sorted(folder.glob("*.gguf"))}
    assert len(found) >= 6
    spm = found["ggml-vocab-llama-spm.gguf"]
    assert (spm.text("general.architecture"), spm.text("tokenizer.ggml.model")) == ("llama", "llama")
    assert spm.metadata["tokenizer.ggml.tokens"].length == 32_000
    assert not spm.tensors


def test_nothing_is_accepted_that_the_safetensors_package_refuses(valid, tmp_path):
    from safetensors import SafetensorError, safe_open

    path = tmp_path / "a.safetensors"
    content = dict(valid)["safetensors"]
    disagreed = []
    made = ((file.name, file.content) for file in FILES if file.format == "safetensors")
    damages = ((str(index), damaged) for index, damaged in enumerate(mutations(content, 300, 9)))
    for name, damaged in chain([("undamaged", content)], made, damages):
        path.write_bytes(damaged)
        ours = theirs = True
        try:
            check_safetensors(path)
        except ModelError:
            ours = False
        try:
            with safe_open(path, "np") as opened:
                opened.keys()
        except (SafetensorError, OSError):
            theirs = False
        if ours and not theirs:
            disagreed.append(name)
    assert not disagreed
