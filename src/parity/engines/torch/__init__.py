"""Runs a transformers folder with torch: what prompts share is computed once, or plainly if that cannot be proved."""

from parity.engines.torch.engine import TorchEngine

__all__ = ["TorchEngine"]
