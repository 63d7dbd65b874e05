"""From text to token ids and back, and in which order ids are computed: for every engine that runs a model itself.

No tensors, and no library that has them.
"""
