"""Training pictures and the batches cut from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facegen.arrays import RGB
from facegen.errors import TrainingError
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode, paint_guide
from facegen.media.images import write_image
from facegen.training.datasets import (
    FaceDataset,
    Order,
    PairConfig,
    PairDataset,
    Reduction,
    TileConfig,
    TileDataset,
    reduce,
)

DEFAULT = TileConfig()
PLAIN = TileConfig(zoom_max=1, degrade=0, recolour=0, guide_dropout=0, guide_jitter=0)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def faces(folder: Path, seed: int = 0) -> FaceDataset:
    return FaceDataset(files_in(folder), 32, seed)


def tiles(folder: Path, *, config: TileConfig = DEFAULT, side: int = 96, **changes: Any) -> TileDataset:
    options: dict[str, Any] = {"tile": 8, "scale": 8, "guide": "rgb", "seed": 0} | changes
    return TileDataset(files_in(folder), side=side, config=config, **options)


class TestOrder:
    def test_every_epoch_is_another_permutation(self) -> None:
        order = Order(10, seed=0)
        epochs = [order.take(10 * n, 10) for n in range(4)]
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 4

    def test_any_part_can_be_taken_in_any_order(self) -> None:
        order = Order(7, seed=1)
        whole = order.take(0, 30)
        assert order.take(25, 5) == whole[25:]
        assert order.take(3, 20) == whole[3:23]
        assert Order(7, seed=1).take(12, 3) == whole[12:15]

    def test_seeds_differ(self) -> None:
        assert Order(20, 0).take(0, 20) != Order(20, 1).take(0, 20)


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
        before = data.pictures.copy()
        originals = torch.from_numpy(before).permute(0, 3, 1, 2).float() / 127.5 - 1
        drawn = data.batch(0, 300)
        as_is = sum(any(torch.equal(d, o) for o in originals) for d in drawn)
        mirrored = sum(any(torch.equal(d, o.flip(-1)) for o in originals) for d in drawn)
        assert as_is + mirrored == 300
        assert 110 < mirrored < 190
        np.testing.assert_array_equal(data.pictures, before)


class TestTiles:
    def test_shape_and_range(self, head_folder: Path) -> None:
        stacks, high = tiles(head_folder).batch(0, 16)
        assert stacks.shape == (16, 6, 8, 8)
        assert high.shape == (16, 3, 64, 64)
        assert stacks.dtype == high.dtype == torch.float32
        for tensor in (stacks, high):
            assert tensor.min() >= 0
            assert tensor.max() <= 1 + 1e-6

    @pytest.mark.parametrize("mode", GUIDE_CHANNELS)
    def test_guide_modes(self, head_folder: Path, mode: GuideMode) -> None:
        stacks, _ = tiles(head_folder, guide=mode).batch(0, 2)
        assert stacks.shape[1] == 3 + GUIDE_CHANNELS[mode]

    def test_batches_are_known_from_seed_and_step(self, head_folder: Path) -> None:
        data = tiles(head_folder)
        batches = [data.batch(step, 2) for step in range(5)]
        again = tiles(head_folder)
        for step in (4, 0, 2):
            assert all(torch.equal(a, b) for a, b in zip(again.batch(step, 2), batches[step], strict=True))
        assert not torch.equal(tiles(head_folder, seed=1).batch(0, 2)[1], batches[0][1])

    def test_a_batch_may_be_made_in_parts(self, head_folder: Path) -> None:
        data = tiles(head_folder)
        parts = zip(data.batch(5, 1), data.batch(6, 3), strict=True)
        for whole, part in zip(data.batch(5, 4), parts, strict=True):
            assert torch.equal(torch.cat(part), whole)

    @pytest.mark.parametrize("config", [PLAIN, TileConfig(degrade=0)], ids=["plain", "recoloured"])
    def test_low_res_side_is_the_area_downsampled_tile_in_8_bits(self, head_folder: Path, config: TileConfig) -> None:
        stacks, high = tiles(head_folder, config=config).batch(0, 12)
        torch.testing.assert_close(stacks[:, :3], F.avg_pool2d(high, 8), atol=0.5 / 255 + 1e-5, rtol=0)

    @pytest.mark.parametrize("config", [PLAIN, DEFAULT], ids=["plain", "degraded"])
    def test_low_res_sides_have_the_levels_of_a_file(self, head_folder: Path, config: TileConfig) -> None:
        levels = 255 * tiles(head_folder, config=config).batch(0, 12)[0][:, :3]
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)

    def test_degradation_harms_the_low_res_side_alone(self, head_folder: Path) -> None:
        stacks, high = tiles(head_folder, config=PLAIN.model_copy(update={"degrade": 1.0})).batch(0, 40)
        harm = (stacks[:, :3] - F.avg_pool2d(high, 8)).abs().flatten(1).mean(dim=1)
        assert 10 < int((harm > 0.5 / 255).sum()) < 30
        assert harm.max() < 0.1

    def test_damaged_tiles_are_told_their_strength(self, head_folder: Path) -> None:
        config = PLAIN.model_copy(update={"damage": 0.7, "zoom_max": 1.5})
        data = tiles(head_folder, config=config, strength=True)
        stacks, high = data.batch(0, 80)
        assert stacks.shape == (80, 7, 8, 8)
        strengths = stacks[:, 6].flatten(1)
        assert (strengths == strengths[:, :1]).all()
        harm = (stacks[:, :3] - F.avg_pool2d(high, 8)).abs().flatten(1).mean(dim=1)
        clean = strengths[:, 0] == 0
        assert 12 < int(clean.sum()) < 36
        assert harm[clean].max() < 0.5 / 255
        assert harm[strengths[:, 0] > 0.5].mean() > harm[(strengths[:, 0] < 0.5) & ~clean].mean() > 0.005
        assert all(torch.equal(a, b) for a, b in zip(data.batch(3, 2), (stacks[3:5], high[3:5]), strict=True))

    @pytest.mark.parametrize(("dropout", "least", "most"), [(0.0, 0, 0), (0.3, 0.2, 0.4), (1.0, 1, 1)])
    def test_share_of_empty_guides(self, head_folder: Path, dropout: float, least: float, most: float) -> None:
        data = tiles(head_folder, config=PLAIN.model_copy(update={"guide_dropout": dropout}), side=64)
        stacks, _ = data.batch(0, 200)
        empty = (stacks[:, 3:].flatten(1) == 0).all(dim=1).float().mean().item()
        assert least <= empty <= most

    def test_every_tile_is_a_piece_of_its_picture(self, head_folder: Path) -> None:
        data = tiles(head_folder, config=PLAIN)
        _, high = data.batch(0, 8)
        places = [self.place(tile, data) for tile in high]
        assert len(set(places)) > 4
        assert all(0 <= n <= 96 - 64 for place in places for n in place)

    def test_every_offset_is_cut(self, head_folder: Path) -> None:
        data = tiles(head_folder, config=PLAIN, side=66)
        _, high = data.batch(0, 150)
        assert len({self.place(tile, data) for tile in high}) == 9

    def place(self, tile: Tensor, data: TileDataset) -> tuple[int, int]:
        """(left, top) in the picture of the one place that the tile, or its mirror, was cut from."""
        found = []
        cut = (tile.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        for template in (cut, np.ascontiguousarray(cut[:, ::-1])):
            for picture in data.pictures:
                best, _, where, _ = cv2.minMaxLoc(cv2.matchTemplate(picture, template, cv2.TM_SQDIFF_NORMED))
                found.append((best, (int(where[0]), int(where[1]))))
        best, place = min(found)
        assert best < 1e-4
        return place

    def test_guide_lies_on_the_face_also_when_mirrored(self, head_folder: Path) -> None:
        data = TileDataset(files_in(head_folder)[:1], side=64, tile=8, scale=8, guide="rgb", config=PLAIN, seed=0)
        picture = torch.from_numpy(data.pictures[0]).permute(2, 0, 1) / 255
        points = data.points[0] / 8
        mirrored = points * (-1, 1) + (8, 0)
        stacks, high = data.batch(0, 20)
        flips = [not torch.allclose(tile, picture, atol=1e-5) for tile in high]
        assert 3 < sum(flips) < 17
        for stack, flip in zip(stacks, flips, strict=True):
            expected = paint_guide(mirrored if flip else points, 8)
            np.testing.assert_array_equal((stack[3:] * 255).round().byte().permute(1, 2, 0).numpy(), expected)

    def test_zoomed_tiles_shrink_more_of_the_picture(self, head_folder: Path) -> None:
        data = tiles(head_folder, config=PLAIN.model_copy(update={"zoom_max": 1.5}))
        _, high = data.batch(0, 64)
        assert high.shape[-2:] == (64, 64)
        detail = (high[..., 1:] - high[..., :-1]).abs().mean(dim=(1, 2, 3))
        assert detail.max() > 1.2 * detail.min()

    def test_zoom_ends_at_the_picture(self, head_folder: Path) -> None:
        _, high = tiles(head_folder, config=PLAIN.model_copy(update={"zoom_max": 50.0}), side=64).batch(0, 20)
        assert high.shape == (20, 3, 64, 64)


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


def test_recolouring_changes_both_sides_alike(ramp_folder: Path) -> None:
    low, high = pairs(ramp_folder, recolour=0.5, reduction="area").batch(0, 20)
    assert torch.equal(low, reduce(high, 4, "area"))
    assert (high[:, 2] > 0).any()  # blue, that the picture has none of


def test_larger_pictures_are_reduced_to_the_side_and_smaller_ones_kept(ramp_folder: Path) -> None:
    assert [p.shape for p in pairs(ramp_folder, side=40).pictures] == [(40, 53, 3)]
    assert [p.shape for p in pairs(ramp_folder, side=96).pictures] == [(48, 64, 3)]


def test_pictures_smaller_than_the_crop_are_told_and_left_out(head_folder: Path, ramp_folder: Path) -> None:
    told: list[str] = []
    files = [*sorted(head_folder.iterdir()), ramp_folder / "a.png"]
    config = PairConfig(crop=64)
    found = PairDataset(files, side=96, scale=4, config=config, seed=0, warn=told.append)
    assert found.files == files[:3]
    assert told == [f"{files[3]}: 64x48 is smaller than the crop of 64 px. Left out."]
    with pytest.raises(TrainingError, match="None of the 1 pictures could be used"):
        PairDataset(files[3:], side=96, scale=4, config=config, seed=0, warn=told.append)


def test_known_landmarks_are_not_looked_for(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = files_in(head_folder)
    shares = np.random.default_rng(0).random((68, 2))
    looked = tiles(head_folder).points
    data = tiles(head_folder, landmarks={a: shares, c: shares})
    np.testing.assert_allclose(data.points[0], shares * 96)
    np.testing.assert_array_equal(data.points[1], looked[1])
    monkeypatch.setattr("facegen.training.datasets.landmarks_in_head", None)
    assert len(tiles(head_folder, landmarks=dict.fromkeys((a, b, c), shares)).points) == 3
