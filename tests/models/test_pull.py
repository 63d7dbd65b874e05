"""`parity pull`: pinned, checked, found again; what is refused, and how that is said."""

import json
import subprocess
import sys
import time

import pytest

from models.lookalike import COMMIT, CONFIG, Repository, model_files, started, weights
from models.pulling import fetched, refusal
from parity.core.refs import ModelRef
from parity.errors import ModelError, UsageError
from parity.models.cache import repository_folder
from parity.models.hub import pull
from parity.models.sources import locate

READ = {"config.json", "tokenizer.json", "README.md", "model.safetensors"}


def test_a_pull_is_pinned_and_takes_only_what_is_read(hub):
    found = fetched("hf:org/name@v1")
    assert str(found.ref) == f"hf:org/name@{COMMIT}"
    assert {entry.name for entry in found.files} == READ == {path.name for path in found.folder.iterdir()}
    assert (found.folder / "model.safetensors").read_bytes() == weights()
    assert found.fetched_bytes == sum(entry.size_bytes for entry in found.files)
    assert not hub.got("pytorch_model.bin")
    asked = len(hub.asked)
    again = fetched(f"hf:org/name@{COMMIT}")
    assert again.fetched_bytes == 0
    assert len(hub.asked) == asked + 1  # the list alone


def test_the_hubs_own_library_finds_it_in_its_cache(hub):
    fetched("hf:org/name")
    code = (
        "import huggingface_hub as h; print(h.try_to_load_from_cache('org/name', 'model.safetensors', revision='main'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"{COMMIT}/model.safetensors")


def test_a_pulled_model_is_located_like_a_folder_also_offline(hub, monkeypatch):
    folder = fetched("hf:org/name@v1").folder
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for text in ("hf:org/name", "hf:org/name@v1", f"hf:org/name@{COMMIT}", f"hf:org/name@{COMMIT[:8]}"):
        found = locate(ModelRef.parse(text))
        assert (found.folder, str(found.ref)) == (folder, f"hf:org/name@{COMMIT}")
        assert found.digest == locate(ModelRef.parse(str(folder))).digest
    assert fetched("hf:org/name").offline
    for text in ("hf:org/name@v2", "hf:org/name@../../v1", "hf:org/other", "hf:org/name@" + "cd" * 20):
        with pytest.raises(ModelError, match="parity pull hf:org/"):
            locate(ModelRef.parse(text))


def test_without_a_revision_the_commit_pulled_last_is_used(hub):
    fetched("hf:org/name@v1")
    newer = Repository(model_files(**{"model.safetensors": weights(seed=1)}), commit="cd" * 20)
    old = hub.repositories["org/name"]
    hub.repositories["org/name"] = newer
    time.sleep(0.02)
    fetched("hf:org/name@main")
    assert locate(ModelRef.parse("hf:org/name")).ref.revision == "cd" * 20
    hub.repositories["org/name"] = old
    time.sleep(0.02)
    fetched(f"hf:org/name@{COMMIT}")
    assert locate(ModelRef.parse("hf:org/name")).ref.revision == COMMIT


def test_shards_are_those_of_the_index(hub):
    names = [f"model-0000{at}-of-00002.safetensors" for at in (1, 2)]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    files = model_files(**{"model.safetensors": None, "model.safetensors.index.json": index, "extra.safetensors": b"x"})
    hub.repositories["org/name"].files = {**files, names[0]: weights(seed=1), names[1]: weights(seed=2)}
    assert {path.name for path in fetched().folder.glob("*.safetensors")} == set(names)
    hub.repositories["org/name"] = Repository({**files, names[0]: weights()}, commit="cd" * 20)
    assert "names weights it does not have" in refusal("hf:org/name@main")


def test_a_file_that_changed_on_disk_is_found_and_fetched_again(hub, monkeypatch):
    folder = fetched().folder
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(weights(seed=9))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "altered or are missing: model.safetensors" in refusal()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert fetched().fetched_bytes == len(weights())
    assert blob.read_bytes() == weights()


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("gated", "is gated"),
        ("private", "There is no model org/name at 127.0.0.1, or it is private"),
        ("refused", "does not let you fetch org/name"),
        ("badkey", "refused the token"),
    ],
)
def test_closed_doors_say_whose_and_what_to_do(hub, access, message, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    hub.repositories["org/name"].access = access
    said = refusal()
    assert message in said
    assert "HF_TOKEN" in said
    assert "hf_secret" not in said


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    cdn = started({"org/name": Repository(model_files())})
    hub.elsewhere = cdn.address.replace("127.0.0.1", "localhost")
    assert (fetched().folder / "model.safetensors").read_bytes() == weights()
    assert set(hub.keys) == {"Bearer hf_secretsecretsecret"}
    assert cdn.keys == [None]
    cdn.repositories["org/name"].access = "refused"
    (repository_folder("org/name") / "snapshots" / COMMIT / "model.safetensors").resolve().unlink()
    said = refusal()
    assert "does not let you fetch" in said
    assert "cdnsecret" not in said
    cdn.shutdown()
    cdn.server_close()


def test_an_empty_file_is_a_file(hub):
    hub.repositories["org/name"].files["LICENSE"] = b""
    assert (fetched().folder / "LICENSE").read_bytes() == b""


def test_unknown_repositories_and_revisions(hub):
    assert "There is no model org/none" in refusal("hf:org/none")
    assert "has no revision 'v9'" in refusal("hf:org/name@v9")
    assert not list(repository_folder("org/name").glob("blobs/*"))
    with pytest.raises(UsageError, match="not a hub model"):
        pull(ModelRef.parse("openai:gpt-4"))


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "_attn_implementation_internal"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_configuration_that_asks_for_code_is_refused_before_the_weights(hub, key, deep):
    asks = {key: {"AutoModel": "modeling_x.X"}}
    config = {**CONFIG, **({"text_config": asks} if deep else asks)}
    hub.repositories["org/name"].files["config.json"] = json.dumps(config).encode()
    assert f"run its own code ({key})" in refusal()
    assert not hub.got("model.safetensors")
    found = fetched(trust=True)
    assert found.code == (key,)
    assert not (found.folder / "modeling_x.py").exists()
    with pytest.raises(ModelError, match="does not run code"):
        locate(found.ref)


def test_pickled_weights_alone_are_refused_before_anything_is_fetched(hub):
    hub.repositories["org/name"].files = model_files(**{"model.safetensors": None})
    assert "holds only pickled weights (pytorch_model.bin)" in refusal()
    hub.repositories["org/name"].files = model_files(
        **{
            "model.safetensors": None,
            "pytorch_model.bin": None,
            "training_args.bin": None,
            "consolidated.safetensors": b"",
        }
    )
    assert "it has consolidated.safetensors" in refusal()
    hub.repositories["org/name"].files = model_files(**{"config.json": None})
    assert "has no config.json" in refusal()
    assert {name for name, _ in hub.asked} == {"list"}


def test_weights_that_are_no_safetensors_are_refused_at_the_end(hub):
    hub.repositories["org/name"].files["model.safetensors"] = b"pickle" * 100
    assert "not a whole safetensors file" in refusal()


def test_nothing_is_asked_when_other_hosts_are_forbidden(hub, monkeypatch):
    monkeypatch.setenv("PARITY_OFFLINE", "1")
    assert "parity pull hf:org/name" in refusal()
    assert not hub.asked
