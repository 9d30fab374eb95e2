"""The seam gauge: 1 without seams, high with them."""

import pytest
import torch

from facegen.errors import ShapeError
from facegen.ops.blending import blend
from facegen.ops.seams import SeamGauge, border_count, content_gauge, content_ratios, seam_gauge
from facegen.ops.tiling import plan_tiles, split

PLAN = plan_tiles(96, 96)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_noise_has_no_seams(scale: int, rng: torch.Generator) -> None:
    gauge = seam_gauge(torch.rand(3, 96 * scale, 96 * scale, generator=rng), PLAN)
    assert gauge.mean == pytest.approx(1.0, abs=0.02)
    assert gauge.max == pytest.approx(1.0, abs=0.1)


def test_a_pasted_tile_shows(rng: torch.Generator) -> None:
    image = 0.1 * torch.rand(3, 384, 384, generator=rng)
    image[:, 64:192, 128:256] += 0.5
    gauge = seam_gauge(image, PLAN)
    assert gauge.max > 4
    assert gauge.mean > 1.5
    assert gauge.max > gauge.mean


def test_one_seam_by_hand() -> None:
    plan = plan_tiles(32, 48)  # borders at low-res columns 16 and 32
    ramp = 0.01 * torch.arange(96.0)
    image = (ramp + 0.05 * (torch.arange(96) >= 32))[None, None].expand(3, 64, -1)  # a step of 0.06 at column 16
    gauge = seam_gauge(image, plan)
    assert gauge.max == pytest.approx(6.0, abs=1e-2)
    assert gauge.mean == pytest.approx(3.5, abs=1e-2)


def test_seams_elsewhere_do_not_count() -> None:
    ramp = (0.01 * torch.arange(96.0) + 0.05 * (torch.arange(96) >= 40))[None, None].expand(3, 64, -1)
    assert seam_gauge(ramp, plan_tiles(32, 48)).max == pytest.approx(1.0, abs=1e-3)


def test_content_is_measured_away_from_the_borders() -> None:
    """Borders at high-res columns 32 and 64, in 96."""
    plan, columns = plan_tiles(32, 48), torch.arange(96)
    assert border_count(plan) == 2
    for line, content, seams in ((16, 6.0, 1.0), (48, 6.0, 1.0), (32, 1.0, 6.0), (64, 1.0, 6.0)):
        image = (0.01 * columns + 0.05 * (columns >= line))[None, None].expand(3, 64, -1)
        ratios = content_ratios(image, plan)
        assert len(ratios) == 19 + 3 + 3 + 3  # every second line
        assert max(ratios) == pytest.approx(content, abs=1e-2)
        assert seam_gauge(image, plan).max == pytest.approx(seams, abs=1e-2)


def test_a_lattice_of_low_res_pixels_is_content() -> None:
    """Steps between low-res pixels that are steeper than those within one say nothing of tiles."""
    within = (torch.arange(384) % 4 == 0).float()
    steps = (0.001 + 0.0005 * within).cumsum(0)
    image = (steps[:, None] + steps[None, :])[None].expand(3, -1, -1)
    assert seam_gauge(image, PLAN).mean == pytest.approx(1.5, abs=1e-2)
    assert content_ratios(image, PLAN) == pytest.approx([1.5] * (2 * 6 * 9), abs=1e-2)


def test_the_worst_content_is_that_of_as_many_lines() -> None:
    ratios = [i / 1000 for i in range(1001)]
    draws = torch.rand(4000, 20, generator=torch.Generator().manual_seed(0))
    gauge = content_gauge(ratios, 20)
    assert gauge.mean == pytest.approx(0.5)
    assert gauge.max == pytest.approx(draws.amax(1).median().item(), abs=0.01)
    assert content_gauge([], 3) == content_gauge(ratios, 0) == SeamGauge(1.0, 1.0)


def test_as_much_is_divided_out_of_content() -> None:
    picture = torch.rand(3, 192, 192, generator=torch.Generator().manual_seed(0))
    assert set(content_ratios(picture, PLAN, picture)) == {1.0}


def test_blending_hides_what_pasting_shows(rng: torch.Generator) -> None:
    noise = 0.05 * torch.rand(3, 384, 384, generator=rng)
    tiles = split(noise, PLAN) + 0.3 * torch.rand(25, 1, 1, 1, generator=rng)  # each tile is brighter or darker
    pasted = torch.zeros(3, 384, 384)
    for (top, left), tile in zip(PLAN.boxes, tiles, strict=True):
        pasted[:, 4 * top : 4 * top + 128, 4 * left : 4 * left + 128] = tile
    blended = seam_gauge(blend(tiles, PLAN), PLAN)
    assert blended.max < 1.1
    assert seam_gauge(pasted, PLAN).mean > 2


def test_no_borders_no_seams(rng: torch.Generator) -> None:
    assert seam_gauge(torch.rand(3, 64, 64, generator=rng), plan_tiles(32, 32)) == SeamGauge(1.0, 1.0)


def test_a_flat_picture_measures_one() -> None:
    assert seam_gauge(torch.full((3, 96, 96), 0.5), PLAN) == SeamGauge(1.0, 1.0)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"seam_gauge: image has shape \(3, 100, 96\), expected \(C, s\*96, s\*96\)"):
        seam_gauge(torch.zeros(3, 100, 96), PLAN)


def test_what_a_picture_without_tiles_measures_there_is_divided_out() -> None:
    rng = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 192, 192, generator=rng)
    picture[:, 64:] += 2  # an edge of the motif on a border
    assert seam_gauge(picture, PLAN).max > 5
    assert seam_gauge(picture, PLAN, picture) == SeamGauge(1.0, 1.0)
    with pytest.raises(ShapeError, match=r"plain has shape \(3, 96, 96\), expected \(3, 192, 192\)"):
        seam_gauge(picture, PLAN, picture[:, :96, :96])
