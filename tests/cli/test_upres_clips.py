"""`facegen upres` on clips: with pictures, with sound and times, and continued after a stop."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.media.images import resize, write_image
from facegen.media.video_reader import Clip, video_text
from facegen.media.video_writer import write_video
from facegen.video.store import FrameStore
from tests.cli.conftest import Facegen, leftovers, stop_at_third
from tests.video.films import beep, moving

TIMES = [Fraction(n, 100) for n in (0, 4, 10, 12, 16)]
QUICK = ("--scale", 2)


@pytest.fixture
def upres(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> Facegen:
    """Run upres with tiny weights, into out/ by default."""

    def run(*words: object, out: str = "out") -> object:
        return facegen("upres", *words, "--recipe", tiny_recipe, "--out", tmp_path / out)

    return run  # type: ignore[return-value]


@pytest.fixture
def clip(tmp_path: Path, astronaut: RGB) -> Path:
    """in/walk.mp4: 5 frames of 95 x 81 px at a variable rate, with sound."""
    frames = moving(resize(astronaut, (128, 128)), 5, (94, 80))
    sound = beep(tmp_path / "beep.mp4", 0.2)
    return write_video(tmp_path / "in" / "walk.mp4", frames, Fraction(25), audio=sound, times=TIMES)


def test_a_clip_keeps_its_times_and_its_sound(upres: Facegen, clip: Path, tmp_path: Path) -> None:
    result = upres(clip, *QUICK)
    path = tmp_path / "out" / "walk-x2.mp4"
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert result.stderr == f"{clip}: 5 frames.\n"
    upscaled = Clip(path)
    assert upscaled.size == (188, 160)
    assert [time for time, _ in upscaled.frames()] == TIMES
    with av.open(str(path)) as after, av.open(str(clip)) as before:
        packets = [[bytes(p) for p in file.demux(audio=0) if p.size] for file in (after, before)]
    assert packets[0]
    assert packets[0] == packets[1]
    text = video_text(path)
    assert text["facegen"].startswith("upres walk.mp4 --scale 2 --recipe")
    assert text["DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert not leftovers(tmp_path)


def test_a_clip_cut_off_is_upscaled_with_a_warning(upres: Facegen, astronaut: RGB, tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.webm", moving(resize(astronaut, (96, 96)), 12, (48, 40)), Fraction(12))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    result = upres(path, "--scale", 1)
    assert result.exit_code == 0
    assert re.search(r"; Warning: the last \d+ frames or so are missing, so the file seems cut off", result.stderr)


def test_what_is_done_is_not_done_again(upres: Facegen, clip: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "dot.png", np.zeros((4, 4, 3), np.uint8))
    assert upres(tmp_path / "in", *QUICK).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dot-x2.png", "walk-x2.mp4"]
    again = upres(tmp_path / "in", *QUICK, "--format", "png")
    assert "2 done already." in again.stderr
    assert upres(clip, "--background", "lanczos", "--scale", 1).stdout.endswith("walk-x1.mp4\n")


def test_a_stopped_clip_continues_to_the_same_file(
    upres: Facegen, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = FrameStore.add
    monkeypatch.setattr(FrameStore, "add", stop_at_third)
    stopped = upres(clip, *QUICK)
    assert stopped.exit_code == 130
    assert "Stopped: 0 of 1 are done, and 2 frames of walk.mp4. To continue, run the same command" in stopped.stderr
    assert (tmp_path / "out" / ".walk-x2.mp4.frames").is_dir()
    made: list[int] = []

    def note(store: FrameStore, *words: object) -> None:
        made.append(store.done)
        add(store, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameStore, "add", note)
    assert upres(clip, *QUICK).exit_code == 0
    assert made == [2, 3, 4]
    assert upres(clip, *QUICK, out="whole").exit_code == 0
    assert (tmp_path / "out" / "walk-x2.mp4").read_bytes() == (tmp_path / "whole" / "walk-x2.mp4").read_bytes()


@pytest.mark.parametrize("flag", ["--crop", "--aligned", "--before-after", "--explain", "--mask"])
def test_options_for_pictures_alone(upres: Facegen, clip: Path, flag: str) -> None:
    refused = upres(clip, flag, *([clip] if flag == "--mask" else []))
    assert refused.exit_code == 2
    assert f"{flag} is for pictures, and {clip} is a clip; omit {flag}." in refused.stderr.replace(
        "\n", ""
    )


def test_with_such_an_option_clips_in_folders_are_skipped(upres: Facegen, clip: Path, tmp_path: Path) -> None:
    write_image(clip.parent / "dot.png", np.zeros((4, 4, 3), np.uint8))
    assert upres(clip.parent, "--scale", 1, "--before-after").exit_code == 0
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_bad_clips_and_results_that_facegen_did_not_write(upres: Facegen, clip: Path, tmp_path: Path) -> None:
    text = clip.with_name("text.mov")
    text.write_text("just words")
    other = write_video(tmp_path / "out" / "walk-x2.mp4", [np.zeros((16, 16, 3), np.uint8)], Fraction(25))
    result = upres(clip, text, *QUICK)
    assert result.exit_code == 1
    assert f"{clip}: {other}: is there already, and not written by facegen" in result.stderr
    assert f"{text}: cannot be read as a film" in result.stderr


@pytest.mark.parametrize("words", [("--scale", "1.5"), ("--width", "400")])
def test_a_clip_is_enlarged_a_whole_number_of_times(upres: Facegen, clip: Path, words: tuple[str, str]) -> None:
    result = upres(clip, *words)
    assert result.exit_code == 1
    assert "a clip's scale is a whole number; give --scale 2" in result.stderr
