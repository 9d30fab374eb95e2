"""The benchmark of gradients tells losses that pull somewhere from noise."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import gradients
from benchmarks.gradients import Gradients, measure
from facegen.media.images import write_image
from facegen.training.objectives.jnet import JNetObjective
from facegen.training.start import make_objective
from tests.training.conftest import jnet_recipe


def test_length_and_direction_of_gradients() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    same, noise = Gradients(), Gradients()
    for sign in (1.0, -1.0):
        same.add((3 * x[0] + 4 * x[1]) * 1.0, [x])
        noise.add(sign * x.sum(), [x])
    noise.add(x[1] * 0 + 3 * x[0], [x])
    assert same.row(torch.tensor([3.0, 4.0])) == ("5.000", "5.000", "1.00")
    lengths = (2 * 2**0.5 + 3) / 3
    assert noise.row(torch.tensor([0.0, 1.0])) == (f"{lengths:.3f}", "1.000", "0.00")


def test_every_loss_is_measured(tmp_path: Path, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    for left in range(3):
        write_image(tmp_path / f"{left}.png", np.ascontiguousarray(astronaut[:200, 120 + left : 320 + left]))
    monkeypatch.setattr(gradients, "BATCH", 2)
    objective, _ = make_objective(jnet_recipe(), sorted(tmp_path.iterdir()), [], torch.device("cpu"), print, {})
    table = measure(cast(JNetObjective, objective), 2)
    names, one, mean, cosine = (column._cells for column in table.columns)
    maps = [f"lite0 map {k}" for k in range(1, 6)]
    assert names == ["PatchGAN", "pooled L1", *maps, "lite0"]
    for length, whole, towards in zip(one, mean, cosine, strict=True):
        assert 0 < float(str(whole)) <= float(str(length)) + 1e-3
        assert -1 <= float(str(towards)) <= 1
