"""Which of the J-net's training losses pull it towards the originals, and which only pull hard.

    python -m benchmarks.gradients --data ../shared/data/portraits768 [--weights jnet-8x] [--batches 8]

For each loss, unweighted, its gradient with respect to the generator's weights, on batches of tiles: the length of one
batch's, averaged; the length of the mean over all batches, which is 1/sqrt(batches) of that where batches agree on
nothing; and the cosine of the mean with that of the feature distance in EfficientNet-Lite2, which no training knows, on
whole tiles of other batches. "lite0 map 1" to "lite0 map 5" are the parts of the feature loss (strides 2 to 32),
"lite0" is their sum with the recipe's weights; so for each network of the recipe. All but L1 look at random crops, as
in training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from facegen.data.split import known_landmarks, training_files
from facegen.models.efficientnet import STAGE_ENDS, feature_loss, load_efficientnet, maps_loss
from facegen.training.losses import pooled_l1
from facegen.training.objectives.jnet import JNetObjective, Step
from facegen.training.random import Draws
from facegen.training.start import begin_from, load_training_recipe, make_objective

RECIPE = Path(__file__).parents[1] / "pipelines" / "train" / "jnet-8x.toml"
PICTURES, BATCH = 100, 8


class Gradients:
    """Sums of one loss's gradients over batches."""

    def __init__(self) -> None:
        self.total = torch.zeros(())
        self.lengths: list[float] = []

    def add(self, loss: Tensor, parameters: Sequence[Tensor]) -> None:
        """The loss is of one batch; its graph is kept."""
        found = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        flat = torch.cat([gradient.float().flatten() for gradient in found])
        self.total = self.total + flat
        self.lengths.append(float(flat.norm()))

    def row(self, wanted: Tensor) -> tuple[str, ...]:
        """Length of a batch's, of the mean, and the cosine with what is wanted."""
        count = len(self.lengths)
        cosine = F.cosine_similarity(self.total, wanted, dim=0)
        return f"{sum(self.lengths) / count:.3f}", f"{float(self.total.norm()) / count:.3f}", f"{float(cosine):.2f}"


def losses_of(objective: JNetObjective, step: Step) -> dict[str, Tensor]:
    """Every loss of one batch by name."""
    stack, _, judged = step.conditioned
    losses = {"PatchGAN": objective.adversarial.generator([objective.discriminator(judged, stack)])}
    real, upscaled = (crop.maps for crop in step.crops)
    if objective.projected is not None:
        losses["projected"] = objective.adversarial.generator(objective.projected.logits(upscaled["lite0"]))
    losses["pooled L1"] = pooled_l1(step.upscaled, step.real, objective.recipe.generator.scale)
    weights = objective.recipe.loss.feature_weights
    for name in objective.recipe.loss.features:
        pairs = zip(upscaled[name], real[name], strict=True)
        maps = [maps_loss([ours], [theirs], weights=[1.0]) for ours, theirs in pairs]
        losses |= {f"{name} map {k}": loss for k, loss in enumerate(maps, start=1)}
        losses[name] = torch.stack([weight * loss for weight, loss in zip(weights, maps, strict=False)]).sum()
    return losses


def measure(objective: JNetObjective, batches: int) -> Table:
    """Sum the gradients of every loss, then compare them with the distance's."""
    parameters = [p for p in objective.generator.parameters() if p.requires_grad]
    lite2 = load_efficientnet("lite2")
    sums: dict[str, Gradients] = {}
    wanted = Gradients()
    for number in track(range(batches), "batches"):
        step = objective.begin(objective.batch(BATCH * number, BATCH), Draws(number))
        for name, loss in losses_of(objective, step).items():
            sums.setdefault(name, Gradients()).add(loss, parameters)
        stacks, real = objective.batch(BATCH * (batches + number), BATCH)
        upscaled = objective.generator(stacks)
        wanted.add(feature_loss(lite2, upscaled, real, weights=[1.0] * len(STAGE_ENDS)), parameters)
    table = Table("loss", "gradient of a batch", "of all batches", "cosine with the feature distance's")
    for name, gradients in sums.items():
        table.add_row(name, *gradients.row(wanted.total))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 768 px aligned portraits")
    parser.add_argument("--weights", default="jnet-8x", help="published, with its discriminators beside it")
    parser.add_argument("--batches", type=int, default=8, help=f"of {BATCH} tiles")
    options = parser.parse_args()
    recipe = load_training_recipe(RECIPE, ["data.held_out=60"])
    files = training_files(options.data, recipe.data)[:PICTURES]
    landmarks = known_landmarks(options.data, print)
    objective, _ = make_objective(recipe, files, [], torch.device("cpu"), print, landmarks)
    begin_from(objective, options.weights)
    with torch.autocast("cpu", torch.bfloat16):
        table = measure(cast(JNetObjective, objective), options.batches)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
