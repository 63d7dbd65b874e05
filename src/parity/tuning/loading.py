"""The model that will be trained: weights loaded, quantized to 4 bits, or new from a configuration; adapters put on it.

Local safetensors only; code that comes with a model is never run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError, UsageError
from parity.models.cache import snapshot
from parity.tuning.adapters import AdapterCount, count_adapters, find_targets, lora_config
from parity.tuning.recipe import Method, Weights

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to train. `adapters` is empty when all weights train."""

    model: "PreTrainedModel | PeftModel"
    tokenizer: "PreTrainedTokenizerBase"
    adapters: tuple[AdapterCount, ...]


def base_folder(base: str) -> Path:
    """The folder of the base model on this machine.

    Raises:
        UsageError: the name is not that of weights that can be trained.
        ModelError: a hub model that has not been pulled, or no such folder.
    """
    ref = ModelRef.parse(base)
    if ref.scheme is Scheme.HUB:
        return snapshot(ref)[1]
    if ref.scheme is not Scheme.FOLDER:
        raise UsageError(
            f"{base} cannot be trained: only safetensors weights can.", "Name a folder or hf:org/name@revision."
        )
    folder = Path(ref.name).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json.", "Name the folder of a model.")
    return folder


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder, with something to pad with.

    Raises:
        ModelError: there is none, or it has no end-of-text token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no tokenizer that can be read: {error}.", "Save one beside it.") from error
    if tokenizer.eos_token is None:
        raise ModelError(f"The tokenizer of {folder} has no end-of-text token.", "Set eos_token and save it again.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def number_type(precision: str, weights: Weights, method: Method) -> torch.dtype:
    """What the base's weights are kept in.

    fp32 where all weights train (AdamW's small steps vanish in bf16); bf16 under adapters where the processor
    multiplies it faster than fp32.
    """
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if weights == "full" or method == "pretrain":
        return torch.float32
    if torch.cuda.is_available():
        return torch.bfloat16
    cpu: Any = torch.cpu
    return torch.bfloat16 if cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported() else torch.float32


def load(
    folder: Path,
    method: Method,
    weights: Weights,
    rank: int,
    experts: Literal["train", "frozen"],
    dtype: torch.dtype,
    seed: int,
) -> Loaded:
    """The model with its adapters, the seed set before any new weight is drawn.

    Raises:
        ModelError: broken or missing weights, or an adapter that cannot be what was asked.
    """
    from transformers import set_seed

    set_seed(seed)
    tokenizer = load_tokenizer(folder)
    model = _new(folder) if method == "pretrain" else _stored(folder, weights, dtype, method)
    _check_vocabulary(model, tokenizer, folder)
    model.config.use_cache = False
    model.config.pad_token_id = tokenizer.pad_token_id
    if weights == "full":
        return Loaded(model, tokenizer, ())
    from peft import get_peft_model, prepare_model_for_kbit_training

    targets = find_targets(model)
    task = "SEQ_CLS" if method == "reward" else "CAUSAL_LM"
    config = lora_config(model, weights, rank, experts, task)
    if weights == "qlora":
        _keep_packing(model)
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(seed)
    adapted: Any = get_peft_model(model, config)
    return Loaded(adapted, tokenizer, count_adapters(adapted, targets, experts))


def _new(folder: Path) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    config.dtype = torch.float32
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return made


def _stored(folder: Path, weights: Weights, dtype: torch.dtype, method: Method) -> "PreTrainedModel":
    import transformers

    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} holds no safetensors weights.", 'Weights are made new with method = "pretrain".')
    extra: dict[str, Any] = {}
    if weights == "qlora":
        extra["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    kind: Any = transformers.AutoModelForCausalLM
    if method == "reward":
        kind, extra["num_labels"] = transformers.AutoModelForSequenceClassification, 1
    try:
        model: PreTrainedModel = kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True, **extra
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"The weights in {folder} cannot be loaded: {error}.", "Download the model again.") from error
    return model


def _keep_packing(model: "PreTrainedModel") -> None:
    """On a CPU bitsandbytes 0.50 packs weights anew when a model is first asked without gradients, as at the first look
    at dev: scales are rounded to bf16, training would go on with other weights, and widths must divide by 64."""
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False


def _check_vocabulary(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    rows = len(model.get_input_embeddings().weight)  # type: ignore[arg-type]
    if len(tokenizer) > rows:
        raise ModelError(
            f"The tokenizer of {folder} has {len(tokenizer):,} ids, the model {rows:,} embeddings.",
            "Use the model's own tokenizer, or resize the embeddings first.",
        )
