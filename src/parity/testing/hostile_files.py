"""Weight files made to break a reader: each breaks one rule, and says which; some are whole, so that a reader that
refuses everything is found too. Also seeded mutations of whole files.

    for file in hostile_files():
        path.write_bytes(file.content)      # then: refused, unless file.whole

The rules come from published advisories and bug reports of GGUF and safetensors readers (overflowing sizes, list
lengths of 2^63, alignment 0, duplicate names, offsets behind the end, ...).
"""

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

UINT8, UINT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 0, 4, 6, 7, 8, 9, 10
F32, Q4_0, Q4_K = 0, 2, 12


@dataclass(frozen=True, slots=True)
class HostileFile:
    """One file. `rule` says what a reader must notice; `whole`: nothing, the file is well formed."""

    name: str
    format: Literal["gguf", "safetensors"]
    rule: str
    content: bytes
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Gguf:
    """A GGUF file, field by field, none of them checked. `tensors` are entries made by `tensor`."""

    keys: tuple[bytes, ...] = ()
    tensors: tuple[bytes, ...] = ()
    data_bytes: int = 0
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    key_count: int | None = None
    order: Literal["<", ">"] = "<"
    alignment: int = 32

    def pack(self) -> bytes:
        many = len(self.tensors) if self.tensor_count is None else self.tensor_count
        keys = len(self.keys) if self.key_count is None else self.key_count
        head = self.magic + struct.pack(self.order + "IQQ", self.version, many, keys)
        head += b"".join(self.keys) + b"".join(self.tensors)
        return head + b"\0" * (-len(head) % self.alignment if self.tensors else 0) + b"\0" * self.data_bytes


def text(content: bytes, length: int | None = None, order: str = "<") -> bytes:
    """A GGUF text; `length` lies about it."""
    return struct.pack(order + "Q", len(content) if length is None else length) + content


def key(name: bytes, kind: int, value: bytes, order: str = "<") -> bytes:
    """A GGUF key, its type and its value as they are."""
    return text(name, order=order) + struct.pack(order + "I", kind) + value


def number(name: bytes, value: int, order: str = "<") -> bytes:
    """A 32-bit key."""
    return key(name, UINT32, struct.pack(order + "I", value), order)


def array(kind: int, length: int, content: bytes = b"") -> bytes:
    """A GGUF list that claims `length` elements."""
    return struct.pack("<IQ", kind, length) + content


def tensor(name: bytes, shape: tuple[int, ...] = (8,), kind: int = F32, offset: int = 0, order: str = "<") -> bytes:
    """A GGUF tensor entry."""
    extents = struct.pack(f"{order}I{len(shape)}Q", len(shape), *shape)
    return text(name, order=order) + extents + struct.pack(order + "IQ", kind, offset)


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file from a header (bytes as they are, anything else as JSON); `length` lies about it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def hostile_files() -> Iterator[HostileFile]:
    """Every hand-made file, hostile and whole."""
    for name, (rule, content) in {**_gguf_heads(), **_gguf_values(), **_gguf_tensors()}.items():
        yield HostileFile(name, "gguf", rule, content)
    for name, (rule, content) in {**_safetensors_headers(), **_safetensors_entries()}.items():
        yield HostileFile(name, "safetensors", rule, content)
    yield from whole_files()


