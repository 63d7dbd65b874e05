"""TRL's trainers with Parity's data path: rows come tokenized and audited, in a fixed order, and are not touched again.

Subclasses, never patches: what TRL does to data is overridden, what it does to weights is left alone. Versions are
locked in pyproject.
"""

from typing import Any

from torch import Tensor
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from parity.errors import ModelError
from parity.tuning.loss import next_token_loss

# Configurations whose output layer does more than multiply: TRL's own fused loss knows them, ours does not.
_HEAD_TRAITS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")


def model_config(model: Any) -> Any:
    """The configuration of a model, wrapped in adapters or not."""
    return model.config


class TextTrainer(SFTTrainer):
    """Next-token training on packed micro-batches (pretrain, continue, sft).

    `dev_share`: micro-batches of dev a learned token of dev, so that their mean is the mean over tokens.
    """

    dev_share: float = 0.0

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["lines", "dev"]  # type: ignore[assignment]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum of the micro-batch's losses over the learned tokens of the whole step: exact under accumulation."""
        weights = inputs.pop("token_weights", None)
        plain = not any(getattr(model_config(self.model), trait, None) for trait in _HEAD_TRAITS)
        if self.aux_loss_enabled or not plain:
            if weights is not None:
                raise ModelError(
                    "prompt_loss weights single tokens, and this model has a capped output layer or trained routers.",
                    "Leave prompt_loss at 0.",
                )
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"]
        summed = self._summed(model, inputs, labels, weights)
        if not model.training:
            return summed * self.dev_share
        count = num_items_in_batch if num_items_in_batch is not None else (labels[:, 1:] != -100).sum()
        scale = 1
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            scale = self.accelerator.num_processes
        loss = summed / max(int(count), 1) * scale
        return (loss, None) if return_outputs else loss

    def _summed(self, model: Any, inputs: dict[str, Any], labels: Tensor, weights: Tensor | None) -> Tensor:
        # Through the wrapped model, so that gradients are shared between processes; its own logits are of one token.
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**rest, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        return next_token_loss(outputs.hidden_states[-1], head, labels, weights)


class _AsGiven:
    """Rows that are tokenized already stay as they are."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class DpoTrainer(_AsGiven, DPOTrainer):
    """Direct preference optimization on tokenized pairs."""


class KtoTrainer(_AsGiven, KTOTrainer):
    """KTO on tokenized answers with a thumb up or down; the mismatched answers for its KL come with the rows."""


class RewardModelTrainer(_AsGiven, RewardTrainer):
    """A reward model from tokenized pairs; its tokenizer went through `part_padding` first."""


def part_padding(tokenizer: Any, endings: set[int]) -> None:
    """Pad with a special token that no row ends with: the reward is read at the last token that is no padding.

    Where a tokenizer pads with its end token, that would be the token before the end, and a tokenizer without another
    special token stays as it is. What was chosen is saved with the tokenizer, and `scoring` reads it there.
    """
    if tokenizer.pad_token_id not in endings:
        return
    others = [token for token in tokenizer.all_special_ids if token not in endings]
    if others:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(others[0])


class _PromptIds:
    """Prompts that are tokenized already: the text TRL carries is looked up, never tokenized again."""

    prompt_ids: dict[str, list[int]]

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.prompt_ids[prompt] for prompt in prompts], None, {}


class GrpoTrainer(_PromptIds, GRPOTrainer):
    """GRPO on tokenized prompts."""


class RlooTrainer(_PromptIds, RLOOTrainer):
    """RLOO on tokenized prompts."""
