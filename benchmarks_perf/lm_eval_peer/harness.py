"""The harness's model as every comparison here loads it: fp32, on the CPU. Run by `.venv-peers/bin/python`."""

import argparse
from typing import TypeVar

from lm_eval.models.huggingface import HFLM

Model = TypeVar("Model", bound=HFLM)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments `load` reads."""
    parser.add_argument("--model", required=True, help="transformers folder")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True, help="tokens; longer prompts lose their beginning")


def load(arguments: argparse.Namespace, kind: type[Model]) -> Model:
    """The model, of the harness's class or one that watches it."""
    return kind(
        pretrained=arguments.model,
        dtype="float32",
        device="cpu",
        batch_size=arguments.batch_size,
        max_length=arguments.max_length,
    )
