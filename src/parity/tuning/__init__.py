"""Recipes in, adapters and checkpoints out; TRL and PEFT make the steps, Parity owns data, order and record.

Nothing here can see a benchmark item: a score it may train towards is handed in as a callable, a reward is a marker.
"""
