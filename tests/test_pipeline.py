"""The pipeline, whole, on tiny seeded networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.arrays import RGB, to_rgb, to_tensor
from facegen.candidates import Upscaled
from facegen.errors import RecipeError, ShapeError, UsageError, WeightsError
from facegen.faces.guide import GuideMode
from facegen.ops.consistency import downsample_area, low_res_psnr, resample
from facegen.ops.scoring import SCORERS
from facegen.pipeline import FacePipeline
from facegen.recipe import PipelineRecipe
from facegen.weights import weight_folders
from tests import tiny

Load = Callable[..., FacePipeline]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def load(recipe: Path) -> Load:
    def with_overrides(*overrides: str) -> FacePipeline:
        return FacePipeline.load(recipe, overrides)

    return with_overrides


@pytest.fixture(scope="module")
def pipeline(load: Load) -> FacePipeline:
    return load()


@pytest.fixture(scope="module")
def quick(load: Load) -> FacePipeline:
    """One candidate per tile."""
    return load("candidates.variants=[]")


def smooth_head(side: int, seed: int = 0) -> Tensor:
    """(3, side, side): coloured blobs."""
    noise = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return resample(noise, (side, side))


def bytes_of(upscaled: Upscaled) -> bytes:
    return upscaled.image.numpy().tobytes()


# --- seeds


def test_a_seed_gives_the_same_bytes_whatever_else_is_drawn(pipeline: FacePipeline, load: Load) -> None:
    row = [bytes_of(pipeline.sample(seed, 256)) for seed in range(16)]
    assert len(set(row)) == 16
    again = load()
    torch.manual_seed(7)  # no global random state comes in
    assert [bytes_of(again.sample(seed, 256)) for seed in (11, 0, 15)] == [row[11], row[0], row[15]]


def test_the_batch_of_tiles_changes_rounding_at_most(load: Load) -> None:
    whole, single = load("batch=100").sample(3, 256), load("batch=1").sample(3, 256)
    torch.testing.assert_close(whole.candidates, single.candidates, atol=6e-4, rtol=0)
    torch.testing.assert_close(whole.image, single.image, atol=1e-3, rtol=0)


def test_global_random_state_is_left_alone(pipeline: FacePipeline) -> None:
    before = torch.get_rng_state()
    pipeline.sample(5, 256)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("truncation", [0.05, 0.5, 1.0, 3.0])
def test_truncation_bounds_latents(load: Load, truncation: float) -> None:
    pipeline = load(f"truncation={truncation}")
    z = torch.stack([pipeline.latent(seed) for seed in range(200)])
    assert z.shape == (200, 8)
    assert z.abs().max() <= 2 * truncation
    assert z.abs().max() > 1.5 * min(truncation, 1.5)
    assert abs(z.mean()) < 0.1


def test_latents_are_normal_between_their_bounds(load: Load) -> None:
    pipeline = load("truncation=3")
    z = torch.cat([pipeline.latent(seed) for seed in range(500)])
    assert abs(z.std() - 1) < 0.05
    assert abs((z.abs() < 1).float().mean() - 0.683) < 0.03


def test_lower_truncation_draws_the_same_face_closer_to_the_mean(load: Load) -> None:
    full, half = load().latent(1), load("truncation=0.5").latent(1)
    assert torch.equal(full.sign(), half.sign())
    assert (half.abs() < full.abs()).all()


def test_latent_of_seed_0_stays(pipeline: FacePipeline) -> None:
    """Seeds are named in files and texts: this must be the same with every version of torch."""
    expected = torch.tensor(GOLDEN_LATENT)
    torch.testing.assert_close(pipeline.latent(0)[:4], expected, atol=1e-6, rtol=0)


# --- the picture


def test_golden_grid(pipeline: FacePipeline) -> None:
    upscaled = pipeline.sample(0, 768)
    torch.testing.assert_close(upscaled.image[:, 300:540:80, 300:540:80], torch.tensor(GOLDEN_GRID), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("size", "side"),
    [(1, 256), (64, 256), (256, 256), (257, 264), (512, 512), (768, 768), (1000, 1000), (1021, 1024)],
)
def test_sizes(quick: FacePipeline, size: int, side: int) -> None:
    upscaled = quick(smooth_head(128), size)
    assert upscaled.image.shape == (3, side, side)
    assert upscaled.stack.shape == (6, side // 8, side // 8)
    assert upscaled.candidates.shape == (len(upscaled.plan), 1, 3, 256, 256)
    assert upscaled.chosen.shape == (len(upscaled.plan),)
    assert 0 <= upscaled.image.min() <= upscaled.image.max() <= 1


@pytest.mark.slow
def test_large_sizes(pipeline: FacePipeline) -> None:
    for size in (1536, 2048):
        upscaled = pipeline(smooth_head(128), size)
        assert upscaled.image.shape == (3, size, size)
        assert upscaled.fit >= 40


@pytest.mark.parametrize("size", [0, -8])
def test_size_must_be_positive(pipeline: FacePipeline, size: int) -> None:
    with pytest.raises(UsageError, match=f"size is {size}, expected a positive number of pixels"):
        pipeline(smooth_head(32), size)


@pytest.mark.parametrize("shape", [(3, 128, 96), (1, 128, 128), (4, 64, 64), (128, 128), (1, 3, 64, 64), (3, 0, 0)])
def test_head_must_be_square_rgb(pipeline: FacePipeline, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"FacePipeline: picture has shape .*, expected \(3, S, S\)"):
        pipeline(torch.zeros(shape))


@pytest.mark.parametrize(
    ("side", "size", "held_to"),
    [
        (128, 768, 96),
        (20, 256, 32),  # smaller than a tile: stretched first
        (130, 1024, 128),
        (300, 768, 192),
        (700, 768, 384),
        (800, 768, 768),
    ],
)
def test_result_shrinks_back_to_its_input(quick: FacePipeline, side: int, size: int, held_to: int) -> None:
    head = smooth_head(side)
    upscaled = quick(head, size)
    assert upscaled.reference.shape == (3, held_to, held_to)
    torch.testing.assert_close(upscaled.reference, resample(head, (held_to, held_to)))
    assert upscaled.fit == low_res_psnr(upscaled.image, upscaled.reference) >= 40
    assert low_res_psnr(upscaled.image, upscaled.stack[:3]) >= 40


def test_sample_shrinks_back_to_its_face(quick: FacePipeline) -> None:
    upscaled = quick.sample(1, 768)
    assert low_res_psnr(upscaled.image, resample(quick.draw(quick.latent(1)), (96, 96))) >= 40


def test_a_drawn_face_over_768_px_is_the_smaller_one_upscaled_again(
    quick: FacePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (quick.drawn_size, quick.finest_size) == (768, 3072)
    monkeypatch.setattr("facegen.pipeline.AGAIN_SIDE", 128)
    small, large = quick.sample(1, 768), quick.sample(1, 769)
    assert (small.image.shape[1], large.image.shape[1]) == (768, 1024)
    assert low_res_psnr(large.image, resample(small.image, (128, 128))) >= 40
    assert small.landmarks is not None
    assert large.landmarks is not None
    np.testing.assert_allclose(large.landmarks.points, small.landmarks.points * 128 / 96)


def test_without_fidelity_it_is_the_bare_network(load: Load) -> None:
    """One tile, one candidate, no correction: the upscaler's own output."""
    pipeline = load("fidelity=0", "candidates.variants=[]")
    upscaled = pipeline(smooth_head(64), 256)
    with torch.inference_mode():
        bare = pipeline.upscaler(upscaled.stack[None])[0].clamp(0, 1)
    torch.testing.assert_close(upscaled.image, bare, atol=2.5e-4, rtol=0)  # candidates are kept in half precision


