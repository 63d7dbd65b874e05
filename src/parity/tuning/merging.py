"""An adapter merged into its base, and the proof: the merged model's logits are those of base and adapter together.

`models.merge` does the work tensor by tensor where an adapter's file says all; adapters on fused experts, which the
base's files keep apart, are merged in memory by PEFT and written back expert by expert.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parity.core.refs import Scheme
from parity.errors import ModelError
from parity.files import read_object
from parity.models.merge import merge_adapter
from parity.tuning.loading import base_folder
from parity.tuning.quiet import quiet

Progress = Callable[[str, int, int], None]
_PROBE_ROWS, _PROBE_TOKENS = 4, 32


@dataclass(frozen=True, slots=True)
class MergeReport:
    """A merged model, checked. `apart`: largest difference of a log-probability to base with adapter, in nats.

    `moved`: the same between merged and base, so that a merge that did nothing is seen. `agree`: share of positions
    with the same most likely token.
    """

    folder: Path
    changed: int
    tensors: int
    apart: float
    moved: float
    agree: float


# Rounding of the base's number type: fp32 adds in another order; bf16 keeps 8 bits of a weight.
_LIMITS = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.5}


def merge(base: str | None, adapter: Path, folder: Path, on_progress: Progress | None = None) -> MergeReport:
    """Merge, load both again, and compare their log-probabilities on random rows of token ids.

    `base` None: the one the adapter's manifest or configuration names.

    Raises:
        ModelError: a part is missing or broken, they do not belong together, or the merged model says something else.
    """
    source = base_folder(base or named_base(adapter))
    with quiet():
        changed, tensors = merge_folders(source, adapter, folder, on_progress)
        apart, moved, agree, limit = _compared(source, adapter, folder)
    if apart > limit:
        raise ModelError(
            f"{folder} differs from base and adapter by {apart:.3g} nats, more than {limit:g}.",
            "Do not use it: merge into the base the adapter was trained on, in 16 or 32 bits.",
        )
    return MergeReport(folder, changed, tensors, apart, moved, agree)


def named_base(adapter: Path) -> str:
    """The base an adapter says it is for.

    Raises:
        ModelError: it names none.
    """
    manifest = adapter / "manifest.json"
    if manifest.is_file():
        found = json.loads(manifest.read_text()).get("base")
    else:
        todo = "Check the path of the adapter."
        path = adapter / "adapter_config.json"
        found = read_object(path, "adapter configuration", ModelError, todo).get("base_model_name_or_path")
    if not isinstance(found, str) or not found:
        raise ModelError(f"{adapter} does not say for which base it is.", "Name it: parity merge ADAPTER --base BASE.")
    known = found.startswith((f"{Scheme.HUB.value}:", "/", ".")) or Path(found).exists()
    return found if known or found.count("/") != 1 else f"{Scheme.HUB.value}:{found}"


def merge_folders(base: Path, adapter: Path, folder: Path, on_progress: Progress | None = None) -> tuple[int, int]:
    """Merge without the proof; returns how many tensors changed, of how many.

    Raises:
        ModelError: as `merge`.
    """
    todo = "Check the path of the adapter."
    config = read_object(adapter / "adapter_config.json", "adapter configuration", ModelError, todo)
    if not config.get("target_parameters"):
        done = merge_adapter(base, adapter, folder, on_progress)
        return done.changed, done.tensors
    return _in_memory(base, adapter, folder)


def _in_memory(base: Path, adapter: Path, folder: Path) -> tuple[int, int]:
    from transformers import AutoTokenizer

    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} is not empty.", "Name a new folder for the merged model.")
    model = _load(base, "auto")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    merged: Any = _with_adapter(model, adapter).merge_and_unload()
    after = merged.state_dict()
    changed = sum(not torch.equal(before[name], weight) for name, weight in after.items())
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        merged.save_pretrained(scratch)
        AutoTokenizer.from_pretrained(base, local_files_only=True).save_pretrained(scratch)
        folder.mkdir(exist_ok=True)
        for path in Path(scratch).iterdir():
            path.rename(folder / path.name)
    return changed, len(after)


def _compared(base: Path, adapter: Path, merged: Path) -> tuple[float, float, float, float]:
    plain = _load(base, "auto")
    dtype = plain.dtype
    rows = _probe(plain.get_input_embeddings().weight.shape[0])
    with torch.inference_mode():
        of_base = _log_probabilities(_load(base, torch.float32), rows)
        adapted = _log_probabilities(_with_adapter(_load(base, torch.float32), adapter), rows)
        of_merged = _log_probabilities(_load(merged, torch.float32), rows)
    agree = float((adapted.argmax(-1) == of_merged.argmax(-1)).float().mean())
    return _apart(adapted, of_merged), _apart(of_base, of_merged), agree, _LIMITS.get(dtype, _LIMITS[torch.bfloat16])


def _probe(vocabulary: int) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, vocabulary, (_PROBE_ROWS, _PROBE_TOKENS), generator=random)


def _log_probabilities(model: Any, rows: Tensor) -> Tensor:
    found: Tensor = model(input_ids=rows, use_cache=False).logits.float().log_softmax(-1)
    return found


def _apart(one: Tensor, other: Tensor) -> float:
    """Largest difference among tokens that either gives a chance of one in a thousand: rare tokens are all noise."""
    likely = torch.maximum(one, other) > -6.9
    return float((one - other).abs()[likely].max()) if bool(likely.any()) else float((one - other).abs().max())


def _load(folder: Path, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options).eval()


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter)).eval()
