"""What Parity says of models against what is: families run, parameters counted, memory sized, broken files, endpoints.

    .venv/bin/python benchmarks_perf/models.py [--quick]

The truth comes from others: transformers' own numbers, models built on the meta device, saved tensors, cache objects,
the `openai` client. `--quick` counts every fifth configuration and asks fewer requests. Ends with one JSON line.
"""

import argparse
import json
import os
import runpy
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # real configurations are read by the tests' own reader
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
from endpoint_load import endpoint_load  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # noqa: E402
from transformers.utils.logging import disable_progress_bar, set_verbosity_error  # noqa: E402

from parity.core.outputs import Generation, Loglikelihoods  # noqa: E402
from parity.core.prompts import Generate, Loglikelihood, RequestId, Sampling, TextPrompt  # noqa: E402
from parity.core.refs import ModelRef, Scheme  # noqa: E402
from parity.engines.open import EngineOptions, open_engine  # noqa: E402
from parity.errors import ModelError  # noqa: E402
from parity.models.byte_sources import LocalBytes  # noqa: E402
from parity.models.counts import count  # noqa: E402
from parity.models.families import FAMILIES as COUNTED  # noqa: E402
from parity.models.gguf import read_gguf  # noqa: E402
from parity.models.memory import kv_bytes  # noqa: E402
from parity.models.safetensors import check_safetensors, read_safetensors  # noqa: E402
from parity.models.shapes import shape_of  # noqa: E402
from parity.models.weight_sizes import weights_in, weights_of_shape  # noqa: E402
from parity.testing.families import FAMILIES, family_folder  # noqa: E402
from parity.testing.folders import trained_tokenizer  # noqa: E402
from parity.testing.hostile_files import hostile_files  # noqa: E402

TEXT = "the cat sat on the mat and the dog ran over the hill"
# This file's own name is `models`, so the tests' room of that name is read by path.
real_configs = runpy.run_path(str(ROOT / "tests" / "models" / "real_configs.py"))["real_configs"]
OPTIONS = (" A", " the hill")
LIMIT_S, LIMIT_BYTES = 1.0, 64_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description="Check what Parity knows about models against others' truth.")
    parser.add_argument("--quick", action="store_true", help="fewer configurations and requests")
    quick = parser.parse_args().quick
    disable_progress_bar()
    set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = trained_tokenizer([TEXT] * 4, vocabulary=320)
        folders = {name: family_folder(name, Path(scratch, name), tokenizer) for name in FAMILIES}
        runs = {name: family_runs(folder) for name, folder in folders.items()}
        sizes = {name: fit_error(folder) for name, folder in folders.items()}
        failures = hostile_failures(Path(scratch, "file"))
    counts = count_errors(5 if quick else 1)
    load = endpoint_load(500, 3) if quick else endpoint_load()
    show("families that do not run as transformers says", [name for name, fine in runs.items() if not fine])
    show("configurations counted otherwise", [name for name, error in counts.items() if error])
    show("hostile files judged wrongly", failures)
    summary = {
        "families_ok": sum(runs.values()),
        "families_total": len(runs),
        "configs_checked": len(counts),
        "count_error_max": max(counts.values()),
        "fit_error_max": round(max(sizes.values()), 5),
        "hostile_files": sum(1 for _ in hostile_files()),
        "hostile_failures": len(failures),
        "endpoint_throughput_vs_openai": round(load.ratio, 3),
    }
    print(json.dumps(summary))
    return 0


