"""Runs a transformers folder with torch: simple and right. The fast scorer is another engine's work."""

from parity.engines.torch.engine import TorchEngine

__all__ = ["TorchEngine"]
