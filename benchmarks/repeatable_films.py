"""Whether the same frames become the same bytes, many times over, while memory holds other things each time.

    python -m benchmarks.repeatable_films [--films 4000] [--suffix .mp4]

Every film is four frames of 96 x 64 px from scikit-image's astronaut; before each one, up to 40 arrays of random bytes
of up to 200 kB are made, and dropped after it. The peer is the same encoder with every instruction that the processor
has. Exit status 1 if any of ours differ.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from skimage import data

from facegen.media import muxing
from facegen.media.images import resize
from facegen.media.video_writer import VIDEO_SUFFIXES, write_video

SIZE, FRAMES, STEP = (96, 64), 4, 3
FPS = Fraction(30_000, 1001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=4000, help="films written by each")
    parser.add_argument("--suffix", choices=VIDEO_SUFFIXES, default=".mp4")
    args = parser.parse_args()
    ours = odd_ones(args.films, args.suffix)
    with patch.object(muxing, "repeatable", lambda encoder: {}):
        peers = odd_ones(args.films, args.suffix)
    print(
        f"{args.films} films ({args.suffix}) each; unlike the rest are {ours} of ours, {peers} of the encoder as it is"
    )
    raise SystemExit(1 if ours else 0)


def odd_ones(films: int, suffix: str) -> int:
    """How many of so many films of the same frames are not as most of them are."""
    picture = resize(np.asarray(data.astronaut(), dtype=np.uint8), (128, 128))  # type: ignore[no-untyped-call]
    frames = [picture[n * STEP :][: SIZE[1], n * STEP :][:, : SIZE[0]] for n in range(FRAMES)]
    random = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in track(range(films), suffix):
            held = _random_arrays(random)
            film = write_video(Path(folder) / f"film{suffix}", frames, FPS)
            seen[sha256(film.read_bytes()).hexdigest()] += 1
            del held
    return films - max(seen.values())


def _random_arrays(random: np.random.Generator) -> list[NDArray[np.uint8]]:
    return [random.integers(0, 255, random.integers(1, 200_000), dtype=np.uint8) for _ in range(random.integers(41))]


if __name__ == "__main__":
    main()
