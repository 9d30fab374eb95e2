"""Frames whose work other processes share are the same; here a thread stands for them, and all is pickled both ways."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.jobs import Result
from facegen.media.images import resize
from facegen.media.record import record_text
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from facegen.photo import PhotoOptions
from facegen.pipeline import FacePipeline
from facegen.video.clip import upscale_clip
from facegen.video.film import FilmFile, FilmOptions, make_film
from facegen.video.sharing import LazyPipeline, Shared, Sharing
from facegen.video.store import FrameStore
from facegen.video.temporal import TemporalOptions
from facegen.video.walk import Walk
from tests import tiny
from tests.video.films import moving


class Pickling:
    """A pool of two threads; nothing that goes in or comes out is shared with them."""

    in_flight = 3

    def __init__(self, held: object, threads: ThreadPoolExecutor) -> None:
        self._held, self._threads = pickle.dumps(held), threads

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        return self._threads.submit(self._call, pickle.dumps((function, arguments)))

    def _call(self, call: bytes) -> Any:
        function, arguments = pickle.loads(call)
        return pickle.loads(pickle.dumps(function(pickle.loads(self._held), *arguments)))


@contextmanager
def shared(recipe: Path) -> Iterator[Sharing]:
    with ThreadPoolExecutor(2) as threads:
        yield Shared(Pickling(LazyPipeline(recipe, (), "cpu"), threads))


@pytest.mark.parametrize("options", [TemporalOptions(stabilize=0.5), TemporalOptions(carry=False)])
def test_a_film_is_the_same(options: TemporalOptions, tmp_path: Path) -> None:
    """With detail that is carried, and with choices of candidates that are kept."""
    recipe = tiny.save_all(tmp_path)
    pipeline = FacePipeline.load(recipe)
    walk = Walk(np.stack([pipeline.latent(seed).numpy() for seed in range(3)]), 6)
    made = []
    with shared(recipe) as others:
        for name, sharing in (("one", None), ("many", others)):
            file = FilmFile(path=tmp_path / name / "film.mkv", text=record_text(pipeline, "video", {}), count=6)
            film = FilmOptions(fps=Fraction(5), size=32, temporal=options)
            made.append(make_film(pipeline, [walk], film, file, sharing=sharing)[0].read_bytes())
    assert made[0] == made[1]


def test_a_clip_is_the_same(astronaut: RGB, tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path, extra="candidates.variants = []")
    pipeline, made = FacePipeline.load(recipe), []
    clip = Clip(write_video(tmp_path / "clip.mp4", moving(resize(astronaut, (128, 128)), 5, (94, 80)), Fraction(25)))
    with shared(recipe) as others:
        for name, sharing in (("one", None), ("many", others)):
            with FrameStore(tmp_path / name, {}) as store:
                done = upscale_clip(pipeline, clip, 2, PhotoOptions(), store, sharing=sharing)
                made.append((done, [rgb.tobytes() for rgb in store.frames()]))
    assert made[0] == made[1]
    assert made[0][0].heads == 1
