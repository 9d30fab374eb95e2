"""Films: the same bytes however often they are stopped, as many frames as asked for, and a record of their making."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB, to_rgb
from facegen.errors import UsageError
from facegen.media.images import read_image, resize
from facegen.media.record import RECORD_KEY, Record, record_text
from facegen.media.video_reader import Clip, video_text
from facegen.pipeline import FacePipeline
from facegen.video import film
from facegen.video.film import GAP, Cell, FilmFile, FilmOptions, Item, frame_count, make_film, written_before
from facegen.video.temporal import TemporalOptions
from facegen.video.walk import Walk, WalkOptions
from tests import tiny

SIZE = 32
LIGHT = TemporalOptions(carry=False)
"""No optical flow, the slowest part."""
OPTIONS = FilmOptions(fps=Fraction(5), size=SIZE, temporal=LIGHT)
UNSTEADY = TemporalOptions(landmarks=False, hysteresis=False, carry=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_all(tmp_path_factory.mktemp("tiny"), extra="candidates.variants = []")


@pytest.fixture(scope="module")
def pipeline(recipe: Path) -> FacePipeline:
    return FacePipeline.load(recipe)


def walk(pipeline: FacePipeline, count: int = 4, *, first: int = 0, loop: bool = False) -> Walk:
    seeds = range(first, first + 3)
    return Walk(np.stack([pipeline.latent(seed).numpy() for seed in seeds]), count, WalkOptions(loop=loop))


def film_file(
    path: Path, pipeline: FacePipeline, count: int = 4, *, interpolate: int = 1, loop: bool = False
) -> FilmFile:
    text = record_text(pipeline, "video", {"seeds": "0,1,2"})
    return FilmFile(path=path, text=text, count=count, interpolate=interpolate, loop=loop)


def frames(path: Path) -> list[RGB]:
    return [rgb for _, rgb in Clip(path).frames()]


class StoppedError(Exception):
    """What stops a film in these tests."""


def stop_after(number: int) -> film.Track:
    def track(items: Iterable[Item], total: int, done: int) -> Iterable[Item]:
        for count, item in enumerate(items):
            if count == number:
                raise StoppedError
            yield item

    return track


@pytest.mark.parametrize("loop", [False, True])
def test_a_film_that_was_stopped_has_the_same_bytes(
    pipeline: FacePipeline, tmp_path: Path, loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "LEAD", 2)
    whole, broken = (film_file(tmp_path / name / "a.mkv", pipeline, loop=loop) for name in ("whole", "broken"))
    assert make_film(pipeline, [walk(pipeline, loop=loop)], OPTIONS, whole) == [whole.path]
    for made in (1, 2):
        with pytest.raises(StoppedError):
            make_film(pipeline, [walk(pipeline, loop=loop)], OPTIONS, broken, track=stop_after(made))
        assert not broken.path.exists()
    said: list[str] = []
    make_film(pipeline, [walk(pipeline, loop=loop)], OPTIONS, broken, say=said.append)
    assert said == [f"{broken.path}: 3 of {6 if loop else 4} frames are done already."]
    assert broken.path.read_bytes() == whole.path.read_bytes()
    assert not broken.frames.exists()


def test_frames_of_another_film_are_made_anew(pipeline: FacePipeline, tmp_path: Path) -> None:
    file = film_file(tmp_path / "a.mkv", pipeline)
    with pytest.raises(StoppedError):
        make_film(pipeline, [walk(pipeline)], OPTIONS, file, track=stop_after(2))
    said: list[str] = []
    make_film(pipeline, [walk(pipeline, first=7)], OPTIONS, file, say=said.append)
    assert [line for line in said if "made again" in line] == said
    make_film(pipeline, [walk(pipeline, first=7)], OPTIONS, replace(file, path=tmp_path / "b.mkv"))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_a_frame_is_what_the_pipeline_makes_of_its_latent(pipeline: FacePipeline, tmp_path: Path) -> None:
    way = walk(pipeline)
    make_film(pipeline, [way], replace(OPTIONS, temporal=UNSTEADY), film_file(tmp_path / "a.mkv", pipeline))
    shown = frames(tmp_path / "a.mkv")
    assert len(shown) == 4
    for number in (0, 3):
        image = pipeline(pipeline.draw(way.latent(number)), SIZE).image
        expected = resize(to_rgb(image), (SIZE, SIZE))
        assert np.abs(shown[number].astype(int) - expected).max() <= 3  # YCbCr rounds


def test_a_grid_shows_each_walk_in_its_cell(pipeline: FacePipeline, tmp_path: Path) -> None:
    ways = [walk(pipeline, count=2, first=first) for first in (0, 5, 9)]
    options = replace(OPTIONS, upscaled=False, columns=2)
    make_film(pipeline, ways, options, film_file(tmp_path / "grid", pipeline, count=2))
    grid = read_image(tmp_path / "grid" / "frame-000002.png").rgb
    assert grid.shape == (2 * SIZE + GAP, 2 * SIZE + GAP, 3)
    for cell, way in enumerate(ways):
        top, left = (place * (SIZE + GAP) for place in divmod(cell, 2))
        face = resize(to_rgb(pipeline.draw(way.latent(1))), (SIZE, SIZE))
        assert np.array_equal(grid[top : top + SIZE, left : left + SIZE], face)
    assert (grid[-SIZE:, -SIZE:] == 255).all()


def test_every_cell_knows_its_own_frames_only(pipeline: FacePipeline, tmp_path: Path) -> None:
    """A stopped grid goes on with the same bytes: the states of its cells are kept apart."""
    ways = [walk(pipeline, first=first) for first in (0, 5)]
    options = replace(OPTIONS, columns=2)
    whole, broken = (film_file(tmp_path / name, pipeline) for name in ("whole.mkv", "broken.mkv"))
    make_film(pipeline, ways, options, whole)
    with pytest.raises(StoppedError):
        make_film(pipeline, ways, options, broken, track=stop_after(2))
    make_film(pipeline, ways, options, broken)
    assert whole.path.read_bytes() == broken.path.read_bytes()


@pytest.mark.parametrize(("count", "factor", "loop", "made"), [(7, 2, False, 4), (8, 4, False, 3), (8, 4, True, 2)])
def test_interpolation_makes_fewer_frames_for_the_same_film(
    pipeline: FacePipeline,
    tmp_path: Path,
    count: int,
    factor: int,
    loop: bool,
    made: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(film, "LEAD", 0)
    file = film_file(tmp_path / "a.mkv", pipeline, count, interpolate=factor, loop=loop)
    assert file.made == made
    way = walk(pipeline, made, loop=loop)
    make_film(pipeline, [way], OPTIONS, replace(file, keep_frames=True))
    assert len(list(file.frames.glob("*.png"))) == made
    clip = Clip(file.path)
    assert (clip.fps, len(frames(file.path))) == (Fraction(5 * factor), count)


def test_a_loop_fades_into_the_frames_that_lead_to_its_first(
    pipeline: FacePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "LEAD", 2)
    way, options = walk(pipeline, loop=True), replace(OPTIONS, temporal=TemporalOptions())
    make_film(pipeline, [way], options, film_file(tmp_path / "a.mkv", pipeline, loop=True))
    cell = Cell(pipeline, way, options)
    lead = [cell.begin(frame)()[0] for frame in (-2, -1)]
    expected = [cell.begin(frame)()[0].astype(float) for frame in range(4)]
    expected[2] = (2 * expected[2] + lead[0]) / 3
    expected[3] = (expected[3] + 2.0 * lead[1]) / 3
    for shown, wanted in zip(frames(tmp_path / "a.mkv"), expected, strict=True):
        assert np.abs(shown - wanted).max() <= 3  # YCbCr rounds


def test_a_loop_of_frames_that_know_no_others_needs_no_lead(pipeline: FacePipeline, tmp_path: Path) -> None:
    file = replace(film_file(tmp_path / "a.mkv", pipeline, 3, loop=True), keep_frames=True)
    make_film(pipeline, [walk(pipeline, 3, loop=True)], replace(OPTIONS, temporal=UNSTEADY), file)
    assert len(list(file.frames.glob("*.png"))) == 3


def test_the_film_has_a_record(pipeline: FacePipeline, tmp_path: Path) -> None:
    file = film_file(tmp_path / "a.mp4", pipeline)
    assert not written_before(file)
    make_film(pipeline, [walk(pipeline)], OPTIONS, file)
    record = Record.model_validate_json(video_text(file.path)[RECORD_KEY])
    assert record.argv == ("video", "--seeds", "0,1,2")
    assert record.weights == json.loads(file.text[RECORD_KEY])["weights"]
    assert written_before(file)
    assert not written_before(replace(file, sheet=True))
    assert not written_before(replace(file, text=record_text(pipeline, "video", {"seeds": "0,1,3"})))


def test_sheet_and_frames_are_kept_where_asked_for(pipeline: FacePipeline, tmp_path: Path) -> None:
    file = replace(film_file(tmp_path / "a.mp4", pipeline), sheet=True, keep_frames=True)
    written = make_film(pipeline, [walk(pipeline)], OPTIONS, file)
    assert written == [tmp_path / "a.mp4", tmp_path / "a-sheet.png"]
    assert read_image(written[1]).rgb.shape[1] == 4 * 192 + 3 * 4
    assert len(list((tmp_path / "a.mp4.frames").glob("*.png"))) == 4


def test_frames_are_counted_to_the_nearest() -> None:
    assert frame_count(Fraction(12), Fraction(30)) == 360
    assert frame_count(Fraction("0.1"), Fraction(30000, 1001)) == 3
    assert frame_count(Fraction("0.001"), Fraction(5)) == 1


def test_what_cannot_be_filmed_is_refused(pipeline: FacePipeline, tmp_path: Path) -> None:
    file = film_file(tmp_path / "a.mp4", pipeline)
    with pytest.raises(UsageError, match=r"walks of \[4, 3\] frames; expected one or more, of 4"):
        make_film(pipeline, [walk(pipeline), walk(pipeline, 3)], OPTIONS, file)
    with pytest.raises(UsageError, match=r"walks of \[\] frames"):
        make_film(pipeline, [], OPTIONS, file)
    with pytest.raises(UsageError, match="0 columns; expected more than 0"):
        replace(OPTIONS, columns=0)
    with pytest.raises(UsageError, match="a loop of 7 frames cannot be interpolated 2 times"):
        film_file(tmp_path / "a.mp4", pipeline, 7, interpolate=2, loop=True)
    with pytest.raises(UsageError, match=r"a\.gif: .* holds no sound"):
        replace(file, path=tmp_path / "a.gif", audio=tmp_path / "a.wav")
    with pytest.raises(UsageError, match=r"unknown film suffix '\.mp5'"):
        replace(file, path=tmp_path / "a.mp5")


FILMING = """
import sys
from pathlib import Path
from facegen.pipeline import FacePipeline
from facegen.video.film import make_film
from tests.video import test_film
pipeline = FacePipeline.load(Path(sys.argv[1]))
make_film(pipeline, [test_film.walk(pipeline, 30)], test_film.OPTIONS,
          test_film.film_file(Path(sys.argv[2]), pipeline, 30))
"""


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_with_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", FILMING, str(recipe), str(tmp_path / name)])

    assert start("whole.mkv").wait() == 0
    for made in (1, 8, 20):
        process = start("broken.mkv")
        while process.poll() is None and len(list(tmp_path.glob("broken.mkv.frames/*.png"))) < made:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("broken.mkv").wait() == 0
    assert (tmp_path / "broken.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
