"""Whether an upscaled face is still the same person's, to dlib's face recognition network.

    python -m benchmarks.identity --data ../shared/data/portraits768 [--portraits 30]

Prints medians and worst cases of the distances over kept-out portraits, each reduced to a head of so many pixels and
upscaled to 768: of the result to its input, of the result to the original, and of results to other people's inputs.
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
        own, true = distances(results, inputs), distances(results, originals).diagonal()
        other = own[~np.eye(len(own), dtype=bool)]
        print(
            f"| {side} | {np.median(own.diagonal()):.2f}, at most {own.diagonal().max():.2f} "
            f"| {np.median(true):.2f}, at most {true.max():.2f} | {(true > SAME_PERSON).mean():.0%} "
            f"| {np.quantile(other, 0.05):.2f}, {np.median(other):.2f} |"
        )


def distances(some: list[NDArray[np.float64]], others: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The distance of each embedding to each other one, (N, M)."""
    return np.array([[identity_distance(a, b) for b in others] for a in some])


if __name__ == "__main__":
    main()
