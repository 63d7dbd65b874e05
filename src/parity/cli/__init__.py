"""The command line: one file a verb, flags derived from the verb's spec. Imports nothing heavy until a verb runs."""

from parity.cli.app import main

__all__ = ["main"]
