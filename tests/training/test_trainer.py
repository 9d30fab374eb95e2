"""The trainer: exact resumption, checkpoints, averages, logs, interruptions."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from filelock import FileLock
from torch import Tensor, nn

from facegen.arrays import RGB
from facegen.errors import TrainingError
from facegen.media.images import read_image
from facegen.training.callbacks import Callback, Samples, Stats, StatsFile, Watchdog, read_stats
from facegen.training.checkpoints import checkpoints
from facegen.training.config import RunConfig
from facegen.training.objectives import Losses, Phase
from facegen.training.random import Draws
from facegen.training.start import make_trainer
from facegen.training.trainer import Trainer
from tests.training.conftest import dcgan_recipe, jnet_recipe

Report = Callable[[Stats], None]
CONFIG = RunConfig(batch=2, images=12, precision="fp32", log_images=4, preview_images=6, ema_images=100)


class Duel:
    """The smallest objective: a line learns to fit, a critic learns to tell it from the truth."""

    def __init__(self, learning_rate: float = 0.01, broken_at: int = -1) -> None:
        torch.manual_seed(0)
        self.line, self.critic = nn.Linear(3, 1), nn.Linear(1, 1)
        self.ema = (copy.deepcopy(self.line).requires_grad_(False), self.line)
        self.modules = {"line": self.line, "critic": self.critic, "average": self.ema[0]}
        self.phases = (
            Phase("critic", self.critic, torch.optim.Adam(self.critic.parameters(), lr=learning_rate), interval=2),
            Phase("line", self.line, torch.optim.Adam(self.line.parameters(), lr=learning_rate)),
        )
        self.companions: dict[str, nn.Module] = {}
        self.broken_at = broken_at

    capturable = False

    def before_step(self, images_seen: int) -> None:
        """Nothing changes."""

    def after_step(self) -> None:
        """All is learned by gradients."""

    def batch(self, start: int, size: int) -> tuple[int, Tensor]:
        rows = [torch.randn(3, generator=torch.Generator().manual_seed(n)) for n in range(start, start + size)]
        return start // CONFIG.batch, torch.stack(rows)

    def begin(self, batch: tuple[int, Tensor], draws: Draws) -> tuple[int, Tensor]:
        return batch

    def losses(self, phase: str, pictures: tuple[int, Tensor], draws: Draws, images_seen: int) -> Losses:
        step, x = pictures
        noise = draws.randn(len(x), 1)
        if phase == "line":
            total = self.critic(self.line(x)).mean() + (self.line(x) - x.sum(1, keepdim=True) - noise).square().mean()
            return {"total": total * (float("nan") if step == self.broken_at else 1), "noise": noise.mean()}
        return {"total": (self.critic(noise) - self.critic(self.line(x))).square().mean()}

    def validate(self) -> tuple[RGB, dict[str, float]]:
        return np.full((4, 4, 3), 77, np.uint8), {"score": self.line.weight.abs().sum().item()}


class Reporter(Callback):
    """Passes the logs on to a function."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_log(self, run: Trainer, stats: Stats) -> None:
        self.report(stats)


def duel(
    folder: Path, report: Report = lambda _: None, *, run: dict[str, Any] | None = None, **options: Any
) -> Trainer:
    callbacks = (StatsFile(), Reporter(report))
    return Trainer(Duel(**options), CONFIG.model_copy(update=run or {}), folder, callbacks)


