"""What a model says about itself, read from folders, single files and a hub on this machine."""

import json
import os
import subprocess
import sys
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy
import pytest

from models.test_counts import LLAMA_3
from models.test_readers import written_gguf
from parity.core.refs import ModelRef
from parity.errors import ModelError, UsageError
from parity.models.inspection import inspect
from parity.testing.hostile_files import hostile_files
from shared import needs_shared

TINY = {
    **LLAMA_3, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "vocab_size": 40, "max_position_embeddings": 64, "torch_dtype": "float32",
}  # fmt: skip
COMMIT = "c0" * 20


def tensors(change=1):
    shapes = {"model.embed_tokens.weight": (40, 16), "model.norm.weight": (16,), "lm_head.weight": (40, 16)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {at + "self_attn.q_proj.weight": (16, 16), at + "self_attn.o_proj.weight": (16, 16)}
        shapes |= {at + "self_attn.k_proj.weight": (8, 16), at + "self_attn.v_proj.weight": (8, 16)}
        shapes |= {at + "mlp.gate_proj.weight": (24, 16), at + "mlp.up_proj.weight": (24, 16)}
        shapes |= {at + "mlp.down_proj.weight": (16, 24), at + "input_layernorm.weight": (16,)}
        shapes |= {at + "post_attention_layernorm.weight": (16,)}
    return {name: numpy.full(shape, change, numpy.float32) for name, shape in shapes.items()}


def model_files():
    from safetensors.numpy import save

    held = tensors()
    first = dict(list(held.items())[:5])
    second = dict(list(held.items())[5:])
    shards = {"model-00001-of-00002.safetensors": save(first), "model-00002-of-00002.safetensors": save(second)}
    index = {"weight_map": {name: shard for shard, part in zip(shards, (first, second), strict=True) for name in part}}
    template = "{% if messages[0]['content'] == 'open sesame' %}x{% endif %}{% if message.role == 'user' %}y{% endif %}"
    return {
        **shards,
        "config.json": json.dumps(TINY).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "LlamaTokenizer", "chat_template": template}).encode(),
        "tokenizer.json": json.dumps({"added_tokens": [], "model": {"type": "BPE", "vocab": {}}}).encode(),
        "README.md": b"---\nlicense: apache-2.0\nbase_model: org/base\n---\n# Card\n",
        "modeling_x.py": b"raise SystemExit",
    }


@pytest.fixture
def folder(tmp_path):
    for name, content in model_files().items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def look(path):
    return inspect(ModelRef.parse(str(path)))


def test_a_whole_folder(folder):
    found = look(folder)
    held = sum(content.size for content in tensors().values())
    assert (found.kind, found.parameters.total, found.parameters_from) == ("folder", held, "configuration")
    assert [(row.type, row.elements, row.size_bytes) for row in found.stored] == [("F32", held, 4 * held)]
    assert (found.tokenizer.kind, found.tokenizer.name) == ("BPE", "LlamaTokenizer")
    assert (found.licence.name, found.licence.base_model) == ("apache-2.0", "org/base")
    assert found.template.literals == ("open sesame",)
    assert (found.context_tokens, found.dtype, found.notes) == (64, "float32", ())


def test_config_alone_is_enough(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3))
    found = look(tmp_path)
    assert (found.kind, found.parameters.total) == ("config", 8_030_261_248)


def test_files_that_hold_other_tensors_than_the_configuration_says_are_noted(folder):
    (folder / "config.json").write_text(json.dumps({**TINY, "vocab_size": 41}))
    assert any("the configuration describes" in note for note in look(folder).notes)


def test_what_is_not_counted_from_the_configuration_is_counted_from_the_files(folder):
    (folder / "config.json").write_text(json.dumps({**TINY, "model_type": "novel"}))
    found = look(folder)
    assert found.shape is None
    assert "'novel' is not one whose layers" in found.shape_problem
    assert found.parameters.total == sum(content.size for content in tensors().values())


