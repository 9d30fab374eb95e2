"""Several processes: the same losses and the same weights as one with the whole batch."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import tomli_w
import torch
import torch.distributed as dist
from torch import Tensor, nn

from facegen.errors import TrainingError, UsageError
from facegen.runtime import Precision
from facegen.training.callbacks import StatsFile, read_stats
from facegen.training.checkpoints import checkpoints
from facegen.training.config import DCGANRecipe, JNetRecipe
from facegen.training.distributed import SharedBatchNorm2d, average_gradients, make_fabric, share_batchnorm
from facegen.training.start import make_trainer
from tests.training.conftest import RECIPES

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29477", "-m", "facegen")

NEW_ADDRESSES = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
"""With 1, processes that torchrun starts again do not find the addresses of dead ones."""


def train(recipe: DCGANRecipe | JNetRecipe, data: Path, out: Path, *command: str, extra: tuple[str, ...] = ()) -> None:
    """Run `facegen train` in processes of its own."""
    path = out.with_suffix(".toml")
    path.write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    words = ("train", path, "--data", data, "--out", out, "--threads", "1", "--device", "cpu", *extra)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", NEW_ADDRESSES: "1"}
    done = subprocess.run(
        [sys.executable, *command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=480
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


SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in (("srgan", 2), ("unet", 2), ("jnet", 4))]


@pytest.mark.parametrize(("kind", "processes"), [("dcgan", 2), ("jnet", 2), *SLOW])
def test_several_processes_are_one(kind: str, processes: int, head_folder: Path, tmp_path: Path) -> None:
    """DCGAN's batchnorm and minibatch standard deviation among them: batch 16, groups of 8."""
    recipe = RECIPES[kind](batch=16, images=32, log_images=16, preview_images=10**6)
    make_trainer(recipe, head_folder, tmp_path / "one", callbacks=[StatsFile()]).run()
    train(recipe, head_folder, tmp_path / "two", "-m", "facegen", extra=("--devices", str(processes)))
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_torchrun_starts_them_too_and_they_resume(head_folder: Path, tmp_path: Path) -> None:
    for images, extra in ((32, ()), (48, ("--resume",))):
        recipe = RECIPES["jnet"](batch=16, images=images, log_images=16)
        train(recipe, head_folder, tmp_path / "many", *TORCHRUN, extra=extra)
    train(recipe, head_folder, tmp_path / "one", "-m", "facegen")
    assert_alike(tmp_path / "one", tmp_path / "many")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes in /proc")
def test_torchrun_starts_them_again_when_one_is_killed(head_folder: Path, tmp_path: Path) -> None:
    """With --resume they begin, and go on from the newest checkpoint, to the weights of a run that nothing broke."""
    two = (*TORCHRUN[:2], "--standalone", "--max-restarts", "1", "--nproc-per-node", "2", "-m", "facegen")
    recipe = RECIPES["jnet"](batch=16, images=160, log_images=16, checkpoint_minutes=1e-4)
    train(recipe, head_folder, tmp_path / "whole", *two)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(train, recipe, head_folder, tmp_path / "killed", *two, extra=("--resume",))
        while len(checkpoints(tmp_path / "killed")) < 2:
            assert not running.done(), running.result()
            time.sleep(0.05)
        os.kill(rank(1, tmp_path / "killed"), signal.SIGKILL)
        running.result()
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())


def rank(number: int, out: Path) -> int:
    """The process id of a rank of the run in a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            if f"RANK={number}".encode() in environment and str(out).encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise AssertionError(f"no rank {number} trains in {out}")


def test_a_batch_that_cannot_be_shared(head_folder: Path, tmp_path: Path) -> None:
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


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class TestFabric:
    @pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
    def test_computes_in_the_recipes_precision(self, precision: Precision, dtype: torch.dtype) -> None:
        fabric = make_fabric(precision, device="cpu")
        assert (fabric.world_size, fabric.global_rank, fabric.device.type) == (1, 0, "cpu")
        with fabric.autocast():
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype

    def test_is_silent(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        logging.getLogger("lightning_fabric").setLevel(logging.INFO)  # as on import
        with caplog.at_level(logging.INFO):
            make_fabric("bf16", device="cpu")
            make_fabric("fp32", device="cpu", devices=2)
        assert not caplog.records
        assert capfd.readouterr() == ("", "")

    def test_torchrun_says_how_many_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "RANK": "3"}
        for name, value in (started | {"LOCAL_RANK": "1", "GROUP_RANK": "1"}).items():
            monkeypatch.setenv(name, value)
        fabric = make_fabric("fp32", device="cpu")
        assert (fabric.world_size, fabric.global_rank, fabric.is_global_zero) == (6, 3, False)

    @pytest.mark.parametrize(
        ("there", "asked", "message"),
        [
            (0, 1, r"--device cuda: there is no CUDA device here; try --device cpu\."),
            (2, 3, r"--devices 3: there are 2 CUDA devices; ask for fewer\."),
        ],
    )
    def test_devices_that_are_not_there(
        self, there: int, asked: int, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
        with pytest.raises(UsageError, match=message):
            make_fabric("fp32", device="cuda", devices=asked)


def test_gradients_of_one_process_are_left_as_they_are() -> None:
    line = nn.Linear(3, 2)
    line.bias.requires_grad_(False)
    line(torch.ones(1, 3)).sum().backward()
    assert line.weight.grad is not None
    before = line.weight.grad.clone()
    average_gradients(line)
    assert torch.equal(line.weight.grad, before)
    assert line.bias.grad is None


class TestBatchnorm:
    def networks(self, momentum: float | None = 0.1) -> tuple[nn.Sequential, nn.Sequential]:
        """The same network twice: as it is, and shared."""
        torch.manual_seed(0)
        nets = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=momentum)))]
        nn.init.normal_(nets[0].get_parameter("1.0.weight"))
        nn.init.normal_(nets[0].get_parameter("1.0.bias"))
        nets.append(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=momentum))))
        nets[1].load_state_dict(nets[0].state_dict())
        share_batchnorm(nets[1])
        return nets[0], nets[1]

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_of_one_process_is_pytorchs(self, momentum: float | None, group: None) -> None:
        plain, shared = self.networks(momentum)
        for step in range(2):
            x = torch.randn(5, 3, 8, 6, generator=torch.Generator().manual_seed(step))
            results = []
            for net in (plain, shared):
                net.zero_grad()
                result = net(x)
                (result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum().backward()
                results.append(result)
            torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
        for (name, one), other in zip(plain.named_parameters(), shared.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-3, msg=name)
        torch.testing.assert_close(dict(shared.state_dict()), dict(plain.state_dict()), rtol=1e-4, atol=1e-5)

    def test_takes_the_others_pictures_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second process whose pictures are brighter by 2 and as varied."""
        plain, shared = (net[1] for net in self.networks())
        x = torch.randn(4, 4, 5, 5, generator=torch.Generator().manual_seed(1))

        def add_the_others(sums: torch.Tensor) -> None:
            sums += torch.stack([(x + 2).sum((0, 2, 3)), (x + 2).square().sum((0, 2, 3))])

        monkeypatch.setattr(dist, "all_reduce", add_the_others)
        monkeypatch.setattr(dist, "get_world_size", lambda: 2)
        torch.testing.assert_close(shared(x), plain(torch.cat([x, x + 2]))[:4], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(dict(shared.state_dict()), dict(plain.state_dict()), rtol=1e-4, atol=1e-5)
