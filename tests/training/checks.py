"""What every choice of a recipe must pass."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from facegen.training.callbacks import StatsFile, read_stats
from facegen.training.start import AnyRecipe, make_trainer


def assert_trains_and_resumes(recipe: AnyRecipe, figures: set[str], data: Path, out: Path) -> None:
    """The generator moves, `figures` are among those logged, and a resumed run has every weight and memory again."""
    trainer = make_trainer(recipe, data, out, callbacks=[StatsFile()])
    before = copy.deepcopy(trainer.objective.modules["generator"].state_dict())
    trainer.run()
    assert figures <= {name for line in read_stats(out) for name in line}
    after = trainer.objective.modules["generator"].state_dict()
    assert not torch.equal(before["to_rgb.weight"], after["to_rgb.weight"])
    again = make_trainer(recipe, data, out, resume=True)
    for name, module in trainer.objective.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(again.objective.modules[name].state_dict()[key], value), (name, key)