def test_fidelity_goes_from_the_network_to_the_input(load: Load) -> None:
    fits = [load(f"fidelity={fidelity}")(smooth_head(64), 256).fit for fidelity in (0, 0.5, 0.9, 1)]
    assert fits == sorted(fits)
    assert fits[-1] > fits[0] + 10


def test_candidates_show_the_same_picture(load: Load) -> None:
    variants = 'candidates.variants=["flip", "contrast", "saturation", "shift"]'
    upscaled = load(variants, "fidelity=0")(smooth_head(64), 256)
    assert upscaled.candidates.shape == (1, len(upscaled.names), 3, 256, 256)
    assert upscaled.scores.shape == (1, len(upscaled.names)) == (1, 10)
    for candidate in upscaled.candidates[0]:
        assert low_res_psnr(candidate.float(), upscaled.stack[:3]) > 15


# --- the guide


@pytest.mark.parametrize("guide", ["none", "rgb", "channels"])
def test_guides(tmp_path: Path, guide: GuideMode) -> None:
    pipeline = FacePipeline.load(tiny.save_all(tmp_path, guide), ["choice.scorers.discriminator=1"])
    upscaled = pipeline.sample(0, 256)
    planes = {"none": 0, "rgb": 3, "channels": 7}[guide]
    assert upscaled.stack.shape == (3 + planes, 32, 32)
    assert planes == 0 or upscaled.stack[3:].max() > 0.5
    assert upscaled.fit >= 40