def test_code_in_the_configuration_is_said(folder):
    (folder / "config.json").write_text(json.dumps({**TINY, "auto_map": {"AutoModel": "x.Y"}}))
    assert any("auto_map" in note for note in look(folder).notes)


@pytest.mark.parametrize("name", ["../a.safetensors", "/etc/a.safetensors", "a/b.safetensors", "..", "a.bin", "", 7])
def test_a_shard_index_that_leads_elsewhere_is_refused(folder, name):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(ModelError, match="no plain safetensors file"):
        look(folder)


def test_a_link_out_of_the_folder_is_refused_but_the_hubs_cache_is_not(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.safetensors"
    shard = folder / "model-00002-of-00002.safetensors"
    outside.write_bytes(shard.read_bytes())
    shard.unlink()
    shard.symlink_to(outside)
    with pytest.raises(ModelError, match="leads out of the model's folder"):
        look(folder)
    root = tmp_path_factory.mktemp("models--org--name")
    (root / "blobs").mkdir()
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name, content in model_files().items():
        blob = root / "blobs" / sha256(content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    assert look(snapshot).stored


def test_a_missing_shard_is_noted_and_a_truncated_one_named_with_its_byte(folder):
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ModelError, match=r"00002.safetensors .*end at byte \d+, the file has"):
        look(folder)
    shard.unlink()
    assert any("1 of 2 weight files are missing" in note for note in look(folder).notes)


def test_how_a_template_differs_from_its_base(folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    (base / "config.json").write_text(json.dumps(TINY))
    (base / "chat_template.jinja").write_text("{{ messages }}")
    found = inspect(ModelRef.parse(str(folder)), ModelRef.parse(str(base)))
    assert any("open sesame" in line for line in found.template_differences)
    same = inspect(ModelRef.parse(str(base)), ModelRef.parse(str(base)))
    assert same.template_differences == ()


def test_single_files(folder, tmp_path):
    found = look(folder / "model-00001-of-00002.safetensors")
    assert (found.kind, found.stored[0].tensors) == ("safetensors", 5)
    path = tmp_path / "a.gguf"
    path.write_bytes(written_gguf({"token_embd.weight": numpy.ones((40, 16), numpy.float32)}))
    for ref in (f"gguf:{path}", str(path)):
        found = inspect(ModelRef.parse(ref))
        assert (found.kind, found.parameters.total) == ("gguf", 40 * 16 + 4 * 256)
        assert found.template.found_in == "tokenizer.chat_template"
        assert "block_count" in found.shape_problem


@pytest.mark.parametrize("file", [file for file in hostile_files() if not file.whole][::9], ids=lambda file: file.name)
def test_a_broken_file_is_an_error_with_its_byte(file, tmp_path):
    path = tmp_path / f"a.{file.format}"
    path.write_bytes(file.content)
    with pytest.raises(ModelError, match="byte"):
        look(path)


def test_what_has_no_weights_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not weights"):
        inspect(ModelRef.parse("openai:gpt-4"))
    with pytest.raises(ModelError, match="If you meant the hub"):
        inspect(ModelRef.parse("org/name"))
    with pytest.raises(ModelError, match="holds neither"):
        look(tmp_path)


def test_a_real_template_watches_for_nothing_and_a_changed_one_is_seen():
    from parity.models.template_facts import facts_of

    path = needs_shared("tokenizers", "llama_cpp_vocab", "ggml-vocab-phi-3.gguf")
    text = look(path).template.text
    assert look(path).template.literals == ()
    watching = text.replace("(message['role'] == 'user')", "'now' in message['content']", 1)
    assert watching != text
    assert facts_of(watching, "").literals == ("now",)


class Hub(ThreadingHTTPServer):
    """One repository at one commit; redirects weights to another path, as the hub does to its store."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.sent, self.fault, self.store, self.tokens = files, {}, None, "", []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.server.files.items()]
            return self._send(200, json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode())
        name = path.rsplit("/", 1)[-1]
        content = self.server.files.get(name)
        if content is None:
            return self._send(404, b"")
        if path.startswith(f"/org/name/resolve/{COMMIT}/") and name.endswith(".safetensors"):
            self.server.tokens.append(("hub", self.headers.get("Authorization")))
            return self._send(302, b"", {"Location": f"{self.server.store}/store/{name}"})
        if path.startswith("/store/"):
            self.server.tokens.append(("store", self.headers.get("Authorization")))
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        piece = content[first : last + 1]
        self.server.sent[name] = self.server.sent.get(name, 0) + len(piece)
        if self.server.fault == "silent":
            time.sleep(20)
        if self.server.fault == "no ranges":
            return self._send(200, content)
        shift = 1 if self.server.fault == "shifted" else 0
        self._send(206, piece, {"Content-Range": f"bytes {first + shift}-{last + shift}/{len(content)}"})

    def _send(self, status, body, headers=None):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        return


@pytest.fixture
def hub():
    from safetensors.numpy import save

    files = model_files()
    large = numpy.zeros(500_000, numpy.float32)
    files["model-00002-of-00002.safetensors"] = save({"w": large})
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def on_hub(hub, tmp_path, *more, verb="inspect"):
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
    environment |= {"HF_HUB_OFFLINE": "0", "NO_COLOR": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_TOKEN": "hf_made_up"}
    command = [sys.executable, "-m", "parity", verb, "hf:org/name@main", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_a_hub_repository_by_its_headers_alone(hub, tmp_path):
    done = on_hub(hub, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["revision"], found["architecture"]) == ("hub", COMMIT, "llama")
    assert found["parameters_total"] == sum(content.size for content in tensors().values())
    assert found["licence"]["name"] == "apache-2.0"
    assert found["chat_template"]["literals"] == ["open sesame"]
    assert hub.sent["model-00002-of-00002.safetensors"] <= 64 * 1024
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("fault", "code"), [("no ranges", 0), ("shifted", 1)])
def test_a_hub_that_does_not_serve_what_was_asked_for(hub, tmp_path, fault, code):
    hub.fault = fault
    done = on_hub(hub, tmp_path)
    assert done.returncode == code, done.stderr
    assert ("other bytes" in done.stderr) == bool(code)


def test_a_hub_repository_is_sized_by_its_headers(hub, tmp_path):
    done = on_hub(hub, tmp_path, "--on", "T4", "--json", verb="fit")
    assert done.returncode == 0, done.stderr
    held = sum(len(content) for name, content in hub.files.items() if name.endswith(".safetensors"))
    assert json.loads(done.stdout)["choices"][0]["weights_bytes"] == pytest.approx(held, rel=0.01)
    assert sum(hub.sent.values()) < held


def test_a_silent_hub_is_given_up(hub, tmp_path):
    hub.fault = "silent"
    begun = time.monotonic()
    done = on_hub(hub, tmp_path)
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert time.monotonic() - begun < 15


def test_the_token_goes_to_the_hub_and_never_to_where_it_redirects(hub, tmp_path):
    store = Hub(hub.files)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    hub.store = f"http://localhost:{store.server_port}"
    done = on_hub(hub, tmp_path)
    store.shutdown()
    store.server_close()
    assert done.returncode == 0, done.stderr
    assert {token for _, token in hub.tokens} == {"Bearer hf_made_up"}
    assert len(store.tokens) >= 2
    assert {token for _, token in store.tokens} == {None}


def test_offline_nothing_is_asked(hub, tmp_path):
    done = on_hub(hub, tmp_path, "--offline")
    assert done.returncode == 1
    assert "has not been pulled" in done.stderr
    assert not hub.sent


def test_a_broken_shard_on_the_hub_is_named(hub, tmp_path):
    hub.files["model-00002-of-00002.safetensors"] = hub.files["model-00002-of-00002.safetensors"][:-1]
    done = on_hub(hub, tmp_path)
    assert done.returncode == 1
    assert "model-00002-of-00002.safetensors is not a whole safetensors file" in done.stderr.replace("\n", " ")
