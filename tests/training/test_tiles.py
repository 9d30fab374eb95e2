"""Stage 2's tiles: cut, shrunk, damaged and guided on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.faces.guide import GUIDE_CHANNELS, GuideMode, paint_guide
from facegen.training.tiles import TileConfig, TileDataset

DEFAULT = TileConfig()
PLAIN = TileConfig(zoom_max=1, degrade=0, recolour=0, guide_dropout=0, guide_jitter=0)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def tiles(folder: Path, *, config: TileConfig = DEFAULT, side: int = 96, **changes: Any) -> TileDataset:
    options: dict[str, Any] = {"tile": 8, "scale": 8, "guide": "rgb", "seed": 0} | changes
    return TileDataset(files_in(folder), side=side, config=config, **options)


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

    def test_stacks_hold_the_strength_of_their_damage(self, head_folder: Path) -> None:
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
            for picture in data.pictures.numpy():
                best, _, where, _ = cv2.minMaxLoc(cv2.matchTemplate(picture, template, cv2.TM_SQDIFF_NORMED))
                found.append((best, (int(where[0]), int(where[1]))))
        best, place = min(found)
        assert best < 1e-4
        return place

    def test_guide_covers_the_face_also_when_mirrored(self, head_folder: Path) -> None:
        data = TileDataset(files_in(head_folder)[:1], side=64, tile=8, scale=8, guide="rgb", config=PLAIN, seed=0)
        picture = data.pictures[0].permute(2, 0, 1) / 255
        points = data.points[0] / 8
        mirrored = points * (-1, 1) + (8, 0)
        stacks, high = data.batch(0, 20)
        flips = [not torch.allclose(tile, picture, atol=1e-5) for tile in high]
        assert 3 < sum(flips) < 17
        for stack, flip in zip(stacks, flips, strict=True):
            found = (stack[3:] * 255).permute(1, 2, 0).numpy()
            right, wrong = (paint_guide(p, 8) for p in ((mirrored, points) if flip else (points, mirrored)))
            near, far = (np.abs(found - guide).mean() for guide in (right, wrong))
            assert near < min(8, 0.7 * far)  # not equal: it is painted finer, and shrunk

    def test_zoomed_tiles_shrink_more_of_the_picture(self, head_folder: Path) -> None:
        data = tiles(head_folder, config=PLAIN.model_copy(update={"zoom_max": 1.5}))
        _, high = data.batch(0, 64)
        assert high.shape[-2:] == (64, 64)
        detail = (high[..., 1:] - high[..., :-1]).abs().mean(dim=(1, 2, 3))
        assert detail.max() > 1.2 * detail.min()

    def test_zoom_ends_at_the_picture(self, head_folder: Path) -> None:
        _, high = tiles(head_folder, config=PLAIN.model_copy(update={"zoom_max": 50.0}), side=64).batch(0, 20)
        assert high.shape == (20, 3, 64, 64)


def test_known_landmarks_are_not_looked_for(head_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = files_in(head_folder)
    shares = np.random.default_rng(0).random((68, 2))
    looked = tiles(head_folder).points
    data = tiles(head_folder, landmarks={a: shares, c: shares})
    np.testing.assert_allclose(data.points[0], shares * 96)
    np.testing.assert_array_equal(data.points[1], looked[1])
    monkeypatch.setattr("facegen.training.tiles.landmarks_in_head", None)
    assert len(tiles(head_folder, landmarks=dict.fromkeys((a, b, c), shares)).points) == 3
