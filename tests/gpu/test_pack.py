"""What goes to a machine without a network: small, whole, and the same pictures on either side of the split."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from facegen.data.manifest import MANIFEST
from facegen.data.split import DataConfig, known_landmarks, split_files
from facegen.models.efficientnet import load_efficientnet
from gpu.pack import FEATURES, half_features, pack_pictures, pack_start, shares


def unpacked(archives: list[Path], folder: Path) -> Path:
    for path in archives:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    return folder


def test_shares_are_in_order_about_equal_and_within_the_limit(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:02}" for number in range(20)]
    for number, file in enumerate(files):
        file.write_bytes(bytes(100 + number))
    dealt = shares(files, 1000)
    assert [file for share in dealt for file in share] == files
    assert [sum(file.stat().st_size for file in share) for share in dealt] == [721, 770, 699]
    assert shares(files[:1], 10) == [files[:1]]


def test_pictures_arrive_with_landmarks_and_the_same_are_held_out(head_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    out.mkdir()
    pack_pictures(out, "portraits", head_folder, landmarks=True, limit=100_000)
    archives = sorted(out.iterdir())
    assert [path.name for path in archives] == ["portraits-1.tar.gz", "portraits-2.tar.gz"]
    there = unpacked(archives, tmp_path / "there") / "portraits"
    config = DataConfig(held_out=1)
    here = [[file.name for file in side] for side in split_files(head_folder, config)]
    assert [[file.name for file in side] for side in split_files(there, config)] == here
    assert sorted(file.name for file in known_landmarks(there)) == ["a.png", "b.png", "c.png"]
    assert (there / MANIFEST).is_file()


def test_weights_travel_with_the_networks_that_they_were_trained_with(tmp_path: Path) -> None:
    pack_start(tmp_path, "jnet-8x")
    with tarfile.open(tmp_path / "start-jnet-8x.tar.gz") as archive:
        folders = {str(Path(name).parent) for name in archive.getnames() if name.endswith("card.toml")}
    weights = "code/weights/"
    assert folders == {f"{weights}jnet-8x", f"{weights}training/jnet-8x-patchgan", f"{weights}training/jnet-8x-heads"}


def test_feature_networks_see_the_same_in_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = load_efficientnet("lite0")(pictures)
    half_features(FEATURES[0], tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.pth"))
    assert size < 6.5e6
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(FEATURES[0])
    assert spec is not None
    assert str(spec.origin).startswith(str(tmp_path))
    for a, b in zip(load_efficientnet("lite0")(pictures), whole, strict=True):
        assert (a - b).norm() < 0.02 * b.norm()  # bfloat16, in which it trains, changes them by 0.05