def whole_files() -> Iterator[HostileFile]:
    """Small files that look odd and are well formed."""
    small = Gguf((number(b"general.alignment", 64),), (tensor(b"a"), tensor(b"b", offset=64)), 96, alignment=64)
    nested = array(ARRAY, 2, array(UINT8, 1, b"\1") + array(UINT8, 0))
    big = Gguf((number(b"k", 7, ">"),), (tensor(b"a", order=">"),), 32, order=">")
    for name, file in {
        "nothing in it": Gguf(),
        "alignment 64": small,
        "version 2": replace(small, version=2),
        "big-endian": big,
        "lists in lists": Gguf((key(b"n", ARRAY, nested),)),
        "an empty text": Gguf((key(b"n", STRING, text(b"")),)),
        "no padding at the end": Gguf((), (tensor(b"a", (9,)),), 36),
        "blocks": Gguf((), (tensor(b"a", (256, 2), Q4_K),), 288),
        "500 keys": Gguf(tuple(number(b"k%d" % index, index) for index in range(500))),
    }.items():
        yield HostileFile(f"gguf whole: {name}", "gguf", "", file.pack(), whole=True)
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for name, content in {
        "no tensors": safetensors({}),
        "empty metadata": safetensors({"__metadata__": {}, "w": one}, bytes(8)),
        "metadata": safetensors({"__metadata__": {"format": "pt"}, "w": one}, bytes(8)),
        "metadata named like a tensor's": safetensors(
            {"__metadata__": {"dtype": "a", "shape": "b", "data_offsets": "c"}, "w": one}, bytes(8)
        ),
        "padded with spaces": safetensors(json.dumps({"w": one}).encode() + b"   ", bytes(8)),
        "a scalar and an empty tensor": safetensors(
            {"s": {**one, "shape": [], "data_offsets": [0, 4]}, "e": {**one, "shape": [0, 4], "data_offsets": [4, 4]}},
            bytes(4),
        ),
    }.items():
        yield HostileFile(f"safetensors whole: {name}", "safetensors", "", content, whole=True)


def _gguf_heads() -> Mapping[str, tuple[str, bytes]]:
    good = Gguf((number(b"k", 1),), (tensor(b"a"),), 32)
    whole = good.pack()
    return {
        "an empty file": ("shorter than the magic", b""),
        "only the magic": ("shorter than the header", b"GGUF"),
        "cut in the counts": ("shorter than the header", whole[:20]),
        "wrong magic": ("magic", replace(good, magic=b"GGML").pack()),
        "version 0": ("version", replace(good, version=0).pack()),
        "version 1": ("version", replace(good, version=1).pack()),
        "version 4": ("version", replace(good, version=4).pack()),
        "version of nowhere": ("version", replace(good, version=0x01020304).pack()),
        "2^64-1 tensors": ("tensor count against the file", replace(good, tensor_count=2**64 - 1).pack()),
        "2^63 tensors": ("tensor count against the file", replace(good, tensor_count=2**63).pack()),
        "a million tensors": ("tensor count against the file", replace(good, tensor_count=10**6).pack()),
        "one tensor too many": ("tensor count against the file", replace(good, tensor_count=2).pack()),
        "2^64-1 keys": ("key count against the file", replace(good, key_count=2**64 - 1).pack()),
        "2^32 keys": ("key count against the file", replace(good, key_count=2**32).pack()),
        "one key too many": ("key count against the file", Gguf((number(b"k", 1),), key_count=2).pack()),
        "cut in a key": ("the file's end", Gguf((number(b"key", 1),)).pack()[:-3]),
        "cut in the data": ("the file's end", whole[:-1]),
        "cut before the data": ("the file's end", whole[:-32]),
        "big-endian, cut": ("the file's end", Gguf((), (tensor(b"a", order=">"),), 31, order=">").pack()),
        "little-endian with a big-endian version": ("byte order", whole[:4] + struct.pack(">I", 3) + whole[8:]),
    }


