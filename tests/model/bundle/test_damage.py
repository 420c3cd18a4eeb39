"""Damage of any kind is refused with BadBundle, in one line that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.errors import BadBundle
from model.bundle.prompt_side import read_prompt_side
from model.bundle.read import read_bundle
from model.bundle.verify import read_manifest

from .contents import catalog, change_json, change_tensors, sign_again

Damage = Callable[[Path], object]


def refusal(directory: Path) -> str:
    with pytest.raises(BadBundle) as caught:
        read_bundle(directory)
    line = str(caught.value)
    assert "\n" not in line
    assert line.strip()
    return line


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "catalog.parquet", "config.json", "popular.json", "features/words.json"]
)
def test_a_file_that_changed_since_it_was_written(bundle: Path, name: str, damage: Damage) -> None:
    damage(bundle / name)
    assert f"{name} is damaged" in refusal(bundle)


@pytest.mark.parametrize("name", ["model.safetensors", "catalog.parquet", "tokenizer.json"])
def test_a_file_that_is_gone(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert refusal(bundle).endswith(f"{name} is missing")


def test_a_directory_in_place_of_a_file(bundle: Path) -> None:
    (bundle / "popular.json").unlink()
    (bundle / "popular.json").mkdir()
    assert "popular.json cannot be read" in refusal(bundle)


@pytest.mark.parametrize("name", ["config.json", "catalog.parquet", "model.safetensors", "popular.json"])
def test_a_manifest_that_lists_too_little(bundle: Path, name: str) -> None:
    change_json(bundle / "manifest.json", lambda content: content["files"].pop(name))  # type: ignore[attr-defined]
    assert f"the manifest lists no {name}" in refusal(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "features/../../outside", "a\0b", "two\nlines", ""])
def test_a_manifest_that_names_what_is_no_file_of_the_bundle(bundle: Path, name: str) -> None:
    (bundle.parent / "outside").write_text("not yours")
    change_json(bundle / "manifest.json", lambda content: content["files"].update({name: "0" * 64}))  # type: ignore[attr-defined]
    line = refusal(bundle)
    assert "outside the bundle" in line or "cannot be read" in line


def test_a_link_that_leads_out_of_the_bundle(bundle: Path) -> None:
    shutil.move(bundle / "popular.json", bundle.parent / "outside")
    (bundle / "popular.json").symlink_to("../outside")
    assert "outside the bundle: 'popular.json'" in refusal(bundle)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Invalid JSON"),
        (b"{nonsense", "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"[1, 2]", "the file"),
        (b"{}", "model_version"),
    ],
)
def test_a_manifest_that_is_none(bundle: Path, content: bytes, said: str) -> None:
    (bundle / "manifest.json").write_bytes(content)
    line = refusal(bundle)
    assert "is not a manifest this version reads" in line
    assert said in line


def test_a_manifest_of_a_newer_format(bundle: Path) -> None:
    change_json(bundle / "manifest.json", lambda content: content.update(format=2))
    assert "is not a manifest this version reads: format" in refusal(bundle)


def test_what_is_no_bundle_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    for name in ("empty", "absent"):
        assert refusal(tmp_path / name).endswith("is not a bundle: it has no manifest.json")
    assert "cannot be read: Not a directory" in refusal(tmp_path / "file")
    with pytest.raises(BadBundle):
        read_manifest(tmp_path / "empty")


Tensors = dict[str, torch.Tensor]


def lose_a_tensor(tensors: Tensors) -> None:
    del tensors["rank_head.fc1.weight"]


def lose_many(tensors: Tensors) -> None:
    for name in [name for name in tensors if "layers.1" in name]:
        del tensors[name]


def gain_a_tensor(tensors: Tensors) -> None:
    tensors["model.layers.2.mlp.up_proj.weight"] = torch.zeros(2, 2)


def change_a_shape(tensors: Tensors) -> None:
    tensors["model.norm.weight"] = torch.ones(15)


def spoil_with_nan(tensors: Tensors) -> None:
    tensors["model.embed_tokens.weight"][3, 3] = torch.nan


def spoil_with_infinity(tensors: Tensors) -> None:
    tensors["rank_head.fc2.bias"][0] = -torch.inf


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose_a_tensor, "model.safetensors lacks rank_head.fc1.weight"),
        (lose_many, "model.safetensors lacks model.layers.1.input_layernorm.weight and 11 more"),
        (gain_a_tensor, "model.safetensors holds unknown model.layers.2.mlp.up_proj.weight"),
        (change_a_shape, "model.norm.weight has shape [15], the configuration wants [16]"),
        (spoil_with_nan, "model.embed_tokens.weight holds values that are not finite"),
        (spoil_with_infinity, "rank_head.fc2.bias holds values that are not finite"),
    ],
)
def test_weights_that_do_not_fit(bundle: Path, damage: Callable[[Tensors], None], said: str) -> None:
    change_tensors(bundle / "model.safetensors", damage)
    sign_again(bundle, "model.safetensors")
    assert refusal(bundle).endswith(said)


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\x08\0\0\0\0\0\0\0{\n\n\n\n\n\n\n"])
def test_weights_that_are_no_safetensors(bundle: Path, content: bytes) -> None:
    (bundle / "model.safetensors").write_bytes(content)
    sign_again(bundle, "model.safetensors")
    assert "model.safetensors is no safetensors file" in refusal(bundle)


def another_model(content: dict[str, object]) -> None:
    content["model_type"] = "llama"


def no_section(content: dict[str, object]) -> None:
    del content["rankgr"]


def no_layers(content: dict[str, object]) -> None:
    content["num_hidden_layers"] = 0


def one_more_layer(content: dict[str, object]) -> None:
    content["num_hidden_layers"] = 3


def another_layout(content: dict[str, object]) -> None:
    content["rankgr"]["prompt"]["layout"] = "spiral"  # type: ignore[index]


def newer_section(content: dict[str, object]) -> None:
    content["rankgr"]["format"] = 2  # type: ignore[index]


def smaller_levels(content: dict[str, object]) -> None:
    content["rankgr"]["levels"][1]["size"] = 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (another_model, "model_type must be 'qwen2', is 'llama'"),
        (no_section, "config.json has no section rankgr"),
        (no_layers, "num_hidden_layers"),
        (one_more_layer, "lacks model.layers.2.input_layernorm.weight and 11 more"),
        (another_layout, "unknown prompt layout 'spiral'"),
        (newer_section, "rankgr.format"),
        (smaller_levels, "codes of level 2 must lie in 0..4"),
    ],
)
def test_a_configuration_that_does_not_fit(
    bundle: Path, damage: Callable[[dict[str, object]], None], said: str
) -> None:
    change_json(bundle / "config.json", damage)
    sign_again(bundle, "config.json")
    assert said in refusal(bundle)


@pytest.mark.parametrize("name", ["config.json", "popular.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_json_that_is_none_or_no_object(bundle: Path, name: str, content: bytes) -> None:
    (bundle / name).write_bytes(content)
    sign_again(bundle, name)
    assert name in refusal(bundle)


def test_a_fallback_list_of_anything_but_items(bundle: Path) -> None:
    (bundle / "popular.json").write_text(json.dumps({"default": ["tea"], "scenes": {}}))
    sign_again(bundle, "popular.json")
    assert "popular.json: " in refusal(bundle)


def test_the_catalogue_of_another_version(bundle: Path) -> None:
    other = catalog(popularity=2.0)
    other.write(bundle / "catalog.parquet")
    sign_again(bundle, "catalog.parquet")
    line = refusal(bundle)
    assert f"the catalogue is version {other.version}, the manifest says {catalog().version}" in line
    with pytest.raises(BadBundle, match="the catalogue is version"):
        read_prompt_side(bundle)


def test_a_catalogue_that_is_none(bundle: Path) -> None:
    (bundle / "catalog.parquet").write_bytes(np.arange(9).tobytes())
    sign_again(bundle, "catalog.parquet")
    assert "catalog.parquet: not a readable parquet file" in refusal(bundle)
