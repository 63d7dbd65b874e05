"""GGUF files through llama.cpp, in a process of their own."""