def _gguf_values() -> Mapping[str, tuple[str, bytes]]:
    def keys(*entries: bytes) -> bytes:
        return Gguf(entries).pack()

    def listed(content: bytes) -> bytes:
        return keys(key(b"k", ARRAY, content))

    def aligned(value: bytes, kind: int = UINT32) -> bytes:
        return Gguf((key(b"general.alignment", kind, value),), (tensor(b"a"),), 4096).pack()

    def alignment(value: int) -> bytes:
        return aligned(struct.pack("<I", value))

    deep = b""
    for _ in range(3000):
        deep = struct.pack("<IQ", ARRAY, 1) + deep
    five = array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(UINT8, 1, b"\0")))))
    return {
        "an empty key": ("keys have a name", keys(key(b"", UINT32, bytes(4)))),
        "a key of 2^62 bytes": ("key length", keys(text(b"key", 2**62) + bytes(8))),
        "a key of 70,000 bytes": ("key length", keys(number(b"k" * 70_000, 1))),
        "a key that is not ASCII": ("keys are ASCII", keys(number("clé".encode(), 1))),
        "a key that is not UTF-8": ("texts are UTF-8", keys(number(b"\xff\xfe", 1))),
        "a key twice": ("duplicate keys", keys(number(b"k", 1), number(b"k", 2))),
        "value type 13": ("value types", keys(key(b"k", 13, bytes(8)))),
        "value type 2^32-1": ("value types", keys(key(b"k", 2**32 - 1, bytes(8)))),
        "a truth value of 2": ("truth values", keys(key(b"k", BOOL, b"\2"))),
        "a text of 2^62 bytes": ("text length against the file", keys(key(b"k", STRING, text(b"abc", 2**62)))),
        "a text of 2^64-1 bytes": ("text length against the file", keys(key(b"k", STRING, text(b"abc", 2**64 - 1)))),
        "a text one byte too long": ("text length against the file", keys(key(b"k", STRING, text(b"abc", 4)))),
        "a text that is not UTF-8": ("texts are UTF-8", keys(key(b"k", STRING, text(b"\xc3\x28")))),
        "a list of 2^63 bytes": ("list length against the file", listed(array(UINT8, 2**63))),
        "a list of 2^63 texts": ("list length against the file", listed(array(STRING, 2**63))),
        "a list of 2^64-1 numbers": ("list length against the file", listed(array(UINT64, 2**64 - 1))),
        "a list that overflows": ("exact integers", listed(array(UINT64, 2**61 + 1, bytes(8)))),
        "a list one element too long": ("list length against the file", listed(array(UINT32, 3, bytes(8)))),
        "a list of type 13": ("element types", listed(array(13, 1, bytes(8)))),
        "a list whose text is too long": ("text length against the file", listed(array(STRING, 1, text(b"a", 2**40)))),
        "a long list whose last text is too long": (
            "text length against the file", listed(array(STRING, 5_000, text(b"") * 4_999 + text(b"a", 2))),
        ),
        "lists nested 3,000 deep": ("nesting", listed(deep[12:] + array(UINT8, 1, b"\0"))),
        "lists nested 5 deep": ("nesting", listed(five)),
        "three million empty texts": ("time", listed(array(STRING, 3_000_000, bytes(24_000_000)))),
        "a million empty lists": ("time", listed(array(ARRAY, 1_000_000, array(UINT8, 0) * 1_000_000))),
        "alignment 0": ("alignment", alignment(0)),
        "alignment 1": ("alignment", alignment(1)),
        "alignment 33": ("alignment", alignment(33)),
        "alignment 2^31": ("alignment", alignment(2**31)),
        "alignment as a text": ("alignment's type", aligned(text(b"32"), STRING)),
        "alignment in 64 bits": ("alignment's type", aligned(struct.pack("<Q", 32), UINT64)),
        "alignment as a list": ("alignment's type", aligned(array(UINT32, 1, struct.pack("<I", 32)), ARRAY)),
        "alignment as a truth value": ("alignment's type", aligned(b"\1", BOOL)),
        "alignment as a fraction": ("alignment's type", aligned(struct.pack("<f", 32.0), FLOAT32)),
    }  # fmt: skip


