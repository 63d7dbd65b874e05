"""Open weights on ordinary machines: transformers folders to GGUF, fewer bits a weight, and what that takes to do well.

Sits above the engines, whose library holds the kernels. Verbs return values; nothing here draws.
"""
