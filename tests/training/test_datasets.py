"""Training pictures and the batches cut from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from facegen.arrays import RGB
from facegen.errors import TrainingError
from facegen.media.images import write_image
from facegen.training.datasets import (
    FaceDataset,
    PairConfig,
    PairDataset,
    Reduction,
    reduce,
    shuffled,
)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def faces(folder: Path, seed: int = 0) -> FaceDataset:
    return FaceDataset(files_in(folder), 32, seed)


def test_every_epoch_is_another_permutation_by_the_seed() -> None:
    epochs = [tuple(shuffled(10, seed, 10 * n, 10)) for seed in (0, 1) for n in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(epochs)) == 6
    whole = shuffled(7, 1, 0, 30)
    assert (shuffled(7, 1, 25, 5), shuffled(7, 1, 3, 20)) == (whole[25:], whole[3:23])


class TestFaces:
    def test_shape_and_range(self, head_folder: Path) -> None:
        data = faces(head_folder)
        batch = data.batch(0, 4)
        assert len(data.pictures) == 3
        assert batch.shape == (4, 3, 32, 32)
        assert batch.dtype == torch.float32
        assert batch.min() >= -1
        assert batch.max() <= 1

    def test_batches_are_known_from_seed_and_step(self, head_folder: Path) -> None:
        data = faces(head_folder)
        batches = [data.batch(step, 2) for step in range(6)]
        again = faces(head_folder)
        for step in (5, 0, 3):
            assert torch.equal(again.batch(step, 2), batches[step])
        assert not torch.equal(faces(head_folder, seed=1).batch(0, 2), batches[0])

    def test_a_batch_may_be_made_in_parts(self, head_folder: Path) -> None:
        data = faces(head_folder)
        assert torch.equal(torch.cat([data.batch(5, 2), data.batch(7, 4)]), data.batch(5, 6))

    def test_half_are_mirrored_and_the_pictures_stay(self, head_folder: Path) -> None:
        data = faces(head_folder)
        before = data.pictures.clone()
        originals = before.permute(0, 3, 1, 2).float() / 127.5 - 1
        drawn = data.batch(0, 300)
        as_is = sum(any(torch.equal(d, o) for o in originals) for d in drawn)
        mirrored = sum(any(torch.equal(d, o.flip(-1)) for o in originals) for d in drawn)
        assert as_is + mirrored == 300
        assert 110 < mirrored < 190
        assert torch.equal(data.pictures, before)


def pairs(folder: Path, *, side: int = 96, scale: int = 4, seed: int = 0, **config: Any) -> PairDataset:
    options = PairConfig(**({"crop": 32} | config))
    return PairDataset(sorted(folder.iterdir()), side=side, scale=scale, config=options, seed=seed)


@pytest.fixture
def ramp_folder(tmp_path: Path) -> Path:
    """One picture of 64 x 48 px whose red is 3x and whose green is 3y."""
    y, x = np.mgrid[:48, :64]
    write_image(tmp_path / "ramp" / "a.png", np.stack([3 * x, 3 * y, 0 * x], axis=2).astype(np.uint8))
    return tmp_path / "ramp"


@pytest.mark.parametrize("reduction", ["bicubic", "area"])
def test_low_res_is_the_high_res_one_reduced(head_folder: Path, reduction: Reduction) -> None:
    low, high = pairs(head_folder, reduction=reduction).batch(0, 3)
    assert (low.shape, high.shape) == ((3, 3, 8, 8), (3, 3, 32, 32))
    assert low.dtype == high.dtype == torch.float32
    assert torch.equal(low, reduce(high, 4, reduction))
    assert min(low.min(), high.min()) >= 0
    assert max(low.max(), high.max()) <= 1


def test_reduction_is_that_of_pillow(astronaut: RGB) -> None:
    crop = astronaut[:96, 128:224]
    high = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None] / 255
    for reduction, filter_ in (("bicubic", Image.Resampling.BICUBIC), ("area", Image.Resampling.BOX)):
        expected = np.asarray(Image.fromarray(crop).resize((24, 24), filter_), np.float32)
        found = reduce(high, 4, reduction)[0].permute(1, 2, 0).numpy() * 255  # type: ignore[arg-type]
        assert np.abs(found - expected).max() <= 1.01  # Pillow rounds after each of its two passes


def test_batches_are_known_from_their_number(head_folder: Path) -> None:
    one, other = (pairs(head_folder, zoom_max=2.0, recolour=0.3, quarter_turns=True) for _ in range(2))
    whole = one.batch(4, 6)
    parts = [torch.cat(x) for x in zip(other.batch(4, 2), other.batch(6, 4), strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert not torch.equal(whole[1], pairs(head_folder, seed=1).batch(4, 6)[1])


def corners(dataset: PairDataset, count: int = 300) -> set[tuple[int, int]]:
    """Where crops of the ramp are cut, and which way they are turned: red and green of their first pixel."""
    high: Tensor = dataset.batch(0, count)[1]
    first = (high[:, :2, 0, 0] * 255 / 3).round().int()
    return {(int(x), int(y)) for x, y in first.tolist()}


def test_crops_come_from_every_offset_of_pictures_that_are_not_square(ramp_folder: Path) -> None:
    found = corners(pairs(ramp_folder))
    left = {x for x, _ in found if x <= 32}
    mirrored = {x - 31 for x, _ in found if x >= 31}
    assert left | mirrored == set(range(33))
    assert {y for _, y in found} == set(range(17))


def test_quarter_turns_bring_other_corners_first(ramp_folder: Path) -> None:
    assert max(y for _, y in corners(pairs(ramp_folder))) == 16
    assert max(y for _, y in corners(pairs(ramp_folder, quarter_turns=True))) == 47


def test_zoom_cuts_more_and_shrinks_it(ramp_folder: Path) -> None:
    high = pairs(ramp_folder, zoom_max=1.5).batch(0, 200)[1]
    spread = ((high[:, 0, 0] - high[:, 0, 0, :1]).abs().amax(dim=1) * 255 / 3).round()  # red from left to right
    assert spread.min() == 31
    assert 40 < spread.max() <= 47
    assert 0.3 < (spread == 31).float().mean() < 0.7


def test_zoomed_crops_are_mirrored_as_often_as_others(ramp_folder: Path) -> None:
    high = pairs(ramp_folder, zoom_max=1.5).batch(0, 300)[1]
    mirrored = high[:, 0, 0, 0] > high[:, 0, 0, -1]  # red rises from left to right
    zoomed = ((high[:, 0, 0, 0] - high[:, 0, 0, -1]).abs() * 255 / 3).round() > 31
    shares = [mirrored[zoomed == which].float().mean().item() for which in (True, False)]
    assert all(0.35 < share < 0.65 for share in shares)


def test_recolouring_changes_both_sides_alike(ramp_folder: Path) -> None:
    low, high = pairs(ramp_folder, recolour=0.5, reduction="area").batch(0, 20)
    assert torch.equal(low, reduce(high, 4, "area"))
    assert (high[:, 2] > 0).any()  # blue, that the picture has none of


def test_larger_pictures_are_reduced_to_the_side_and_smaller_ones_kept(ramp_folder: Path) -> None:
    assert [p.shape for p in pairs(ramp_folder, side=40).pictures] == [(40, 53, 3)]
    assert [p.shape for p in pairs(ramp_folder, side=96).pictures] == [(48, 64, 3)]


def test_pictures_smaller_than_the_crop_are_reported_and_omitted(head_folder: Path, ramp_folder: Path) -> None:
    warnings: list[str] = []
    files = [*sorted(head_folder.iterdir()), ramp_folder / "a.png"]
    config = PairConfig(crop=64)
    found = PairDataset(files, side=96, scale=4, config=config, seed=0, warn=warnings.append)
    assert found.files == files[:3]
    assert warnings == [f"{files[3]}: 64x48 is smaller than the crop of 64 px. Left out."]
    with pytest.raises(TrainingError, match="None of the 1 pictures could be used"):
        PairDataset(files[3:], side=96, scale=4, config=config, seed=0, warn=warnings.append)
