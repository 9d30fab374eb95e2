"""What Fabric is asked for, and batchnorm over all processes, without starting any."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from facegen.errors import UsageError
from facegen.precision import Precision
from facegen.training.parallel import average_gradients, make_fabric, share_batchnorm


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
    average_gradients(make_fabric("fp32", device="cpu"), line)
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