def final(run: Path) -> dict[str, Any]:
    """The newest checkpoint of a run folder."""
    state: dict[str, Any] = torch.load(checkpoints(run)[-1], weights_only=True)
    return state


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal bit for bit, through dicts and lists."""
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    else:
        assert a == b, where


class TestResuming:
    def test_two_steps_and_two_more_are_four(self, make_recipe: Any, head_folder: Path, tmp_path: Path) -> None:
        for out, parts in (("whole", (8,)), ("parts", (4, 8))):
            for part, images in enumerate(parts):
                torch.manual_seed(99 + part)  # nothing may depend on the global random state
                make_trainer(make_recipe(images=images), head_folder, tmp_path / out, resume=part > 0).run()
        assert final(tmp_path / "whole")["step"] == 4
        assert_same(final(tmp_path / "parts"), final(tmp_path / "whole"))

    def test_the_line_too_when_resumed_after_every_step(self, tmp_path: Path) -> None:
        duel(tmp_path / "whole").run()
        for images in (2, 4, 6, 8, 10, 12):
            trainer = duel(tmp_path / "parts", run={"images": images})
            trainer.resume()
            assert trainer.images_seen == images - 2
            trainer.run()
        assert_same(final(tmp_path / "parts"), final(tmp_path / "whole"))

    def test_another_stage_is_refused(self, head_folder: Path, tmp_path: Path) -> None:
        make_trainer(dcgan_recipe(), head_folder, tmp_path / "run").save()
        with pytest.raises(TrainingError, match="made by another recipe"):
            make_trainer(jnet_recipe(), head_folder, tmp_path / "run", resume=True)

    def test_learning_rate_is_the_recipes(self, tmp_path: Path) -> None:
        duel(tmp_path, learning_rate=0.01).run()
        trainer = duel(tmp_path, learning_rate=0.001)
        trainer.resume()
        for phase in trainer.objective.phases:
            assert [group["lr"] for group in phase.optimizer.param_groups] == [0.001]
            assert all(state["step"] > 0 for state in phase.optimizer.state.values())

    @pytest.mark.parametrize(("batch", "images_seen"), [(1, 12), (4, 12), (5, 15), (24, 24)])
    def test_another_batch_goes_on_from_the_images_seen(self, tmp_path: Path, batch: int, images_seen: int) -> None:
        duel(tmp_path).run()
        trainer = duel(tmp_path, run={"batch": batch, "images": 100})
        trainer.resume()
        assert trainer.images_seen == images_seen
        trainer.run()
        assert checkpoints(tmp_path)[-1].stem == f"{trainer.images_seen:09d}"


class TestCheckpoints:
    def test_two_are_kept_and_nothing_is_left_over(self, tmp_path: Path) -> None:
        duel(tmp_path, run={"checkpoint_minutes": 1e-9}).run()
        assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["000000010.pt", "000000012.pt"]

    def test_time_that_is_up_saves(self, tmp_path: Path) -> None:
        duel(tmp_path).run(seconds=0)
        assert [p.stem for p in checkpoints(tmp_path)] == ["000000000"]


class TestSteps:
    def test_phases_take_turns_at_their_intervals(self, tmp_path: Path) -> None:
        trainer = duel(tmp_path)
        trainer.run()
        critic, line = trainer.objective.phases
        assert [int(s["step"]) for s in critic.optimizer.state.values()] == [3, 3]
        assert [int(s["step"]) for s in line.optimizer.state.values()] == [6, 6]

    def test_average_follows_by_its_half_life(self, tmp_path: Path) -> None:
        trainer = duel(tmp_path)
        average, source = trainer.objective.ema
        start = next(average.parameters()).clone()
        trainer.train_step()  # half-life: one batch at the start
        torch.testing.assert_close(next(average.parameters()), (start + next(source.parameters())) / 2)
        trainer.step, before = 10_000, next(average.parameters()).clone()  # a twentieth of 20 000 is above ema_images
        trainer.train_step()
        keep = 0.5 ** (2 / 100)
        torch.testing.assert_close(next(average.parameters()), keep * before + (1 - keep) * next(source.parameters()))

    def test_loss_that_is_not_finite_names_phase_and_step(self, tmp_path: Path) -> None:
        duel(tmp_path, run={"images": 4}).run()
        trainer = duel(tmp_path, broken_at=4)
        trainer.resume()
        with pytest.raises(
            TrainingError, match=r"the line loss is nan at step 4\. Resume .* lower optimizer\.learning_rate"
        ):
            trainer.run()
        assert [p.stem for p in checkpoints(tmp_path)] == ["000000004"]

    def test_bfloat16_trains(self, head_folder: Path, tmp_path: Path) -> None:
        trainer = make_trainer(jnet_recipe(precision="bf16", images=2), head_folder, tmp_path / "run")
        trainer.run()
        assert all(v.dtype == torch.float32 for v in final(tmp_path / "run")["modules"]["generator"].values())

    def test_training_fits(self, tmp_path: Path) -> None:
        stats: list[dict[str, Any]] = []
        duel(tmp_path, stats.append, learning_rate=0.05, run={"images": 400, "log_images": 40}).run()
        assert stats[-1]["line/total"] < 0.8 * stats[0]["line/total"]


class Collapsing(Duel):
    """Its samples differ as much as `diversities` say, one after the other."""

    def __init__(self, *diversities: float) -> None:
        super().__init__()
        self.phases = tuple(replace(phase, rate=lambda course: 0.01) for phase in self.phases)  # type: ignore[assignment]
        self.diversities = list(diversities)

    def validate(self) -> tuple[RGB, dict[str, float]]:
        sheet, figures = super().validate()
        return sheet, figures | {"score": 1.0, "diversity": self.diversities.pop(0)}


class TestCollapse:
    def trainer(self, folder: Path, *diversities: float, images: int = 12) -> tuple[Trainer, list[str]]:
        said: list[str] = []
        callbacks = (StatsFile(), Watchdog(said.append))
        config = CONFIG.model_copy(update={"images": images})
        return Trainer(Collapsing(*diversities), config, folder, callbacks), said

    def test_a_run_that_collapses_goes_back_to_its_best_at_half_the_rate(self, tmp_path: Path) -> None:
        trainer, said = self.trainer(tmp_path, 0.9, 0.2, 0.8)  # at 6, 12 and again 12 images
        steps: list[int] = []
        learn = trainer.train_step
        trainer.train_step = lambda: (steps.append(trainer.step), learn())  # type: ignore[method-assign, assignment, func-returns-value]
        trainer.run()
        assert steps == [0, 1, 2, 3, 4, 5, 3, 4, 5]
        (warning,) = said
        assert warning.startswith("12 images: samples differ 0.20 times as much as real pictures")
        assert warning.endswith("The run goes back to checkpoints/best.pt, and learns at half the rate from there on.")
        rates = {group["lr"] for phase in trainer.objective.phases for group in phase.optimizer.param_groups}
        assert rates == {0.005}
        assert [p.stem for p in checkpoints(tmp_path)] == ["000000006", "000000012"]
        assert final(tmp_path)["setbacks"] == 1
        lines = read_stats(tmp_path)
        assert [line["images"] for line in lines if "line/total" in line] == [4, 8, 12]
        assert lines[-2]["setbacks"] == 1
        resumed, _ = self.trainer(tmp_path, 0.9, images=14)
        resumed.resume()
        resumed.train_step()
        assert resumed.objective.phases[1].optimizer.param_groups[0]["lr"] == 0.005

    def test_what_was_learned_after_the_best_is_gone(self, tmp_path: Path) -> None:
        """Step by step it is a run that stopped at the best, and went on at half the rate."""
        trainer, _ = self.trainer(tmp_path / "back", 0.9, 0.2, 0.8)
        trainer.run()
        first, _ = self.trainer(tmp_path / "by hand", 0.9, images=6)
        first.run()
        second, _ = self.trainer(tmp_path / "by hand", 0.8)
        second.resume()
        second.setbacks = 1
        second.run()
        assert_same(final(tmp_path / "back"), final(tmp_path / "by hand"))

    def test_without_a_sound_checkpoint_it_only_warns(self, tmp_path: Path) -> None:
        trainer, said = self.trainer(tmp_path, 0.3, 0.2)
        trainer.run()
        assert [line.split(":")[0] for line in said] == ["6 images", "12 images"]
        assert all("No checkpoint before was better" in line for line in said)
        assert trainer.setbacks == 0

    def test_after_three_times_it_goes_on_and_says_what_to_do(self, tmp_path: Path) -> None:
        trainer, said = self.trainer(tmp_path, 0.9, 0.2, 0.2, 0.2, 0.2)
        trainer.run()
        assert len(said) == 4
        assert "It went back 3 times already" in said[-1]
        assert trainer.setbacks == 3


class TestLog:
    def test_stats_and_previews_are_written(self, tmp_path: Path) -> None:
        reported: list[dict[str, Any]] = []
        trainer = duel(tmp_path, reported.append)
        trainer.callbacks += (Samples(),)
        trainer.run()
        lines = read_stats(tmp_path)
        logs = [line for line in lines if "critic/total" in line]
        assert logs == reported
        assert [line["images"] for line in logs] == [4, 8, 12]
        assert {"step", "images_per_second", "data_share", "line/total", "line/noise"} <= set(logs[0])
        assert logs[0]["images_per_second"] > 0
        assert [line["images"] for line in lines if "validation/score" in line] == [6, 12]
        assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == ["000000006.png", "000000012.png"]
        assert read_image(tmp_path / "samples" / "000000006.png").rgb.tolist() == [[[77] * 3] * 4] * 4
        assert read_image(tmp_path / "losses.png").rgb.std() > 0

    def test_speed_counts_the_images_really_seen(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [0.0]
        monkeypatch.setattr("facegen.training.trainer.time.monotonic", lambda: clock[0])
        stats: list[dict[str, Any]] = []
        trainer = duel(tmp_path, stats.append, run={"batch": 64, "images": 192})  # a batch is 16 times log_images
        step = trainer.train_step
        trainer.train_step = lambda: (step(), clock.append(clock.pop() + 2))  # type: ignore[method-assign, assignment, func-returns-value]
        trainer.run()
        assert [line["images_per_second"] for line in stats] == [32, 32, 32]

    def test_resumed_run_appends_to_what_came_before_its_checkpoint(self, tmp_path: Path) -> None:
        duel(tmp_path, run={"images": 4}).run()
        with (tmp_path / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"step": 3, "images": 6}\n{"step": 4, "ima')  # logged after the checkpoint; then killed
        trainer = duel(tmp_path)
        trainer.resume()
        trainer.run()
        assert [line["images"] for line in read_stats(tmp_path) if "line/total" in line] == [4, 8, 12]

def test_a_run_folder_is_one_process_s_alone(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(TrainingError, match="another process is training here"):
        duel(tmp_path).run()
    duel(tmp_path).run()


class TestInterruption:
    def interrupt_at(self, images: int, times: int = 1, number: int = signal.SIGINT) -> Report:
        def report(stats: dict[str, Any]) -> None:
            if stats["images"] == images:
                for _ in range(times):
                    signal.raise_signal(number)

        return report

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_saves_and_the_run_goes_on_exactly(self, number: int, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            duel(tmp_path / "parts", self.interrupt_at(8, number=number)).run()
        assert [p.stem for p in checkpoints(tmp_path / "parts")] == ["000000008"]
        trainer = duel(tmp_path / "parts")
        trainer.resume()
        trainer.run()
        duel(tmp_path / "whole").run()
        assert_same(final(tmp_path / "parts"), final(tmp_path / "whole"))

    def test_ctrl_c_within_a_step_lets_the_step_end(self, tmp_path: Path) -> None:
        class Interrupted(Duel):
            def losses(self, phase: str, pictures: tuple[int, Tensor], draws: Draws, images_seen: int) -> Losses:
                if pictures[0] == 2 and phase == "line":  # the critic has had its turn already
                    signal.raise_signal(signal.SIGINT)
                return super().losses(phase, pictures, draws, images_seen)

        with pytest.raises(KeyboardInterrupt):
            Trainer(Interrupted(), CONFIG, tmp_path / "interrupted").run()
        duel(tmp_path / "whole", run={"images": 6}).run()
        assert final(tmp_path / "whole")["step"] == 3
        assert_same(final(tmp_path / "interrupted"), final(tmp_path / "whole"))

    def test_second_ctrl_c_does_not_wait(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            duel(tmp_path, self.interrupt_at(8, times=2)).run()
        assert not checkpoints(tmp_path)

    def test_handler_is_put_back(self, tmp_path: Path) -> None:
        for report in (self.interrupt_at(4), self.interrupt_at(-1)):
            with contextlib.suppress(KeyboardInterrupt):
                duel(tmp_path, report).run()
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    def test_runs_outside_the_main_thread(self, tmp_path: Path) -> None:
        thread = threading.Thread(target=duel(tmp_path).run)
        thread.start()
        thread.join()
        assert checkpoints(tmp_path)[-1].stem == "000000012"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_killed_run_goes_on_bit_for_bit(head_folder: Path, tmp_path: Path) -> None:
    endless = jnet_recipe(images=10**6, checkpoint_minutes=1e-9)
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(endless.model_dump(mode="json", exclude_none=True)))
    options = ["--data", str(head_folder), "--out", "killed", "--threads", str(torch.get_num_threads())]
    command = [sys.executable, "-c", "from facegen.cli.main import main; main()", "train", "recipe.toml", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(checkpoints(tmp_path / "killed")) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    images = int(checkpoints(tmp_path / "killed")[-1].stem) + 4
    make_trainer(jnet_recipe(images=images), head_folder, tmp_path / "killed", resume=True).run()
    make_trainer(jnet_recipe(images=images), head_folder, tmp_path / "whole").run()
    assert final(tmp_path / "whole")["step"] * 2 == images
    assert_same(final(tmp_path / "killed"), final(tmp_path / "whole"))


def rates(trainer: Trainer) -> list[float]:
    """The learning rate of every step from here on."""
    found: list[float] = []
    phase = trainer.objective.phases[1]
    after = trainer.objective.after_step

    def note() -> None:
        found.append(phase.optimizer.param_groups[0]["lr"])
        after()

    trainer.objective.after_step = note  # type: ignore[method-assign]
    return found


def test_learning_rates_follow_the_course_of_the_images(head_folder: Path, tmp_path: Path) -> None:
    recipe = jnet_recipe(images=10)
    course = recipe.optimizer.model_copy(update={"warmup": 0.4, "decay_from": 0.6, "decay_to": 0.0})
    trainer = make_trainer(recipe.model_copy(update={"optimizer": course}), head_folder, tmp_path)
    found = rates(trainer)
    trainer.run()
    assert found == pytest.approx([course.rate(n / 5) for n in range(5)])
    assert found[0] < found[1] < found[2] > found[4] > 0


def test_time_is_the_course_where_it_is_limited(
    head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("facegen.training.trainer.time.monotonic", lambda: float(next(clock)))
    recipe = jnet_recipe(images=10**6, log_images=10**5, preview_images=10**6)
    course = recipe.optimizer.model_copy(update={"decay_from": 0.0, "decay_to": 0.0})
    trainer = make_trainer(recipe.model_copy(update={"optimizer": course}), head_folder, tmp_path)
    found = rates(trainer)
    trainer.run(40)
    assert 3 < trainer.step < 40
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.3 * found[0]