def test_without_landmarks_the_guide_is_empty(pipeline: FacePipeline) -> None:
    upscaled = pipeline(resample(smooth_head(90), (80, 112)), 320, landmarks=None)
    assert upscaled.landmarks is None
    assert upscaled.image.shape == (3, 320, 448)
    assert not upscaled.stack[3:].any()


def test_upscaled_plainly_it_is_the_first_candidate_with_the_empty_guide(load: Load) -> None:
    picture = smooth_head(56)
    plain = load().upscale_plain(picture)  # of two candidates
    alone = load("candidates.variants=[]", "tiles.overlap=8")(picture, 448, landmarks=None)
    assert torch.equal(plain, alone.image)


def test_landmarks_are_found_on_the_whole_head_and_scaled(pipeline: FacePipeline, head: object) -> None:
    upscaled = pipeline(to_tensor(head), 512)  # type: ignore[arg-type]
    assert upscaled.landmarks is not None
    assert upscaled.landmarks.detected
    assert (upscaled.landmarks.points > 0).all()
    assert (upscaled.landmarks.points < 64).all()


# --- larger tiles, progress


@pytest.mark.parametrize(("side", "size", "tile", "tiles"), [
    (0, 768, 32, 25), (32, 768, 32, 25), (64, 768, 64, 4), (96, 768, 96, 1), (96, 800, 96, 4), (96, 384, 32, 4),
])  # fmt: skip
def test_tiles_are_as_large_as_wanted_or_as_the_head_allows(
    load: Load, side: int, size: int, tile: int, tiles: int
) -> None:
    upscaled = load(f"tiles.side={side}", "candidates.variants=[]")(smooth_head(128), size)
    assert (upscaled.plan.tile, len(upscaled.plan)) == (tile, tiles)
    assert upscaled.candidates.shape == (tiles, 1, 3, 8 * tile, 8 * tile)
    assert upscaled.fit >= 40


def test_large_tiles_are_scored_and_chosen_as_small_ones(load: Load) -> None:
    upscaled = load("tiles.side=64", "choice.scorers.discriminator=1")(smooth_head(128), 768)
    assert upscaled.scores.shape == (4, 2)
    plain = load("tiles.side=64").upscale_plain(smooth_head(80))
    assert plain.shape == (3, 640, 640)


@pytest.mark.parametrize("side", [31, 48])
def test_a_tile_that_is_no_multiple_of_the_networks_is_refused(recipe: Path, side: int) -> None:
    with pytest.raises(RecipeError, match=rf"tiny\.toml: tiles\.side: {side}, expected a multiple of 32, the side of"):
        FacePipeline.load(recipe, [f"tiles.side={side}"])


def test_large_tiles_come_fewer_at_a_time(load: Load) -> None:
    pipeline, seen = load("tiles.side=64", "batch=8", "candidates.variants=[]"), list[tuple[int, int]]()
    pipeline.progress = lambda done, total: seen.append((done, total))
    pipeline(smooth_head(128), 768)
    assert seen == [(2, 4), (4, 4)]


def test_progress_counts_the_tiles_of_every_variant(load: Load) -> None:
    pipeline, seen = load("batch=3"), list[tuple[int, int]]()
    pipeline.progress = lambda done, total: seen.append((done, total))
    pipeline(smooth_head(64), 384)
    assert seen == [(3, 8), (4, 8), (7, 8), (8, 8)]
    seen.clear()
    pipeline.upscale_plain(smooth_head(32))
    assert seen == [(1, 1)]


def test_an_exception_from_progress_cancels_the_picture_and_nothing_else(load: Load) -> None:
    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    pipeline = load()
    pipeline.progress = cancel
    with pytest.raises(KeyboardInterrupt):
        pipeline(smooth_head(64), 384)
    pipeline.progress = None
    assert bytes_of(pipeline(smooth_head(64), 384)) == bytes_of(load()(smooth_head(64), 384))


# --- recipes and weights that do not fit