def family_runs(folder: Path) -> bool:
    """Scores equal one plain forward pass, and greedy text the uncached one, alone and in a batch."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    engine = open_engine(ModelRef(Scheme.FOLDER, str(folder)), EngineOptions(device="cpu", batch_size=4))
    prompts = [TEXT, TEXT[:11], "answer"]
    scored = dict(engine.answer([Loglikelihood(RequestId(text), TextPrompt(text), OPTIONS) for text in prompts]))
    written = dict(engine.answer([Generate(RequestId(text), TextPrompt(text), Sampling(8)) for text in prompts]))
    tokenizer: Any = engine._tokenizer  # type: ignore[attr-defined]
    fine = all(_scores_plainly(model, tokenizer, text, scored[RequestId(text)]) for text in prompts)
    fine &= all(_writes_plainly(model, tokenizer, text, written[RequestId(text)]) for text in prompts)
    engine.close()
    return fine


@torch.inference_mode()
def _scores_plainly(model: Any, tokenizer: Any, text: str, output: object) -> bool:
    assert isinstance(output, Loglikelihoods)
    for option, value in zip(OPTIONS, output.values, strict=True):
        context, whole = tokenizer.encode(text), tokenizer.encode(text + option)
        logprobs = torch.log_softmax(model(torch.tensor([whole]), use_cache=False).logits[0].double(), -1)
        if abs(value - sum(float(logprobs[at - 1, whole[at]]) for at in range(len(context), len(whole)))) > 1e-4:
            return False
    return True


@torch.inference_mode()
def _writes_plainly(model: Any, tokenizer: Any, text: str, output: object) -> bool:
    assert isinstance(output, Generation)
    ids, start = tokenizer.encode(text), len(tokenizer.encode(text))
    for _ in range(8):
        following = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if following == tokenizer.eos_token_id:
            break
        ids.append(following)
    return bool(output.text == tokenizer.decode(ids[start:], skip_special_tokens=True))


@torch.inference_mode()
def fit_error(folder: Path) -> float:
    """The larger relative error of weights (against the saved tensors) and KV cache (against transformers' cache)."""
    config = json.loads((folder / "config.json").read_text())
    if config.get("sliding_window"):
        config["sliding_window"] = 128  # of a window of 8, the one token in computation would be an eighth
    shape = shape_of(config)
    held = sum(tensor.end - tensor.begin for tensor in check_safetensors(folder / "model.safetensors"))
    weights = abs(weights_in(shape, weights_of_shape(shape), "F32").total / held - 1)
    entries = {key: value for key, value in config.items() if key != "model_type"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **entries)).float().eval()
    cache = model(torch.randint(3, 200, (2, 200)), use_cache=True).past_key_values
    cache = model(torch.randint(3, 200, (2, 1)), past_key_values=cache, use_cache=True).past_key_values
    cached = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    return max(weights, abs(kv_bytes(shape, 201, parallel=2, kind="F32") / cached - 1))


def count_errors(every: int) -> dict[str, float]:
    """Relative error of the counted parameters against the model on the meta device, by configuration."""
    found = {}
    for name, config in list(real_configs())[::every]:
        kind = config.get("model_type")
        if kind in COUNTED and kind in CONFIG_MAPPING_NAMES and "text_config" not in config:
            entries = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **entries))
            built = sum(parameter.numel() for parameter in model.parameters())
            found[name] = abs(count(shape_of(config)).total / built - 1)
    return found


def hostile_failures(path: Path) -> list[str]:
    """Files with the wrong verdict, another error than ModelError, more than a second, or more than 64 MB."""
    failed = []
    for file in hostile_files():
        path.write_bytes(file.content)
        reader = read_gguf if file.format == "gguf" else read_safetensors
        tracemalloc.start()
        begun = time.process_time()
        try:
            reader(LocalBytes(path))
            refused = False
        except ModelError:
            refused = True
        except Exception as error:  # noqa: BLE001  any other error is what is looked for
            failed.append(f"{file.name}: {error!r}")
            continue
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if refused == file.whole or time.process_time() - begun > LIMIT_S or peak > LIMIT_BYTES:
            failed.append(file.name)
    return failed


def show(what: str, names: list[str]) -> None:
    print(f"{what}: {', '.join(names) if names else 'none'}")


if __name__ == "__main__":
    sys.exit(main())
