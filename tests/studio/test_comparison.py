"""Two ways to restore a photo: presets, shipped weights, weights that were dropped; their figures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from facegen import weights
from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.evaluation import upscalers
from facegen.files import WEIGHTS
from facegen.media.images import read_image, write_image
from facegen.studio.comparison import Side, compare
from facegen.studio.upscalers import KINDS, SUFFIXES, shipped_upscalers, take_weights
from facegen.studio.work import Job, Studio


def test_the_page_knows_what_the_library_knows() -> None:
    assert set(KINDS) == set(upscalers.BY_KIND)
    assert SUFFIXES == upscalers.FILE_SUFFIXES
    assert {"jnet-8x", "srgan-4x-slim", "unet-2x-slim"} <= set(shipped_upscalers())
    assert "dcgan-128" not in shipped_upscalers()


def test_a_preset_and_a_network_are_measured_alike(studio: Studio, pair: Path) -> None:
    told: list[str] = []

    class Listening(Job):
        def report(self, share: float, text: str) -> None:
            told.append(text)

    done = compare(studio, Listening(lambda job: None), pair, (Side(studio.recipe, 0.5), Side("unet-2x-slim")))
    left, right = (read_image(path).rgb for path in done.pair)
    assert left.shape == right.shape
    (ours, seams, agreement, identity), (name, none, other, moved) = done.rows
    assert (ours, name, none) == (f"{studio.recipe}, fidelity 0.5", "unet-2x-slim", "")
    assert float(seams) > 0
    assert all(value.endswith(" dB") for value in (agreement, other))
    assert all(0 <= float(value) < 1 for value in (identity, moved))
    assert "unet-2x-slim · 12 of 12" in told


@pytest.mark.parametrize(("name", "options"), [
    ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8}), ("ESRGAN", {"num_filters": 8, "num_blocks": 1}),
])  # fmt: skip
def test_a_file_that_others_published_is_compared(
    studio: Studio, head: RGB, name: str, options: dict[str, int]
) -> None:
    """This needs spandrel, and a torchvision that fits torch."""
    try:
        network = getattr(importlib.import_module(f"spandrel.architectures.{name}"), name)(**options)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spandrel does not work here: {error}")
    folder = studio.new_folder()
    torch.save(network.state_dict(), folder / "4x-other.pth")
    photo = write_image(folder / "small.png", head[::2, ::2])
    (own,) = take_weights(studio, [folder / "4x-other.pth"]).items()
    done = compare(studio, Job(lambda job: None), photo, (Side("lanczos"), Side(own[0], dropped=own[1])))
    left, right = (read_image(path).rgb for path in done.pair)
    assert left.shape == right.shape
    assert done.rows[1][:2] == ("4x-other", "")
    assert done.rows[1][2].endswith(" dB")


def test_dropped_weights_are_named_by_their_card_or_their_file(studio: Studio) -> None:
    folder, files = studio.new_folder(), []
    for name in (weights.CARD_FILE, weights.MODEL_FILE):
        files.append(folder / name)
        files[-1].write_bytes((WEIGHTS / "unet-2x-slim" / name).read_bytes())
    (folder / "4x-other.pth").write_bytes(b"")
    found = take_weights(studio, [*files, folder / "4x-other.pth"])
    assert list(found) == ["4x-other", "unet-2x-slim"]
    assert weights.read_card(found["unet-2x-slim"]).kind == "unet"
    with pytest.raises(FileError, match="drop both files of a weight folder"):
        take_weights(studio, files[:1])
    (folder / "notes.txt").write_text("")
    with pytest.raises(FileError, match=r"^notes\.txt: expected \.pth, \.safetensors, or card\.toml"):
        take_weights(studio, [folder / "notes.txt"])
