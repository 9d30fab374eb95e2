"""What a step may not do, so that a GPU can replay it as a graph: these tests need no GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from facegen.training.config import DCGANRecipe, JNetRecipe
from facegen.training.random import FixedDraws
from facegen.training.start import make_trainer
from tests.training.conftest import dcgan_recipe, jnet_recipe

READS = ("aten::_local_scalar_dense", "aten::lift_fresh", "aten::nonzero", "aten::masked_select")
"""Operations that wait for a GPU, or copy what Python holds to it; on the processor they have the same names."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations that cannot be captured."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in READS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


RECIPES: dict[str, Callable[[], DCGANRecipe | JNetRecipe]] = {"dcgan": dcgan_recipe, "jnet": jnet_recipe}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_step_reads_nothing_back_and_makes_nothing_of_python_numbers(
    kind: str, head_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(RECIPES[kind](), head_folder, tmp_path)
    for phase in trainer.objective.phases:
        if isinstance(phase.optimizer, torch.optim.Adam):  # on a GPU it is told not to
            monkeypatch.setattr(phase.optimizer, "step", lambda: None)
    trainer.train_step()  # caches and the optimizers' states exist from here on
    batch = trainer._batch()
    assert trainer.objective.capturable
    draws = {number: FixedDraws(trainer._draws(number)) for number in range(-1, 3)}
    trainer._run_phases((0, 1), batch, draws.__getitem__)
    for fixed in draws.values():
        fixed.rewind()
    with Watch() as watch:
        trainer._run_phases((0, 1), batch, draws.__getitem__)
    assert watch.found == []


def test_the_watch_sees_what_it_should() -> None:
    with Watch() as watch:
        torch.ones(2).sum().item()
        torch.tensor([1.0, 2.0])
    assert watch.found == ["aten::_local_scalar_dense", "aten::lift_fresh"]
