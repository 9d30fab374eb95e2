"""How many candidates there are, and memory that runs out on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facegen.errors import RecipeError
from facegen.models.jnet import JNet
from facegen.pipeline import FacePipeline
from facegen.recipe import PipelineRecipe
from facegen.runtime import in_batches
from tests import tiny
from tests.test_pipeline import smooth_head


def test_more_candidates_than_there_are(recipe: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"tiny\.toml: candidates\.count: 3, but variants flip make 2; add kin"
    ):
        FacePipeline.load(recipe, ["candidates.count=3"])


# --- memory


class Scarce(nn.Module):
    """A J-net on a device whose memory does for so many tiles, until it is moved to another."""

    def __init__(self, net: JNet, room: int) -> None:
        super().__init__()
        self.net, self.config, self.room, self.sizes = net, net.config, room, list[int]()

    def forward(self, stack: Tensor) -> Tensor:
        self.sizes.append(len(stack))
        if len(stack) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        result: Tensor = self.net(stack)
        return result

    def to(self, *args: Any, **options: Any) -> Scarce:
        self.room = 1000 if self.sizes else self.room  # the first move is the pipeline's own
        return self


def scarce(room: int, **options: Any) -> tuple[FacePipeline, Scarce]:
    net = Scarce(tiny.upscaler(), room)
    recipe = PipelineRecipe(kind="pipeline", precision="fp32", **options)
    return FacePipeline(recipe, generator=tiny.generator(), upscaler=net, guide="rgb"), net  # type: ignore[arg-type]


def test_fewer_tiles_at_a_time_where_memory_runs_out() -> None:
    (plain, _), (short, net) = scarce(1000), scarce(1)
    expected, upscaled = plain(smooth_head(64), 384), short(smooth_head(64), 384)
    assert net.sizes == 2 * [4, 2, 1, 1, 1, 1]  # once per variant
    torch.testing.assert_close(upscaled.candidates, expected.candidates, atol=6e-4, rtol=0)
    assert torch.equal(upscaled.chosen, expected.chosen)
    torch.testing.assert_close(upscaled.image, expected.image, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("room", "sizes"), [(10, [10, 10, 5]), (5, [10, *[5] * 5]), (3, [10, 5, *[2] * 12, 1])])
def test_every_tile_is_upscaled_once_and_in_order(room: int, sizes: list[int]) -> None:
    tiles, found = torch.rand(25, 3, 2, 2), []

    class Network(nn.Module):
        def forward(self, stack: Tensor) -> Tensor:
            found.append(len(stack))
            if len(stack) > room:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return stack + 1

    upscaled = torch.zeros_like(tiles)
    for where, images in in_batches(Network(), tiles, batch=10):
        upscaled[where] += images
    assert torch.equal(upscaled, tiles + 1)
    assert found == sizes


def test_the_processor_takes_over_where_one_tile_is_too_much() -> None:
    (plain, _), (short, net) = scarce(1000), scarce(0)
    with pytest.warns(RuntimeWarning, match="cpu: out of memory, even for one tile at a time; going on with the proc"):
        upscaled = short(smooth_head(96), 384)
    assert net.sizes == [4, 2, 1, 4, 4]
    assert short.device == "cpu"
    assert torch.equal(upscaled.image, plain(smooth_head(96), 384).image)


@pytest.mark.slow
def test_memory_of_a_large_picture() -> None:
    """2048 px, two candidates: 225 tiles of 0.75 MiB each; measured 0.62 GiB above the start, and 2.5 at 4096 px."""
    program = """
import resource, torch
from facegen.pipeline import FacePipeline
from facegen.recipe import PipelineRecipe
from tests import tiny

recipe = PipelineRecipe(kind="pipeline", precision="fp32")
pipeline = FacePipeline(recipe, generator=tiny.generator(), upscaler=tiny.upscaler(), guide="rgb")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pipeline(torch.rand(3, 128, 128), 2048, landmarks=None)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.9  # GiB
