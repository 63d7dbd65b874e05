"""A GGUF file's own tokenizer, as llama.cpp runs it, under the names that transformers gives such things.

So what encodes prompts, renders chats and writes answers is the same for every engine. Control tokens in a text are
special tokens; `encode_plain` takes them for the text they are.
"""

import ctypes as c
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_NONE = -1


class LlamaTokenizer:
    """Encodes and decodes for one loaded model. `ends` are all ids by which it may end an answer."""

    # Tokens that are special and no control tokens: there are none in a GGUF file.
    added_tokens_decoder: Mapping[int, Any] = {}

    def __init__(self, library: c.CDLL, model: int) -> None:
        self._library, self._vocabulary = library, library.llama_model_get_vocab(model)
        self.size: int = library.llama_vocab_n_tokens(self._vocabulary)
        ids = range(self.size)
        control = [at for at in ids if library.llama_vocab_is_control(self._vocabulary, at)]
        self._control = {self._text(at): at for at in control}
        self.ends = frozenset(at for at in ids if library.llama_vocab_is_eog(self._vocabulary, at))
        self.bos_token_id = self._named("bos")
        self.eos_token_id = self._named("eos")
        self.pad_token_id = self._named("pad")
        self.adds_bos = bool(library.llama_vocab_get_add_bos(self._vocabulary))
        self.adds_eos = bool(library.llama_vocab_get_add_eos(self._vocabulary))

    @property
    def bos_token(self) -> str | None:
        return None if self.bos_token_id is None else self._text(self.bos_token_id)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """What a chat template calls the special tokens."""
        named = {"bos_token": self.bos_token_id, "eos_token": self.eos_token_id, "pad_token": self.pad_token_id}
        return {name: self._text(at) for name, at in named.items() if at is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        return list(self._control)

    def encode(self, text: str, add_special_tokens: bool = True, verbose: bool = True) -> list[int]:
        """Ids of a text; control tokens in it are read as such."""
        return self._encode(text, add_special_tokens, True)

    def encode_plain(self, text: str) -> list[int]:
        """Ids of a text, whatever it looks like."""
        return self._encode(text, False, False)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids together; bytes that form no character become the replacement character."""
        if not ids:
            return ""
        array = np.asarray(ids, np.int32)
        pointer = array.ctypes.data_as(c.POINTER(c.c_int32))
        room = 16 * len(ids) + 64
        while True:
            buffer = c.create_string_buffer(room)
            written = self._library.llama_detokenize(
                self._vocabulary, pointer, len(ids), buffer, room, skip_special_tokens, not skip_special_tokens
            )
            if written >= 0:
                return buffer.raw[:written].decode("utf-8", "replace")
            room = -written

    def pieces(self) -> list[bytes]:
        """The bytes of every token, its leading space included; of control tokens what they are called."""
        buffer = c.create_string_buffer(4096)
        named = {at: name.encode() for name, at in self._control.items()}
        return [named.get(at) or self._piece(at, buffer) for at in range(self.size)]

    def control_ids(self) -> list[int]:
        return sorted(self._control.values())

    def convert_ids_to_tokens(self, token: int) -> str:
        return self._text(token)

    def convert_tokens_to_ids(self, token: str) -> int:
        return self._control[token]

    def _encode(self, text: str, special: bool, parse: bool) -> list[int]:
        raw = text.encode("utf-8", "surrogatepass")
        room = len(raw) + 8
        while True:
            ids = np.empty(room, np.int32)
            pointer = ids.ctypes.data_as(c.POINTER(c.c_int32))
            found = self._library.llama_tokenize(self._vocabulary, raw, len(raw), pointer, room, special, parse)
            if found >= 0:
                encoded: list[int] = ids[:found].tolist()
                return encoded
            room = -found

    def _piece(self, token: int, buffer: Any) -> bytes:
        written = self._library.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
        return bytes(buffer.raw[: max(0, written)])

    def _text(self, token: int) -> str:
        raw: bytes = self._library.llama_vocab_get_text(self._vocabulary, token)
        return raw.decode("utf-8", "replace")

    def _named(self, name: str) -> int | None:
        found: int = getattr(self._library, f"llama_vocab_{name}")(self._vocabulary)
        return None if found == _NONE else found
