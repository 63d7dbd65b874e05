"""GGUF files through llama.cpp, in a process of their own."""

from parity.engines.llamacpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
