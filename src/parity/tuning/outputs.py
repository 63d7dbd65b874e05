"""What a training leaves behind: weights, how they were made, and a card that says so to people and to the hub.

<out>/adapter_model.safetensors, adapter_config.json     or model.safetensors, config.json
<out>/tokenizer files, manifest.json, README.md, curve.jsonl, curve.svg
"""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from parity.core.digests import Plain, plain
from parity.core.refs import ModelRef, Scheme
from parity.files import digest_files, write_atomic
from parity.models.licences import find_licence
from parity.models.model_files import LocalFolder
from parity.tuning.adapters import AdapterCount
from parity.tuning.defaults import Resolved
from parity.tuning.recipe import Plan
from parity.tuning.watching import Point

_LIBRARIES = (
    "parity-llm",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "datasets",
)
_RELATIONS = {"pretrain": None, "adapter": "adapter", "full": "finetune", "merged": "finetune"}
_DESCRIBED = {
    "pretrain": "trained from scratch", "continue": "trained further on plain text", "sft": "trained on answers",
    "dpo": "trained on preference pairs (DPO)", "kto": "trained on rated answers (KTO)", "reward": "a reward model",
    "grpo": "trained on rewards (GRPO)", "rloo": "trained on rewards (RLOO)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Used:
    """The data of a run: files with their digests, rows and tokens, and the names of rows left out as too long."""

    train_file: str
    train_digest: str
    dev_file: str | None
    dev_digest: str | None
    rows: int
    dev_rows: int
    tokens: int
    learned_tokens: int
    left_out: tuple[str, ...]
    order_digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """How an output was made; enough to make it again on the same machine, to the bit."""

    base: str
    base_digest: str
    method: str
    recipe: dict[str, Plain]
    reasons: tuple[tuple[str, str, str], ...]
    data: Used
    adapters: tuple[AdapterCount, ...]
    trained_parameters: int
    steps: int
    best_step: int | None
    first_loss: float
    last_loss: float
    dev_loss: float | None
    seconds: float
    device: str
    precision: str
    threads: int
    libraries: dict[str, str | None]
    python: str


def libraries() -> dict[str, str | None]:
    """Versions of everything that computes; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def base_digest(folder: Path) -> str:
    """One SHA-256 over a model's weights, configuration and tokenizer files."""
    endings = (".safetensors", ".json", ".jinja", ".model", ".txt")
    return digest_files(folder, [path.name for path in folder.iterdir() if path.suffix in endings and path.is_file()])


def python_version() -> str:
    return platform.python_version()


def write_manifest(manifest: Manifest, out: Path) -> Path:
    """`manifest.json`, readable."""
    return write_atomic(out / "manifest.json", json.dumps(plain(manifest), indent=1, ensure_ascii=False) + "\n")


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of a finished output; None where there is none."""
    path = out / "manifest.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    return found if isinstance(found, dict) else None


def write_card(plan: Plan, resolved: Resolved, manifest: Manifest, points: tuple[Point, ...], folder: Path) -> Path:
    """`README.md` with the hub's metadata: base_model, base_model_relation, library_name, licence."""
    licence = find_licence(LocalFolder(folder))
    kind = "pretrain" if plan.recipe.method == "pretrain" else "full" if plan.recipe.weights == "full" else plan.keep
    ref = ModelRef.parse(plan.base)
    named = ref.name if ref.scheme is Scheme.HUB else licence.base_model or ref.short
    head = ["---"]
    if _RELATIONS[kind]:
        head += [f"base_model: {named}", f"base_model_relation: {_RELATIONS[kind]}"]
    head += [
        f"library_name: {'peft' if kind == 'adapter' else 'transformers'}",
        f"pipeline_tag: {'text-classification' if plan.recipe.method == 'reward' else 'text-generation'}",
        f"license: {licence.name or 'unknown'}",
        "tags:",
        *(f"- {tag}" for tag in _tags(plan)),
        "---",
    ]
    return write_atomic(
        plan.out / "README.md", "\n".join([*head, "", *_body(plan, resolved, manifest, points, named)]) + "\n"
    )


def _tags(plan: Plan) -> list[str]:
    weights = [] if plan.recipe.weights == "full" else [plan.recipe.weights]
    return ["parity", "trl", plan.recipe.method, *weights]


def _body(plan: Plan, resolved: Resolved, manifest: Manifest, points: tuple[Point, ...], named: str) -> list[str]:
    data = manifest.data
    loss = f"{manifest.first_loss:.4f} at the first step, {manifest.last_loss:.4f} at the last"
    if manifest.dev_loss is not None:
        loss += f"; {manifest.dev_loss:.4f} on dev (step {manifest.best_step} is kept)"
    lines = [
        f"# {plan.out.name}",
        "",
        f"{named}, {_DESCRIBED[plan.recipe.method]}"
        + (f" with {plan.recipe.weights} of rank {plan.recipe.rank}." if plan.recipe.weights != "full" else "."),
        "",
        f"- Data: {data.rows:,} rows, {data.tokens:,} tokens, {data.learned_tokens:,} of them learned; "
        f"{data.dev_rows:,} dev rows; {len(data.left_out)} rows left out as too long.",
        f"- Steps: {manifest.steps:,} in {manifest.seconds:,.0f} s. Loss: {loss}.",
        f"- Trained parameters: {manifest.trained_parameters:,}.",
        "",
        "| field | value | why |",
        "| --- | --- | --- |",
        *(f"| {field} | {value} | {why} |" for field, value, why in manifest.reasons),
        "",
    ]
    if manifest.adapters:
        lines += [
            "| weight | with adapter | in the model | parameters |",
            "| --- | --- | --- | --- |",
            *(f"| {row.kind} | {row.adapted} | {row.present} | {row.parameters:,} |" for row in manifest.adapters),
            "",
        ]
    return [
        *lines,
        f"Base digest `{manifest.base_digest[:16]}`, data digest `{data.train_digest[:16]}`, seed {plan.recipe.seed}. "
        "Everything else is in manifest.json.",
    ]
