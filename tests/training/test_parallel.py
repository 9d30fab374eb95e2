"""Several processes: the same losses and the same weights as one with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
import torch
from torch import Tensor, nn

from facegen.errors import TrainingError, UsageError
from facegen.training.callbacks import read_stats
from facegen.training.checkpoints import checkpoints
from facegen.training.config import DCGANRecipe, JNetRecipe
from facegen.training.parallel import SharedBatchNorm2d, make_fabric, share_batchnorm
from tests.training.conftest import RECIPES

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29477", "-m", "facegen")


def train(recipe: DCGANRecipe | JNetRecipe, data: Path, out: Path, *command: str, extra: tuple[str, ...] = ()) -> None:
    """Run `facegen train` in processes of its own."""
    path = out.with_suffix(".toml")
    path.write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    words = ("train", path, "--data", data, "--out", out, "--threads", "1", "--device", "cpu", *extra)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, Tensor]:
    modules = torch.load(checkpoints(run)[-1], weights_only=True)["modules"]
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.items()}


def assert_alike(one: Path, two: Path) -> None:
    losses = [[line for line in read_stats(run) if "generator/total" in line] for run in (one, two)]
    assert len(losses[0]) == len(losses[1]) > 0
    for number, (a, b) in enumerate(zip(*losses, strict=True)):
        near = 2e-5 if number == 0 else 5e-3  # Adam's first steps make much of a last bit
        for name in a:
            if "/" in name or name == "images":
                assert b[name] == pytest.approx(a[name], rel=near, abs=near), (name, number)
    known, found = weights(one), weights(two)
    assert known.keys() == found.keys()
    for name, value in known.items():
        torch.testing.assert_close(found[name], value, rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.parametrize("kind", RECIPES)
def test_two_processes_are_one(kind: str, head_folder: Path, tmp_path: Path) -> None:
    """DCGAN's batchnorm and minibatch standard deviation among them: batch 16, groups of 8."""
    recipe = RECIPES[kind](batch=16, images=48, log_images=16, preview_images=10**6)
    train(recipe, head_folder, tmp_path / "one", "-m", "facegen")
    train(recipe, head_folder, tmp_path / "two", "-m", "facegen", extra=("--devices", "2"))
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_torchrun_starts_them_too_and_they_resume(head_folder: Path, tmp_path: Path) -> None:
    for images, extra in ((32, ()), (48, ("--resume",))):
        recipe = RECIPES["jnet"](batch=16, images=images, log_images=16)
        train(recipe, head_folder, tmp_path / "many", *TORCHRUN, extra=extra)
    train(recipe, head_folder, tmp_path / "one", "-m", "facegen")
    assert_alike(tmp_path / "one", tmp_path / "many")


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="--devices 4: there are 1 CUDA devices; ask for fewer"):
        make_fabric(device="cuda", devices=4)


def test_a_batch_that_cannot_be_shared(head_folder: Path, tmp_path: Path) -> None:
    from facegen.training.start import make_trainer

    class Three:
        """What a Fabric of three processes says of itself."""

        world_size, global_rank, is_global_zero, device = 3, 0, True, torch.device("cpu")

    with pytest.raises(TrainingError, match=r"run\.batch is 2, which 3 processes cannot share equally"):
        make_trainer(RECIPES["jnet"](), head_folder, tmp_path / "run", fabric=Three())  # type: ignore[arg-type]


def test_shared_batchnorm_keeps_the_state_and_evaluates_alike() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    net(torch.randn(8, 3, 5, 5))
    state, x = net.state_dict(), torch.randn(2, 3, 5, 5)
    expected = net.eval()(x)
    share_batchnorm(net)
    assert isinstance(net[1][0], SharedBatchNorm2d)  # type: ignore[index]
    assert net.state_dict().keys() == state.keys()
    torch.testing.assert_close(net.eval()(x), expected)
