"""A transformers folder computed in fp32: what a GGUF file of it is held against. Knows ids and logits, not files.

With an adapter it is what PEFT makes of the two, so that a merge can be held against it.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parity.errors import ModelError


class Logits(Protocol):
    """Something that has logits of ids: computed, or kept from before."""

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each id of one sequence."""
        ...


class Computes(Logits, Protocol):
    """Something that computes logits from ids: a folder here, or the llama.cpp engine."""

    def continued(self, ids: Sequence[int], tokens: int) -> tuple[tuple[int, ...], str]:
        """The likeliest ids after these, one by one, and their text."""
        ...


class FolderModel:
    """A folder's model and tokenizer, each loaded when it is first needed.

    Raises:
        ModelError: weights or adapter cannot be loaded.
    """

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        self.folder, self._adapter = folder, adapter

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False, local_files_only=True)

    @property
    def context_tokens(self) -> int | None:
        found = getattr(self._model.config, "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer: those of the generation settings, and the tokenizer's EOS."""
        said = getattr(self._model.generation_config, "eos_token_id", None)
        several = said if isinstance(said, list | tuple) else [said]
        return frozenset(one for one in (*several, self.tokenizer.eos_token_id) if isinstance(one, int))

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each id of one sequence."""
        import torch

        with torch.inference_mode():
            found: NDArray[np.float32] = self._model(torch.tensor([list(ids)])).logits[0].float().numpy()
        return found

    def continued(self, ids: Sequence[int], tokens: int) -> tuple[tuple[int, ...], str]:
        """The likeliest `tokens` ids after these, one by one, and their text; end tokens are tokens like others."""
        import torch

        found: list[int] = []
        waiting, cache = torch.tensor([list(ids)]), None
        with torch.inference_mode():
            while len(found) < tokens:
                output = self._model(waiting, cache=cache, use_cache=True)
                cache = output.cache
                found.append(int(output.logits[0, -1].argmax()))
                waiting = torch.tensor([found[-1:]])
        return tuple(found), self.tokenizer.decode(found, skip_special_tokens=True)

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, **options)
            if self._adapter is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(self._adapter))
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"transformers cannot load {self.folder}"
                + (f" with {self._adapter}" if self._adapter else "")
                + f": {error}",
                "Check the paths; the adapter must be one for this base.",
            ) from error
        return model.eval()
