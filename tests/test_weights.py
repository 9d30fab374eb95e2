"""Weight folders: what is saved is what is loaded, and nothing else is."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from pydantic import ValidationError

import facegen.weights
from facegen.errors import WeightsError
from facegen.files import temporary_of
from facegen.models.dcgan import DCGANGenerator
from facegen.models.jnet import JNet
from facegen.recipe import read_toml
from facegen.weights import (
    CARD_FILE,
    MODEL_FILE,
    MODELS,
    Kind,
    companion,
    find_weights,
    load_network,
    read_card,
    save_weights,
    weight_folders,
)
from tests import tiny

NETWORKS: dict[str, Callable[[], Any]] = {
    "dcgan": tiny.generator,
    "jnet": tiny.upscaler,
    "patchgan": tiny.discriminator,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tmp_path, tiny.generator())


def change_card(folder: Path, **changes: object) -> None:
    values = read_toml(folder / CARD_FILE) | changes
    (folder / CARD_FILE).write_text(tomli_w.dumps(values), encoding="utf-8")


def replace_model(folder: Path, content: bytes) -> None:
    """Another weight file, with its hash in the card."""
    (folder / MODEL_FILE).write_bytes(content)
    change_card(folder, sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_saved_networks_come_back_in_half_precision(tmp_path: Path, kind: str) -> None:
    network = NETWORKS[kind]()
    loaded, card = load_network(str(tiny.save(tmp_path, network, "rgb")), type(network))
    assert (card.kind, card.images_seen, card.guide) == (kind, 1234, "rgb")
    assert loaded.config == network.config
    assert not loaded.training
    for (name, value), (other, original) in zip(loaded.state_dict().items(), network.state_dict().items(), strict=True):
        assert name == other
        assert value.dtype == original.dtype, name
        torch.testing.assert_close(value, original, rtol=1e-3, atol=1e-7)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_loaded_network_draws_nearly_the_same(folder: Path) -> None:
    loaded, _ = load_network(str(folder), DCGANGenerator)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.draw(z), tiny.generator().draw(z), atol=5e-3, rtol=0)


def test_channels_last_networks_are_saved_alike(tmp_path: Path) -> None:
    cards = []
    for name, memory in (("a", torch.contiguous_format), ("b", torch.channels_last)):
        net = tiny.upscaler().to(memory_format=memory)  # type: ignore[call-overload]
        cards.append(save_weights(tmp_path / name, net, tiny.card("jnet", net.config.model_dump(mode="json"))))
    assert cards[0].sha256 == cards[1].sha256


@pytest.mark.parametrize("kind", MODELS)
def test_no_config_takes_an_unknown_key(kind: Kind) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        MODELS[kind][0].model_validate({"widht": 8})


# --- names


def test_names_are_looked_up_among_the_shipped_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, here = tmp_path / "shipped", tmp_path / "here"
    tiny.save(shipped, tiny.generator())
    tiny.save(here, tiny.generator())
    tiny.save(here / "runs", tiny.upscaler())
    monkeypatch.setattr(facegen.weights, "WEIGHTS", shipped)
    monkeypatch.chdir(here)
    assert weight_folders() == [shipped / "dcgan"]
    assert find_weights("dcgan") == shipped / "dcgan"
    assert find_weights("runs/jnet") == Path("runs/jnet")
    assert find_weights(str(here / "dcgan")) == here / "dcgan"


def test_unknown_name_suggests_a_shipped_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(folder.parent, tiny.upscaler())
    monkeypatch.setattr(facegen.weights, "WEIGHTS", folder.parent)
    with pytest.raises(WeightsError) as caught:
        find_weights("dcgn")
    assert str(caught.value) == (
        "weights 'dcgn': neither shipped nor a folder with a card.toml; did you mean 'dcgan'? Known: dcgan, jnet."
    )


def test_discriminators_are_found_in_their_subfolder_by_name_and_from_their_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facegen.weights, "WEIGHTS", tmp_path)
    network = tiny.discriminator()
    card = tiny.card("patchgan", network.config.model_dump(mode="json"))
    save_weights(tmp_path / "x", network, card)
    for folder in (tmp_path / "x-patchgan", tmp_path / "training" / "x-patchgan"):
        assert companion("x", "-heads") is None
        save_weights(folder, network, card)
        assert companion("x", "-patchgan") == folder
        assert weight_folders()[-1] == folder
    shutil.rmtree(tmp_path / "x-patchgan")
    assert find_weights("x-patchgan") == tmp_path / "training" / "x-patchgan"
    with pytest.raises(WeightsError, match=r"Known: x, x-patchgan\. Discriminators are in the repository only"):
        find_weights("jnet-8x-patchgan")


def test_a_name_too_long_for_a_file_is_unknown() -> None:
    with pytest.raises(WeightsError, match="neither shipped nor a folder"):
        find_weights("x" * 300)


def test_nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facegen.weights, "WEIGHTS", tmp_path / "none")
    assert weight_folders() == []
    with pytest.raises(WeightsError, match=r"folder with a card\.toml\. Known: none\.$"):
        find_weights("x")


# --- damage


def test_changed_file_is_refused(folder: Path) -> None:
    data = bytearray((folder / MODEL_FILE).read_bytes())
    data[-1] ^= 1
    (folder / MODEL_FILE).write_bytes(data)
    with pytest.raises(WeightsError, match=r"model\.safetensors: its SHA-256 is .*, but the card says .*damaged"):
        load_network(str(folder), DCGANGenerator)


def test_missing_file(folder: Path) -> None:
    (folder / MODEL_FILE).unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read \(No such file or directory\)"):
        load_network(str(folder), DCGANGenerator)


def test_weights_for_another_network(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"dcgan: holds a dcgan, expected weights for a JNet\."):
        load_network(str(folder), JNet)


def test_typo_in_the_card(folder: Path) -> None:
    change_card(folder, licens="MIT")
    with pytest.raises(WeightsError, match=r'card\.toml: unknown key "licens"; did you mean "licence"\?'):
        read_card(folder)


def test_unknown_kind_in_the_card(folder: Path) -> None:
    change_card(folder, kind="gan")
    with pytest.raises(WeightsError, match=r"card\.toml: kind: .*got 'gan'"):
        read_card(folder)


def test_card_that_is_no_toml(folder: Path) -> None:
    (folder / CARD_FILE).write_bytes(b"\xff")
    with pytest.raises(WeightsError, match=r"card\.toml: not a readable TOML file"):
        load_network(str(folder), DCGANGenerator)


def test_typo_in_the_cards_config(folder: Path) -> None:
    change_card(folder, config={"z_dmi": 8})
    with pytest.raises(WeightsError, match=r'card\.toml \[config\]: unknown key "z_dmi"; did you mean "z_dim"\?'):
        load_network(str(folder), DCGANGenerator)


def test_state_that_does_not_fit_its_config(folder: Path) -> None:
    change_card(folder, config={"z_dim": 9, "widths": [16, 16, 8, 8, 8, 8]})
    with pytest.raises(
        WeightsError, match=r"safetensors: does not fit the config in its card: .*size mismatch"
    ) as caught:
        load_network(str(folder), DCGANGenerator)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_file_of_the_right_hash_that_holds_no_tensors(folder: Path, content: bytes) -> None:
    replace_model(folder, content)
    with pytest.raises(WeightsError, match=r"model\.safetensors: does not fit"):
        load_network(str(folder), DCGANGenerator)


# --- writing


def test_saving_again_replaces_both(folder: Path) -> None:
    before = read_card(folder)
    net = tiny.generator()
    net.to_rgb.weight.data.add_(1)
    after = save_weights(folder, net, before)
    assert after.sha256 != before.sha256
    load_network(str(folder), DCGANGenerator)
    assert sorted(path.name for path in folder.iterdir()) == [CARD_FILE, MODEL_FILE]


def test_failed_save_leaves_the_old_weights(folder: Path) -> None:
    """A folder where the temporary file should go: the write fails, what was there still loads."""
    temporary_of(folder / MODEL_FILE).mkdir()
    with pytest.raises(WeightsError, match=r"cannot be written \(Is a directory\)"):
        save_weights(folder, tiny.upscaler(), read_card(folder))
    load_network(str(folder), DCGANGenerator)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        WeightsError, match=rf"{re.escape(str(tmp_path))}/file/dcgan: cannot be written \(Not a directory"
    ):
        tiny.save(tmp_path / "file", tiny.generator())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_that_half_precision_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    net = tiny.discriminator()
    net.join[0][0].bias.data[0] = value  # type: ignore[index]
    with pytest.raises(WeightsError, match=r"join\.0\.0\.bias: .*not finite in half precision"):
        tiny.save(tmp_path, net)
    assert not list(tmp_path.iterdir())
