"""Does an upscaled face still show the same person, according to dlib's face recognition network?

    python -m benchmarks.identity --data ../shared/data/portraits768 [--portraits 30]

Held-out portraits are reduced to several sizes and upscaled to 768 px. Prints medians and worst cases of the distances
from the result to its input, to the original, and to other people's inputs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.arrays import to_rgb, to_tensor
from facegen.data.split import split_files
from facegen.faces.identity import SAME_PERSON, SHOWN, identity, identity_distance
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import WEIGHTS
from facegen.media.images import read_image, resize
from facegen.ops.consistency import resample
from facegen.pipeline import FacePipeline
from facegen.training.start import load_training_recipe

SIDES = (96, 64, 48, 32, 24, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--portraits", type=int, default=30)
    options = parser.parse_args()
    _, kept = split_files(options.data, load_training_recipe(WEIGHTS / "jnet-8x" / "recipe.toml").data)
    pictures = [read_image(file).rgb for file in kept[: options.portraits]]
    originals = [identity(picture, landmarks_in_head(picture)) for picture in pictures]
    pipeline = FacePipeline.load()
    print(f"| head, px | to its input | to the original | over {SAME_PERSON} | others' to the input: 5 %, median |")
    print("|---|---|---|---|---|")
    for side in SIDES:
        inputs, results = [], []
        for picture in pictures:
            upscaled = pipeline(to_tensor(to_rgb(resample(to_tensor(picture), (side, side)))), 768)
            assert upscaled.landmarks is not None
            low_res, image = to_rgb(upscaled.stack[:3]), to_rgb(upscaled.image)
            inputs.append(identity(resize(low_res, (SHOWN, SHOWN)), upscaled.landmarks.scaled(SHOWN / len(low_res))))
            results.append(identity(image, upscaled.landmarks.scaled(len(image) / len(low_res))))
        to_inputs, to_original = distances(results, inputs), distances(results, originals).diagonal()
        to_input, to_others = to_inputs.diagonal(), to_inputs[~np.eye(len(to_inputs), dtype=bool)]
        print(
            f"| {side} | {np.median(to_input):.2f}, at most {to_input.max():.2f} "
            f"| {np.median(to_original):.2f}, at most {to_original.max():.2f} "
            f"| {(to_original > SAME_PERSON).mean():.0%} "
            f"| {np.quantile(to_others, 0.05):.2f}, {np.median(to_others):.2f} |"
        )


def distances(some: list[NDArray[np.float64]], others: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The distance from each of N embeddings to each of M others: (N, M)."""
    return np.array([[identity_distance(a, b) for b in others] for a in some])


if __name__ == "__main__":
    main()
