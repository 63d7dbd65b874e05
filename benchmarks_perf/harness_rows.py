"""Benchmark items as rows of the hub's data sets, so that the harness renders its own prompts from the raw fields.

Knows the columns of each data set and nothing of prompts: what both sides ask must come out equal by itself.
"""

from collections.abc import Callable, Iterable
from typing import Any

from parity.core.items import Item

Rows = Callable[[Item], dict[str, Any]]


def right(item: Item) -> int:
    """Position of the right option, from 0."""
    return item.letters.index(item.targets[0])


def arc(item: Item) -> dict[str, Any]:
    choices = {"text": list(item.options), "label": list(item.letters)}
    return {"id": item.id, "question": item.question, "choices": choices, "answerKey": item.targets[0]}


def hellaswag(item: Item) -> dict[str, Any]:
    label, _, scene = item.question.partition(": ")
    parts = {"activity_label": label, "ctx_a": scene, "ctx_b": ""}
    return parts | {"endings": list(item.options), "label": str(right(item))}


def winogrande(item: Item) -> dict[str, Any]:
    first, second = item.options
    return {"sentence": item.question, "option1": first, "option2": second, "answer": str(right(item) + 1)}


def piqa(item: Item) -> dict[str, Any]:
    first, second = item.options
    return {"goal": item.question, "sol1": first, "sol2": second, "label": right(item)}


def boolq(item: Item) -> dict[str, Any]:
    passage, _, question = item.question.rpartition("\nQuestion: ")
    return {"passage": passage, "question": question.removesuffix("?"), "label": right(item)}


def openbookqa(item: Item) -> dict[str, Any]:
    choices = {"text": list(item.options), "label": list(item.letters)}
    return {"question_stem": item.question, "choices": choices, "answerKey": item.targets[0]}


def truthfulqa(part: str) -> Rows:
    def row(item: Item) -> dict[str, Any]:
        labels = [int(letter in item.targets) for letter in item.letters]
        return {"question": item.question, f"{part}_targets": {"choices": list(item.options), "labels": labels}}

    return row


def gsm8k(item: Item) -> dict[str, Any]:
    return {"question": item.question, "answer": item.targets[0]}


def mathematics(item: Item) -> dict[str, Any]:
    return {"problem": item.question, "solution": item.targets[0]}


def bbh(item: Item) -> dict[str, Any]:
    return {"input": item.question, "target": item.targets[0]}


def agieval(item: Item) -> dict[str, Any]:
    """`hails/agieval-*` holds the prompt itself, as `query`: here equality says that nothing is added to it."""
    gold = [item.letters.index(target) for target in item.targets] if item.options else []
    return {"query": item.question, "choices": list(item.options), "gold": gold, "answer": ", ".join(item.targets)}


def medqa(item: Item) -> dict[str, Any]:
    endings = {f"ending{at}": option for at, option in enumerate(item.options)}
    return {"sent1": item.question, "label": right(item)} | endings


def medmcqa(item: Item) -> dict[str, Any]:
    options = dict(zip(("opa", "opb", "opc", "opd"), item.options, strict=True))
    return {"question": item.question, "cop": right(item)} | options


def pubmedqa(item: Item) -> dict[str, Any]:
    abstract, _, question = item.question.removeprefix("Abstract: ").rpartition("\nQuestion: ")
    return {"CONTEXTS": [abstract], "QUESTION": question, "final_decision": item.options[right(item)]}


def listed(items: Iterable[Item], row: Rows) -> list[dict[str, Any]]:
    return [row(item) for item in items]


def ifeval(item: Item) -> dict[str, Any]:
    """The prompt alone: what is told is not part of it."""
    return {"prompt": item.question, "key": item.id, "instruction_id_list": [], "kwargs": []}
