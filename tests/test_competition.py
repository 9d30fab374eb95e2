"""Candidates compete: every strategy makes a picture that is held to its input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from facegen.competition import compete
from facegen.ops.choice import STRATEGIES, Strategy
from facegen.pipeline import FacePipeline
from facegen.recipe import ChoiceOptions
from tests import tiny
from tests.test_pipeline import smooth_head

Load = Callable[..., FacePipeline]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    recipe = tiny.save_all(tmp_path_factory.mktemp("weights"))
    return lambda *overrides: FacePipeline.load(recipe, overrides)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies(load: Load, strategy: Strategy) -> None:
    upscaled = load(f"choice.strategy={strategy}")(smooth_head(64), 384)
    assert upscaled.names == (("mean",) if strategy == "mean" else ("identity", "flip"))
    assert upscaled.candidates.shape[:2] == upscaled.scores.shape == (len(upscaled.plan), len(upscaled.names))
    assert upscaled.fit >= 40
    if strategy in ("first", "mean"):
        assert not upscaled.chosen.any()
    if strategy == "independent":
        assert torch.equal(upscaled.chosen, upscaled.scores.argmax(1))


def test_a_picture_chosen_again_is_the_one_chosen_at_first(load: Load) -> None:
    joint = load()(smooth_head(64), 384)
    for strategy in STRATEGIES:
        anew = load(f"choice.strategy={strategy}")(smooth_head(64), 384)
        again = compete(joint, ChoiceOptions(strategy=strategy), fidelity=1.0, calmed=1.0)
        assert again.names == anew.names
        assert torch.equal(again.chosen, anew.chosen)
        assert torch.equal(again.image, anew.image)
