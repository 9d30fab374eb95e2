"""Learning which latents give poor faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from facegen.arrays import RGB
from facegen.cli.main import cli
from facegen.errors import FileError
from facegen.media.images import read_image, write_image
from facegen.media.record import read_record, record_text
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.latents import LatentRating, RatingConfig
from facegen.pipeline import FacePipeline
from facegen.training import rating
from facegen.training.rating import among_similar, brightness, fit_rating, likelihood, realism
from facegen.video.walk import latent_in
from facegen.weights import load_network, read_card, save_weights
from tests import tiny


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_what_depends_on_z_is_learned() -> None:
    z = torch.randn(4000, 3)
    value = z[:, 0] + z[:, 1] * z[:, 2]
    learned, unseen = fit_rating(z, (value - value.mean()) / value.std())
    assert len(unseen) == 400
    guesses = learned(z[unseen])
    assert torch.corrcoef(torch.stack([guesses, value[unseen]]))[0, 1] > 0.8
    assert learned.levels[90] > learned.levels[10]


def test_faces_unlike_the_real_ones_get_low_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "CLASSIFIER_STEPS", 300)
    real, drawn = torch.randn(1000, 5), torch.randn(1000, 5)
    odd = torch.rand(1000) < 0.25
    drawn[odd] += 4
    logits = likelihood(drawn, real)
    assert logits[~odd].quantile(0.1) > logits[odd].quantile(0.9)


def test_realism_by_hand() -> None:
    """Real pictures at 0, 1, 2, ... reach 2 at the ends, 1 to 2 elsewhere: to the third neighbour."""
    real = torch.arange(10.0)[:, None]
    inside, outside = realism(torch.tensor([[4.5], [29.0]]), real)
    assert inside == pytest.approx(float(np.log(2 / 0.5)))
    assert outside == pytest.approx(float(np.log(3 / 20)), abs=0.2)


def test_dark_faces_are_rejected_as_often_as_light_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "SIMILAR", 201)
    luma, fault = torch.rand(2000) * 255, torch.rand(2000) < 0.2
    quality = among_similar(luma / 50 - 3 * fault, luma)
    worst = quality < quality.quantile(0.2)
    dark = luma < luma.quantile(0.2)
    assert worst[dark].float().mean() == pytest.approx(0.2, abs=0.05)
    assert fault[worst].float().mean() > 0.95


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_faces_get_finite_values(count: int) -> None:
    assert among_similar(torch.arange(float(count)), torch.rand(count)).isfinite().all()


def test_brightness_is_that_of_the_middle() -> None:
    faces = np.zeros((2, 64, 64, 3), np.uint8)
    faces[1, 20:50, 15:50] = 200
    assert brightness(faces).tolist() == pytest.approx([0, 200])


@pytest.fixture
def generator(tmp_path: Path, head: RGB) -> Path:
    """Weights of a tiny 128 px generator whose training held pictures out, next to the pictures."""
    torch.manual_seed(0)
    network = DCGANGenerator(DCGANConfig(z_dim=8, widths=(8, 8, 8, 8, 4, 4))).eval()
    folder = tmp_path / "weights" / "mine"
    card = tiny.card("dcgan", network.config.model_dump(mode="json")).model_copy(update={"name": "mine"})
    save_weights(folder, network, card)
    (folder / "recipe.toml").write_text("[data]\nheld_out = 2\n", encoding="utf-8")
    for number in range(15):
        write_image(tmp_path / "data" / f"some_{number}.png", np.roll(head, 5 * number, axis=1))
    return folder


def test_a_rating_is_written_and_used(generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating, "CLASSIFIER_STEPS", 20)
    sheet = tmp_path / "sheet.png"
    words = ["rate", str(generator), "--data", str(tmp_path / "data"), "--faces", "120", "--sheet", str(sheet)]
    result = CliRunner().invoke(cli, [*words, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{generator}-rating\n{sheet}\n"
    card = read_card(generator.with_name("mine-rating"))
    assert card.sources == ("some: 13",)  # without those held out
    assert read_image(sheet).rgb.std() > 0
    learned, _ = load_network(str(generator.with_name("mine-rating")), LatentRating)

    recipe = tiny.save_all(tmp_path / "tiny")
    chosen = FacePipeline.load(recipe, [f"weights.generator={generator}", "rejection=0.5"])
    assert chosen.rating is not None
    assert all(learned.accepts(chosen.latent(seed), 0.48) for seed in range(10))
    assert FacePipeline.load(recipe, [f"weights.generator={generator}"]).rating is None


def test_a_record_knows_what_was_rejected(generator: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    rated = LatentRating(RatingConfig(z_dim=8, width=16)).eval()
    rated.learn_levels(torch.randn(2000, 8))
    save_weights(generator.with_name("mine-rating"), rated, tiny.card("rating", rated.config.model_dump(mode="json")))
    overrides = [f"weights.generator={generator}", "rejection=0.5"]
    pipeline = FacePipeline.load(tiny.save_all(tmp_path / "tiny"), overrides)
    changed = (n for n in range(99) if not torch.equal(pipeline.latent(n), pipeline.latent(n, rejection=0)))
    seed = next(changed)
    z = pipeline.latent(seed)
    text = record_text(pipeline, "sample", {"seeds": seed}, z=z)
    picture = write_image(tmp_path / "face.png", np.zeros((8, 8, 3), np.uint8), text=text)
    assert str(generator.with_name("mine-rating")) in read_record(picture).weights
    assert torch.equal(latent_in(pipeline, picture), z)
    rated.levels.fill_(-torch.inf)
    pipeline.rating = rated
    with pytest.raises(FileError, match="or the generator's rating was another"):
        latent_in(pipeline, picture)


def test_too_few_pictures_are_refused(generator: Path, tmp_path: Path) -> None:
    (generator / "recipe.toml").write_text("[data]\nheld_out = 5\n", encoding="utf-8")
    result = CliRunner().invoke(cli, ["rate", str(generator), "--data", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "10 pictures to compare with, expected at least 12" in result.stderr
