"""A reward model that was trained here, asked: a number for prompt and answer; how often it prefers rightly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from parity.errors import ModelError
from parity.stats.intervals import wilson
from parity.tuning.loading import base_folder, load_tokenizer
from parity.tuning.tokens import Pair


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A loaded reward model."""

    model: Any

    def score(self, ids: Sequence[int]) -> float:
        """The reward of one row of token ids."""
        with torch.inference_mode():
            return float(self.model(input_ids=torch.tensor([list(ids)])).logits[0, 0])


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the better answer gets the higher reward, with a 95 % interval (Wilson)."""

    right: int
    pairs: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.pairs


def load_reward_model(folder: Path) -> RewardModel:
    """A reward model from the folder a training wrote: all weights, or an adapter on its base.

    Raises:
        ModelError: the folder holds none.
    """
    from transformers import AutoModelForSequenceClassification as Model

    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    if (folder / "adapter_config.json").is_file():
        from peft import PeftModel

        base = json.loads((folder / "manifest.json").read_text())["base"]
        model: Any = Model.from_pretrained(base_folder(base), num_labels=1, dtype=torch.float32, **options)
        model = PeftModel.from_pretrained(model, str(folder))
    elif (folder / "config.json").is_file():
        model = Model.from_pretrained(folder, **options)
    else:
        raise ModelError(f"{folder} holds no reward model.", "Train one: parity tune --method reward ...")
    # The reward is read at the last token that is no padding, and an adapter does not carry its base's configuration.
    model.config.get_text_config().pad_token_id = load_tokenizer(folder).pad_token_id
    if model.config.num_labels != 1:
        raise ModelError(f"{folder} gives {model.config.num_labels} numbers, not one reward.", "Name a reward model.")
    return RewardModel(model.eval())


def preference_accuracy(model: RewardModel, pairs: Sequence[Pair]) -> Accuracy:
    """Ask the model about both answers of every pair; a tie counts as wrong."""
    right = sum(
        model.score((*pair.prompt, *pair.chosen)) > model.score((*pair.prompt, *pair.rejected)) for pair in pairs
    )
    interval = wilson(right, len(pairs))
    return Accuracy(right, len(pairs), interval.low, interval.high)