def _gguf_tensors() -> Mapping[str, tuple[str, bytes]]:
    def tensors(*entries: bytes, data_bytes: int = 64) -> bytes:
        return Gguf((), entries, data_bytes).pack()

    return {
        "a tensor without a name": ("tensor names", tensors(tensor(b""))),
        "a tensor's name of 65 bytes": ("tensor names", tensors(tensor(b"n" * 65))),
        "a tensor's name of 2^63 bytes": ("tensor names", tensors(text(b"a", 2**63) + tensor(b"a")[9:])),
        "a tensor's name that is not UTF-8": ("tensor names", tensors(tensor(b"\xff"))),
        "a tensor twice": ("duplicate tensors", tensors(tensor(b"a"), tensor(b"a", offset=32))),
        "no dimensions": ("dimensions", tensors(tensor(b"a", ()))),
        "5 dimensions": ("dimensions", tensors(tensor(b"a", (1, 1, 1, 1, 8)))),
        "2^32-1 dimensions": ("dimensions", tensors(text(b"a") + struct.pack("<I", 2**32 - 1) + bytes(40))),
        "a dimension of 0": ("dimensions", tensors(tensor(b"a", (8, 0)))),
        "a dimension of 2^63": ("dimensions", tensors(tensor(b"a", (2**63,)))),
        "a dimension of 2^64-1": ("dimensions", tensors(tensor(b"a", (2**64 - 1, 1)))),
        "elements that overflow to 0": ("exact integers", tensors(tensor(b"a", (2**32, 2**32)))),
        "elements that overflow to 8": ("exact integers", tensors(tensor(b"a", (8, 2**62 + 1, 4)))),
        "bytes that overflow": ("exact integers", tensors(tensor(b"a", (2**62,)))),
        "type 4, which was removed": ("tensor types", tensors(tensor(b"a", (32,), 4))),
        "type 99": ("tensor types", tensors(tensor(b"a", (32,), 99))),
        "type 2^31": ("tensor types", tensors(tensor(b"a", (32,), 2**31))),
        "rows that are no whole blocks": ("blocks", tensors(tensor(b"a", (31, 32), Q4_0))),
        "rows shorter than a block": ("blocks", tensors(tensor(b"a", (128, 2), Q4_K), data_bytes=288)),
        "an offset that is not aligned": ("alignment", tensors(tensor(b"a", offset=4))),
        "an offset behind the end": ("offsets", tensors(tensor(b"a", offset=2**40))),
        "an offset of 2^64-32": ("exact integers", tensors(tensor(b"a", offset=2**64 - 32))),
        "a tensor that ends behind the end": ("offsets", tensors(tensor(b"a", (17,)), data_bytes=64)),
        "tensors that overlap": ("overlap", tensors(tensor(b"a", (16,)), tensor(b"b", offset=32))),
        "two tensors at one place": ("overlap", tensors(tensor(b"a"), tensor(b"b"))),
        "a hole between tensors": ("holes", tensors(tensor(b"a"), tensor(b"b", offset=64), data_bytes=96)),
        "a hole before the first": ("holes", tensors(tensor(b"a", offset=32))),
        "tensors in another order than their data": ("order", tensors(tensor(b"b", offset=32), tensor(b"a"))),
        "cut in the table": ("the file's end", Gguf((), (tensor(b"a" * 30),)).pack()[:60]),
    }