def test_unknown_scorer_is_refused_when_the_recipe_is_read(recipe: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        FacePipeline.load(recipe, ["choice.scorers.laplace=1"])
    assert str(caught.value) == (
        f'{recipe}: choice.scorers: unknown scorer "laplace"; did you mean "laplacian"? '
        f"Known: {', '.join(sorted(SCORERS))}."
    )


@pytest.mark.parametrize("overlap", [32, 40])
def test_overlap_of_a_whole_tile_is_refused_when_loading(recipe: Path, overlap: int) -> None:
    with pytest.raises(RecipeError, match=rf"tiny\.toml: tiles\.overlap: {overlap}, expected less than 32"):
        FacePipeline.load(recipe, [f"tiles.overlap={overlap}"])


@pytest.mark.parametrize("overlap", [0, 1, 31])
def test_overlaps(load: Load, overlap: int) -> None:
    assert load(f"tiles.overlap={overlap}", "candidates.variants=[]")(smooth_head(40), 272).fit >= 40


@pytest.mark.parametrize(
    "override",
    ["truncation=0", "truncation=inf", "truncation=nan", "fidelity=1.1", "fidelity=nan", "batch=0", "precision=fp64",
     "candidates.variants=none", 'candidates.variants=["flop"]', 'candidates.variants=["flip", "flip"]',
     "candidates.count=-1", "choice.agreement=-1", "choice.agreement=inf",
     "choice.scorers.contrast=nan", "tiles.overlap=-1", "kind=jnet"],
)  # fmt: skip
def test_values_out_of_range_name_their_key(recipe: Path, override: str) -> None:
    with pytest.raises(
        RecipeError, match=rf"tiny\.toml: {override.partition('=')[0]}: .*(, got |unknown kind|names one twice)"
    ):
        FacePipeline.load(recipe, [override])


@pytest.mark.parametrize("scorer", sorted(SCORERS))
def test_every_scorer_picks(load: Load, scorer: str) -> None:
    pipeline = load(f"choice.scorers={{ {scorer} = 1.0 }}", "choice.agreement=0")
    upscaled = pipeline(smooth_head(64), 384)
    assert (pipeline.discriminator is not None) == (scorer == "discriminator")
    assert upscaled.fit >= 40


def test_discriminator_is_loaded_only_if_a_scorer_needs_it(recipe: Path) -> None:
    absent = "weights.discriminator=nowhere"
    assert FacePipeline.load(recipe, [absent, "choice.scorers.discriminator=0"]).discriminator is None
    with pytest.raises(WeightsError, match=r"weights 'nowhere'"):
        FacePipeline.load(recipe, [absent, "choice.scorers.discriminator=1"])


def test_guide_that_the_upscaler_does_not_take(tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path)
    tiny.save(tmp_path, tiny.upscaler("rgb"), "channels")
    with pytest.raises(WeightsError, match=r"tiny\.toml: upscaler: .* takes 6 channels, .*'channels' are 10"):
        FacePipeline.load(recipe)


def test_discriminator_of_another_upscaler(tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path)
    tiny.save(tmp_path, tiny.discriminator(planes=3))
    with pytest.raises(WeightsError, match=r"discriminator: takes 8x tiles and 3 channels, .* 8x ones from 6"):
        FacePipeline.load(recipe, ["choice.scorers.discriminator=1"])


def test_other_tile_and_scale() -> None:
    net = tiny.upscaler("none", tile=16, scale=4, decoder_widths=(16, 16, 8, 8, 4, 4), decoder_depths=(1,) * 6)
    recipe = PipelineRecipe(kind="pipeline", precision="fp32", tiles={"overlap": 8})  # type: ignore[arg-type]
    pipeline = FacePipeline(recipe, generator=tiny.generator(), upscaler=net, guide="none")
    upscaled = pipeline(smooth_head(50), 100)
    assert upscaled.image.shape == (3, 100, 100)
    assert upscaled.reference.shape == (3, 50, 50)
    assert upscaled.fit >= 40


# --- resample


@pytest.mark.parametrize("size", [(8, 8), (5, 20), (20, 5), (16, 16), (3, 2)])
def test_resample_keeps_a_plain_colour(size: tuple[int, int]) -> None:
    plain = torch.full((3, 10, 10), 0.3)
    torch.testing.assert_close(resample(plain, size), torch.full((3, *size), 0.3))


def test_resample_shrinks_by_area_along_the_axis_that_shrinks() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(3, 6, 8)  # (3, 6, 16), one pixel wide
    torch.testing.assert_close(resample(stripes, (12, 8)), torch.full((3, 12, 8), 0.5))
    assert torch.equal(resample(stripes, (3, 8)), downsample_area(stripes, (3, 8)))


# --- the shipped weights


def test_shipped_recipes_are_loaded_by_name() -> None:
    with pytest.raises(RecipeError, match=r"recipe 'fats': neither a \.toml file nor a shipped recipe; did you mean"):
        FacePipeline.load("fats")


@pytest.mark.skipif(len(weight_folders()) < 3, reason="no shipped weights in this checkout")
def test_shipped_weights_draw_a_face() -> None:
    pipeline = FacePipeline.load("portrait", ["candidates.variants=[]", "choice.scorers.discriminator=1"])
    upscaled = pipeline.sample(0, 256)
    picture = to_rgb(upscaled.image)
    assert picture.std() > 20
    assert upscaled.fit >= 40


GOLDEN_LATENT = [1.6320494, 0.519701, -0.0973329, 1.2907428]
GOLDEN_GRID = [
    [[0.4881, 0.5067, 0.3962], [0.424, 0.4616, 0.5802], [0.4742, 0.4584, 0.5204]],
    [[0.5348, 0.5746, 0.5211], [0.5086, 0.4497, 0.5005], [0.6793, 0.5533, 0.5038]],
    [[0.458, 0.4863, 0.5437], [0.4585, 0.5166, 0.3534], [0.3242, 0.258, 0.2848]],
]


# --- strength


@pytest.fixture(scope="module")
def told(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A pipeline whose J-net is told the strength of the damage."""
    net = tiny.upscaler(in_channels=7, strength=True)
    folder = tiny.save(tmp_path_factory.mktemp("told"), net, "rgb")

    def with_overrides(*overrides: str) -> FacePipeline:
        return FacePipeline.load(recipe, [f'weights.upscaler="{folder}"', "candidates.variants=[]", *overrides])

    return with_overrides


def test_network_is_told_the_strength(told: Load) -> None:
    weak, strong = (told(f"strength={strength}")(smooth_head(40), 320) for strength in (0.0, 0.75))
    assert [one.strength for one in (weak, strong)] == [0, 0.75]
    assert strong.stack.shape[0] == 7
    assert (strong.stack[6] == 0.75).all()
    assert not torch.equal(weak.candidates, strong.candidates)


def test_drawn_faces_and_photos_have_strengths_of_their_own(told: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.pipeline.AGAIN_SIDE", 128)
    pipeline = told("strength=0.25", "drawn_strength=0.75")
    assert pipeline(smooth_head(40), 320).strength == 0.25
    assert pipeline(smooth_head(40), 320, drawn=True).strength == 0.75
    small, large = pipeline.sample(0, 256), pipeline.sample(0, pipeline.drawn_size + 1)
    assert [small.strength, large.strength] == [0.75, 0.25]  # the second pass has a face without faults


def test_networks_that_take_no_strength_draw_faces_as_they_are(load: Load) -> None:
    assert load("drawn_strength=0.75").sample(0, 256).strength == 0


def test_automatic_strength_is_estimated_for_each_picture(told: Load, head: RGB) -> None:
    clean = downsample_area(to_tensor(head), (96, 96))
    noisy = (clean + 0.1 * torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    pipeline = told("strength=auto")
    weak, strong = (pipeline(picture, 768, landmarks=None).strength for picture in (clean, noisy))
    assert weak + 0.2 < strong


def test_damaged_input_is_agreed_with_in_its_light_alone(told: Load) -> None:
    noise = 0.1 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    picture = (0.25 + smooth_head(64) / 2 + noise).clamp(0, 1)
    exact, clean = (told(f"strength={strength}")(picture, 512, landmarks=None) for strength in (0.0, 1.0))
    assert torch.equal(exact.reference, picture)
    assert clean.fit > 55
    assert low_res_psnr(clean.image, picture) < 30 < low_res_psnr(exact.image, picture)
    light = [downsample_area(image, (4, 4)) for image in (clean.image, picture)]
    torch.testing.assert_close(*light, atol=0.05, rtol=0)


def test_strength_is_for_networks_that_are_told(load: Load) -> None:
    with pytest.raises(RecipeError, match=r"strength: 0.5, but the weights .* know no damage; .* jnet-8x-restore"):
        load("strength=0.5")


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_grey_photos_stay_grey(told: Load, strength: float) -> None:
    grey = smooth_head(40).mean(dim=0, keepdim=True).expand(3, -1, -1).contiguous()
    pipeline = told(f"strength={strength}")
    for image in (pipeline(grey, 320, landmarks=None).image, pipeline.upscale_plain(grey)):
        assert (image.amax(dim=0) - image.amin(dim=0)).max() < 1.5 / 255
