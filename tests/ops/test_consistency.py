"""Back-projection, the area mean that it inverts, and missing detail."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.errors import ShapeError, UsageError
from facegen.ops.consistency import TOLERANCE, add_missing_detail, back_project, downsample_area, low_res_psnr


def scene(height: int, width: int, seed: int) -> Tensor:
    """(3, height, width) in [0, 1] with the falling spectrum of photographs: noise of every size, finer is fainter."""
    rng = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for size in (3, 6, 12, 24, 48):
        noise = torch.randn(1, 3, size, size, generator=rng)
        total += F.interpolate(noise, (height, width), mode="bicubic", align_corners=False) / size
    return (0.5 + 0.5 * total[0]).clamp(0, 1)


def detailed(low_res: Tensor, scale: int, seed: int) -> Tensor:
    """What a network might make of it: upscaled, with a colour cast, made-up detail, and 5 % noise."""
    rng = torch.Generator().manual_seed(seed + 1)
    upscaled = F.interpolate(low_res[None], scale_factor=scale, mode="bicubic", align_corners=False)[0]
    cast = 0.9 * upscaled + torch.tensor([0.08, 0.0, -0.04])[:, None, None]
    return (cast + 0.05 * torch.randn(upscaled.shape, generator=rng)).clamp(0, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("height", "width", "scale"), [(48, 48, 8), (32, 64, 4), (40, 24, 3), (24, 24, 1)])
def test_the_low_res_input_comes_back(height: int, width: int, scale: int, seed: int) -> None:
    low_res = scene(height, width, seed)
    image = detailed(low_res, scale, seed)
    corrected = back_project(image, low_res)
    assert low_res_psnr(image, low_res) < 35
    assert low_res_psnr(corrected, low_res) >= 45
    assert corrected.min() >= 0
    assert corrected.max() <= 1


def test_one_pass_is_exact_where_nothing_is_clamped() -> None:
    low_res = 0.3 + 0.4 * scene(24, 24, seed=0)
    image = 0.3 + 0.4 * detailed(scene(24, 24, seed=1), 8, seed=0)
    assert low_res_psnr(back_project(image, low_res, iterations=1), low_res) > 100


@pytest.mark.parametrize("passes", [0, 2, 4])
def test_each_of_several_pictures_is_shifted_by_itself(passes: int) -> None:
    """One agrees already, one needs a pass, one is black and white, and is corrected last."""
    scenes = [scene(24, 24, seed) for seed in range(2)]
    low_res = torch.stack([scenes[0], scenes[1], scenes[0].gt(0.5).float()])
    images = torch.stack([detailed(x, 8, seed=3) for x in (scenes[0], scenes[0], scenes[1])])
    images[0] = back_project(images[0], low_res[0])
    together = back_project(images, low_res, iterations=passes)
    alone = torch.stack([back_project(*pair, iterations=passes) for pair in zip(images, low_res, strict=True)])
    assert torch.equal(together[0], images[0])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [2, 8])
def test_black_and_white_come_back_too(scale: int, rng: torch.Generator) -> None:
    """Where clamping takes most of every pass away, within a quarter of an 8-bit step all the same."""
    low_res = (torch.rand(3, 24, 24, generator=rng) > 0.5).float()
    image = torch.rand(3, 24 * scale, 24 * scale, generator=rng)
    for passes in (0, 1, 8):
        corrected = back_project(image, low_res, iterations=passes)
        assert (downsample_area(corrected, (24, 24)) - low_res).abs().max() < TOLERANCE
        assert corrected.min() >= 0
        assert corrected.max() <= 1


def test_slack_is_left_alone_and_what_exceeds_it_is_taken_away() -> None:
    low_res = 0.3 + 0.4 * scene(24, 24, seed=0)
    image = 0.3 + 0.4 * detailed(low_res, 8, seed=0)
    corrected = downsample_area(back_project(image, low_res, slack=0.02), (24, 24))
    assert (corrected - low_res).abs().max() == pytest.approx(0.02, abs=1e-4)
    within = F.interpolate(low_res[None] + 0.01, scale_factor=8)[0]
    assert torch.equal(back_project(within, low_res, slack=0.02), within)


@pytest.mark.parametrize("fidelity", [0.25, 0.5, 0.9])
def test_fidelity_is_the_share_of_the_error_removed(fidelity: float) -> None:
    low_res = 0.3 + 0.4 * scene(24, 24, seed=0)
    image = 0.3 + 0.4 * detailed(low_res, 8, seed=0)
    before = downsample_area(image, (24, 24)) - low_res
    after = downsample_area(back_project(image, low_res, fidelity), (24, 24)) - low_res
    torch.testing.assert_close(after, (1 - fidelity) * before, atol=1e-3, rtol=0)


def test_no_fidelity_changes_nothing_but_the_range(rng: torch.Generator) -> None:
    image = 2 * torch.rand(3, 64, 64, generator=rng) - 0.5
    assert torch.equal(back_project(image, torch.rand(3, 8, 8, generator=rng), fidelity=0.0), image.clamp(0, 1))


def test_a_consistent_picture_is_left_alone(rng: torch.Generator) -> None:
    image = torch.rand(3, 64, 64, generator=rng)
    assert torch.equal(back_project(image, downsample_area(image, (8, 8))), image)


def test_detail_within_a_low_res_pixel_survives(rng: torch.Generator) -> None:
    low_res = torch.full((3, 12, 12), 0.5)
    detail = 0.2 * (torch.rand(3, 96, 96, generator=rng) - 0.5)
    corrected = back_project(0.4 + detail, low_res)
    torch.testing.assert_close(corrected - 0.5, detail, atol=0.06, rtol=0)
    assert torch.corrcoef(torch.stack([corrected.flatten(), detail.flatten()]))[0, 1] > 0.95


def test_the_correction_shows_no_grid() -> None:
    """Steps between low-res pixels are no larger than inside them; repeating pixels would put every step there."""
    low_res = scene(48, 48, seed=3)
    corrected = back_project(torch.full((3, 384, 384), 0.5), low_res)
    steps = corrected.diff(dim=2).abs().mean((0, 1))  # entry i is the step between columns i and i + 1
    at_borders = steps[7::8].mean()
    assert at_borders / steps.mean() < 1.3


def test_fidelity_outside_its_range() -> None:
    for fidelity in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match=r"fidelity .* is outside 0\.\.1; 0 is off, 1 is full agreement"):
            back_project(torch.zeros(3, 8, 8), torch.zeros(3, 1, 1), fidelity)


@pytest.mark.parametrize("shape", [(3, 60, 64), (3, 64, 128), (1, 64, 64), (64, 64), (3, 4, 4)])
def test_sizes_must_fit(shape: tuple[int, ...]) -> None:
    low_res = torch.zeros(3, 8, 8)
    with pytest.raises(ShapeError, match=r"image has shape .*, expected \(3, s\*h, s\*w\) for a whole s and low_res"):
        back_project(torch.zeros(shape), low_res)
    with pytest.raises(ShapeError, match=r"expected \(3, s\*h, s\*w\)"):
        low_res_psnr(torch.zeros(shape), low_res)


def test_psnr_by_hand() -> None:
    low_res = torch.full((3, 4, 4), 0.5)
    assert low_res_psnr(torch.full((3, 32, 32), 0.6), low_res) == pytest.approx(20.0, abs=1e-4)
    assert low_res_psnr(torch.full((3, 32, 32), 0.5), low_res) == math.inf


def test_area_by_hand() -> None:
    row = torch.tensor([[[0.0, 3.0, 6.0, 9.0]]])  # (1, 1, 4)
    assert downsample_area(row, (1, 2)).tolist() == [[[1.5, 7.5]]]
    torch.testing.assert_close(downsample_area(row, (1, 3)), torch.tensor([[[0.75, 4.5, 8.25]]]))


@pytest.mark.parametrize("size", [(96, 96), (64, 128), (1, 1), (127, 3), (128, 128)])
def test_area_keeps_the_mean_and_slopes(size: tuple[int, int], rng: torch.Generator) -> None:
    noise = torch.rand(6, 128, 128, generator=rng)
    small = downsample_area(noise, size)
    assert small.shape == (6, *size)
    torch.testing.assert_close(small.mean((1, 2)), noise.mean((1, 2)))
    slope = (torch.arange(128) + 0.5)[None, None].expand(1, 128, -1) / 128
    expected = (torch.arange(size[1]) + 0.5) / size[1]
    error = (downsample_area(slope, size)[0, 0] - expected).abs().max()
    assert error < 0.1 / 128  # a slope stays one: no pixel is shifted by a tenth of a source pixel


def test_area_takes_batches(rng: torch.Generator) -> None:
    images = torch.rand(2, 3, 32, 32, generator=rng)
    for size in ((8, 8), (12, 20)):
        torch.testing.assert_close(downsample_area(images, size)[1], downsample_area(images[1], size))


@pytest.mark.parametrize("size", [(0, 8), (9, 8), (8, 17)])
def test_area_does_not_enlarge(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"downsample_area: cannot shrink 8 × 16 px to"):
        downsample_area(torch.zeros(3, 8, 16), size)


# --- missing detail


@pytest.fixture
def grainy(rng: torch.Generator) -> Tensor:
    """(3, 64, 80): a gradient with grain."""
    return torch.linspace(0.3, 0.7, 80).expand(3, 64, -1) + 0.05 * torch.randn(3, 64, 80, generator=rng)


def soft(image: Tensor) -> Tensor:
    return F.avg_pool2d(image[None], 9, stride=1, padding=4, count_include_pad=False)[0]


def grain(image: Tensor) -> float:
    return float(image.diff(dim=1).diff(dim=2).std())


def test_grain_is_kept_to_the_bit(grainy: Tensor) -> None:
    assert torch.equal(add_missing_detail(grainy, soft(grainy)), grainy)


def test_a_soft_picture_gets_detail_and_keeps_its_means(grainy: Tensor) -> None:
    picture = soft(grainy)
    done = add_missing_detail(picture, grainy)
    assert grain(done) > 0.8 * grain(grainy) > 5 * grain(picture)
    torch.testing.assert_close(*(downsample_area(x, (32, 40)) for x in (done, picture)), atol=1e-5, rtol=0)


def test_detail_is_added_where_it_is_missing(grainy: Tensor) -> None:
    picture = torch.cat([grainy[:, :, :40], soft(grainy)[:, :, 40:]], dim=2)
    finer = 0.5 * soft(grainy) + 0.5 * grainy
    done = add_missing_detail(picture, finer)
    assert torch.equal(done[:, :, :24], picture[:, :, :24])
    assert grain(done[:, :, 56:]) > 4 * grain(picture[:, :, 56:])


def test_where_nothing_was_upscaled_nothing_changes(grainy: Tensor) -> None:
    picture = soft(grainy)
    finer = picture.clone()
    finer[:, 20:40, 20:40] = grainy[:, 20:40, 20:40]
    done = add_missing_detail(picture, finer)
    done[:, 20:40, 20:40] = picture[:, 20:40, 20:40]
    assert torch.equal(done, picture)


@pytest.mark.parametrize(("size", "other"), [((63, 80), (63, 80)), ((64, 79), (64, 79)), ((64, 80), (64, 82))])
def test_sizes_that_do_not_fit(size: tuple[int, int], other: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"add_missing_detail: shapes \(3, 6., .*expected the same \(3, 2h, 2w\)"):
        add_missing_detail(torch.zeros(3, *size), torch.zeros(3, *other))