def _safetensors_headers() -> Mapping[str, tuple[str, bytes]]:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    plain = json.dumps({"w": one}).encode()
    many = {f"t{index}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for index in range(100_000)}
    filled = b'{"__metadata__":{"a":"' + b"x" * (9 * 1024 * 1024) + b'"}}'
    emoji = '{"__metadata__":{"a":"😀"}}'.encode().replace(b'"}', b"x" * (5 * 1024 * 1024) + b'"}')
    return {
        "an empty safetensors file": ("shorter than 8 bytes", b""),
        "seven bytes": ("shorter than 8 bytes", bytes(7)),
        "a header of 2^64-1 bytes": ("header length against the file", safetensors(plain, bytes(8), 2**64 - 1)),
        "a header of 2^40 bytes": ("header length against the file", safetensors(plain, bytes(8), 2**40)),
        "a header one byte too long": ("header length against the file", safetensors(plain, b"", len(plain) + 1)),
        "a header of 9 MB": ("header length", safetensors(filled)),
        "5 MB of text beyond ASCII": ("memory", safetensors(emoji)),
        "a header of no bytes": ("JSON", safetensors(b"")),
        "no JSON": ("JSON", safetensors(b"{not json}")),
        "a list": ("JSON", safetensors(b"[]")),
        "a header that begins with a space": ("JSON", safetensors(b" " + plain, bytes(8))),
        "not UTF-8": ("UTF-8", safetensors(b'{"\xff": 1}')),
        "UTF-16": ("UTF-8", safetensors(plain.decode().encode("utf-16-le"), bytes(8))),
        "half a surrogate pair": ("UTF-8", safetensors(plain.replace(b'"w"', b'"\\ud800"'), bytes(8))),
        "lists nested 100,000 deep": ("nesting", safetensors(b'{"a":' + b"[" * 100_000)),
        "objects nested 60,000 deep": ("nesting", safetensors(b'{"a":' * 60_000)),
        "100,000 tensors": ("tensor count", safetensors(many)),
        "two million empty lists": ("memory", safetensors(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}")),
        "four million numbers": ("memory", safetensors(b'{"a":[' + b"1," * 3_900_000 + b"1]}")),
        "a tensor's name twice": ("duplicate keys", safetensors(plain[:-1] + b"," + plain[1:], bytes(8))),
        "a field twice": (
            "duplicate keys",
            safetensors(plain.replace(b'"shape"', b'"dtype": "U8", "shape"'), bytes(8)),
        ),
        "metadata that is a number": ("metadata", safetensors({"__metadata__": {"a": 1}, "w": one}, bytes(8))),
        "metadata that is a list": ("metadata", safetensors({"__metadata__": [], "w": one}, bytes(8))),
        "metadata that is a tensor": ("metadata", safetensors({"__metadata__": one}, bytes(8))),
        "metadata within metadata": ("metadata", safetensors({"__metadata__": {"a": {}}, "w": one}, bytes(8))),
        "a number of 5,000 digits": ("exact integers", safetensors(plain.replace(b"[2]", b"[" + b"9" * 5_000 + b"]"))),
        "a tensor that is text": ("entries", safetensors({"w": "tensor"})),
        "a tensor without offsets": ("entries", safetensors({"w": {"dtype": "F32", "shape": [0]}})),
    }


def _safetensors_entries() -> Mapping[str, tuple[str, bytes]]:
    def entries(*rows: Mapping[str, object], data_bytes: int = 8) -> bytes:
        one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        return safetensors({f"t{index}": {**one, **row} for index, row in enumerate(rows)}, bytes(data_bytes))

    return {
        "an unknown dtype": ("dtypes", entries({"dtype": "F99"})),
        "a dtype that is a number": ("dtypes", entries({"dtype": 32})),
        "a shape that is a number": ("shapes", entries({"shape": 2})),
        "a negative dimension": ("shapes", entries({"shape": [-2]})),
        "two negative dimensions": ("shapes", entries({"shape": [-2, -1]})),
        "a dimension that is a fraction": ("shapes", entries({"shape": [2.0]})),
        "a dimension that is true": ("shapes", entries({"shape": [True, 2]})),
        "a dimension of NaN": ("shapes", entries({"shape": [float("nan")]})),
        "a dimension of 2^64": ("exact integers", entries({"shape": [2**64]})),
        "a shape that overflows": ("exact integers", entries({"shape": [2**62 + 1, 2]})),
        "nine dimensions": ("shapes", entries({"shape": [1] * 8 + [2]})),
        "a shape too large for its bytes": ("shape against bytes", entries({"shape": [3]})),
        "a shape too small for its bytes": ("shape against bytes", entries({"shape": [1]})),
        "four bits that fill no byte": ("shape against bytes", entries({"dtype": "F4", "shape": [15]})),
        "three offsets": ("offsets", entries({"data_offsets": [0, 8, 8]})),
        "offsets backwards": ("offsets", entries({"shape": [0], "data_offsets": [8, 0]})),
        "a negative offset": ("offsets", entries({"data_offsets": [-8, 0]})),
        "an offset of 2^63": ("exact integers", entries({"data_offsets": [2**63, 2**63 + 8]})),
        "an offset behind the end of the file": ("offsets", entries({"data_offsets": [2**40, 2**40 + 8]})),
        "a hole at the beginning": ("holes", entries({"data_offsets": [8, 16]}, data_bytes=16)),
        "a hole in the middle": ("holes", entries({}, {"data_offsets": [16, 24]}, data_bytes=24)),
        "a tensor over another": ("overlap", entries({}, {"data_offsets": [4, 12]}, data_bytes=12)),
        "one place for two": ("overlap", entries({}, {}, data_bytes=16)),
        "data missing": ("the file's end", entries({}, data_bytes=7)),
        "data left over": ("the file's end", entries({}, data_bytes=9)),
    }


def mutations(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Seeded small damages of a file: flipped bits, other bytes, cuts, insertions, repeats, numbers at the edges."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice(_DAMAGES)(damaged, chance)
        yield bytes(damaged)


_EDGES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 1)


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace_byte(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.randrange(1, 17)]


def _insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randrange(1, 17))


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = data[at : at + chance.randrange(1, 65)]


def _edge(data: bytearray, chance: random.Random) -> None:
    width = chance.choice((4, 8))
    value = chance.choice(_EDGES) & (2 ** (8 * width) - 1)
    at = chance.randrange(max(len(data) - width, 0) + 1)
    data[at : at + width] = value.to_bytes(width, "little")


_DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _replace_byte, _cut, _remove, _insert, _repeat, _edge, _edge,
)  # fmt: skip
