"""`facegen video` and `grid-walk`: films, sources of keyframes, and errors about wrong values."""

from __future__ import annotations

import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.arrays import RGB, to_rgb
from facegen.media.images import read_image, resize, write_image
from facegen.media.record import COMMAND_KEY, RECORD_KEY, Record, latent_text, record_text
from facegen.media.video_reader import Clip, video_text
from facegen.pipeline import FacePipeline
from facegen.video.film import GAP
from facegen.video.store import FrameStore
from tests.cli.conftest import Facegen, leftovers, stop_at_third
from tests.video.films import beep

SHORT = ("--seconds", "0.4", "--fps", "5", "--size", "32", "--without", "hysteresis,carry")


def test_film_of_seeds(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "film.mp4"
    words = ("video", "--seeds", "1,5", "--recipe", tiny_recipe, "-o", out, *SHORT)
    result = facegen(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert result.stderr == ""
    clip = Clip(out)
    assert (clip.size, clip.fps, len(list(clip.frames()))) == ((32, 32), Fraction(5), 2)
    text = video_text(out)
    assert text[COMMAND_KEY].startswith(
        f"video --seeds 1,5 --recipe {tiny_recipe} --out film.mp4 --seconds 0.4 --fps 5"
    )
    pipeline = FacePipeline.load(tiny_recipe)
    record = Record.model_validate_json(text[RECORD_KEY])
    assert record.keyframes == tuple(latent_text(pipeline.latent(seed)) for seed in (1, 5))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["film.mp4"]

    before = out.read_bytes()
    again = facegen(*words)
    assert (again.exit_code, again.stdout, again.stderr) == (0, f"{out}\n", f"{out}: done already.\n")
    recorded = facegen(*shlex.split(text[COMMAND_KEY]), "-o", out)
    assert recorded.stderr == f"{out}: done already.\n"
    assert facegen(*words, "--easing", "ease").stderr == ""
    assert out.read_bytes() != before


def test_stopped_it_says_how_many_frames_are_kept(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "film.mp4"
    words = ("video", "--seeds", "1,5", "--recipe", tiny_recipe, "-o", out, *SHORT, "--seconds", "0.8")
    with monkeypatch.context() as patch:
        patch.setattr(FrameStore, "add", stop_at_third)
        stopped = facegen(*words)
    assert stopped.exit_code == 130
    assert f"Stopped: {out} is not finished, frames kept: 2. To continue, run" in stopped.stderr
    assert [path.name for path in tmp_path.glob("film*")] == ["film.mp4.frames"]
    assert facegen(*words).stderr == f"{out}: 2 of 4 frames are done already.\n"


def test_keyframes_of_seeds_then_pictures_then_photos(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, astronaut: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.project.STEPS", 2)
    pipeline = FacePipeline.load(tiny_recipe)
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for seed, path in enumerate(pictures):
        text = record_text(pipeline, "sample", {"seeds": seed}, z=pipeline.latent(seed))
        write_image(path, np.zeros((8, 8, 3), np.uint8), text=text)
    photo = write_image(tmp_path / "photo.png", astronaut)
    words = ("--project", photo, "--from", f"{pictures[1]},{pictures[0]}", "--seeds", 3, "--recipe", tiny_recipe)
    result = facegen("video", *words, "-o", tmp_path / "film.mkv", *SHORT)
    assert result.exit_code == 0, result.output
    assert "photo.png: the search begins at the mean face. weights" in result.stderr
    assert f"{photo}: distance " in result.stderr
    record = Record.model_validate_json(video_text(tmp_path / "film.mkv")[RECORD_KEY])
    assert record.keyframes[:3] == tuple(latent_text(pipeline.latent(seed)) for seed in (3, 1, 0))
    assert len(record.keyframes) == 4
    assert record.argv[:7] == ("video", "--seeds", "3", "--from", "b.png,a.png", "--project", "photo.png")


def test_folder_of_frames_with_a_sheet(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("video", "--seeds", "1,5", "--recipe", tiny_recipe, "-o", f"{tmp_path / 'frames'}/", *SHORT)
    result = facegen(*words, "--sheet", "--keep-frames")
    assert result.stdout.splitlines() == [str(tmp_path / "frames"), str(tmp_path / "frames-sheet.png")]
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame-000001.png", "frame-000002.png"]
    assert read_image(tmp_path / "frames" / names[0]).rgb.shape == (32, 32, 3)
    assert (tmp_path / "frames.frames").is_dir()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", ["film.gif", "frames"])
def test_gif_and_frames_are_made_once(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    words = ("video", "--seeds", "1,5", "--recipe", tiny_recipe, "-o", out, *SHORT)
    assert facegen(*words).stderr == ""
    assert facegen(*words).stderr == f"{out}: done already.\n"
    assert facegen(*words, "--path", "slerp").stderr == ""
    if out.is_dir():
        (out / "frame-000001.png").unlink()
        assert facegen(*words, "--path", "slerp").stderr == ""
        assert len(list(out.iterdir())) == 2


def test_another_sound_makes_another_film(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    sound, out = beep(tmp_path / "a.wav", 0.4), tmp_path / "film.mp4"
    words = ("video", "--seeds", "1,5", "--recipe", tiny_recipe, "-o", out, "--audio", sound, *SHORT)
    facegen(*words)
    assert Clip(out).has_audio
    beep(sound, 0.3)
    assert "done already" not in facegen(*words).stderr


def test_interpolation_keeps_the_frame_rate(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "1,5", "--recipe", tiny_recipe, "-o", tmp_path / "film.mkv", *SHORT)
    facegen("video", *words, "--fps", "30000/1001", "--seconds", "0.1", "--interpolate", "2")
    clip = Clip(tmp_path / "film.mkv")
    assert (clip.fps, len(list(clip.frames()))) == (Fraction(30000, 1001), 3)


def test_unsteady_frames_are_the_pipelines(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "1,5", "--recipe", tiny_recipe, "-o", tmp_path / "frames", "--seconds", "0.4", "--fps", "5")
    result = facegen("video", *words, "--size", 256, "--no-steady")
    assert result.exit_code == 0, result.output
    pipeline = FacePipeline.load(tiny_recipe)
    expected = pipeline.sample(1, 256).image.mul(255).round().byte().permute(1, 2, 0)
    shown = torch.from_numpy(read_image(tmp_path / "frames" / "frame-000001.png").rgb)
    assert (shown.int() - expected.int()).abs().max() <= 1  # the walk's length of z is rounded


def test_every_cell_begins_at_its_seed(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "0-4", "--columns", 3, "--size", 64, "--seconds", "0.4", "--fps", 5, "--recipe", tiny_recipe)
    result = facegen("grid-walk", *words, "-o", tmp_path / "grid")
    assert result.exit_code == 0, result.output
    frames = [read_image(path).rgb for path in sorted((tmp_path / "grid").iterdir())]
    assert [frame.shape for frame in frames] == [(2 * 64 + GAP, 3 * 64 + 2 * GAP, 3)] * 2
    pipeline = FacePipeline.load(tiny_recipe)
    face = resize(to_rgb(pipeline.draw(pipeline.latent(4))), (64, 64))
    assert np.abs(frames[0][-64:, 64 + GAP : 128 + GAP].astype(int) - face).max() <= 1
    assert (frames[0] != frames[1]).any()


def test_larger_cells_are_upscaled(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> None:
    words = ("--seeds", "0,1", "--stops", 2, "--size", 160, "--seconds", "0.2", "--fps", 5, "--recipe", tiny_recipe)
    result = facegen("grid-walk", *words, "-o", tmp_path / "grid.mkv", "--without", "hysteresis,carry")
    assert result.exit_code == 0, result.output
    [(_, frame)] = Clip(tmp_path / "grid.mkv").frames()
    assert frame.shape == (160, 320 + GAP, 3)
    upscaled = resize(to_rgb(FacePipeline.load(tiny_recipe).sample(0, 160).image), (160, 160))
    assert np.abs(frame[:, :160].astype(int) - upscaled).max() <= 4
    record = Record.model_validate_json(video_text(tmp_path / "grid.mkv")[RECORD_KEY])
    assert record.argv[:7] == ("grid-walk", "--seeds", "0,1", "--columns", "4", "--stops", "2")
    assert "--loop" in record.argv


@pytest.mark.parametrize("command", [("video", "--seeds", "1,5"), ("grid-walk", "--seeds", "0-3", "--columns", 2)])
def test_another_programs_film_is_replaced_only_if_asked(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, command: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, out = beep(tmp_path / "theirs.mp4", 0.1).read_bytes(), tmp_path / "film.mp4"
    out.write_bytes(theirs)
    words = (*command, "--recipe", tiny_recipe, "-o", out, *SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(FacePipeline, "load", lambda *_, **__: pytest.fail("the networks were loaded"))
        refused = facegen(*words)
    assert refused.exit_code == 1
    assert f"{out}: is there already, and not written by facegen; add --overwrite" in refused.stderr
    assert out.read_bytes() == theirs
    assert facegen(*words, "--overwrite").exit_code == 0
    assert COMMAND_KEY in video_text(out)


def test_stops_need_seeds(facegen: Facegen, tmp_path: Path) -> None:
    result = facegen("grid-walk", "--seeds", "0,1", "-o", tmp_path / "grid.mp4")
    assert result.exit_code == 2
    assert "--stops 3 needs 3 seeds or more; 2 are given." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "1"], "give at least 2, as in --seeds 1,5."),
        ([], "give at least 2, as in --seeds 1,5."),
        (["--seeds", "1,5", "--fps", "0"], "'0' is not a frame rate; expected more than 0, at most 240: 30, 30000/"),
        (["--seeds", "1,5", "--fps", "1/0"], "'1/0' is not a frame rate"),
        (["--seeds", "1,5", "--fps", "fast"], "'fast' is not a frame rate"),
        (["--seeds", "1,5", "--seconds", "0"], "0.0 is not in the range"),
        (["--seeds", "1,5", "--seconds", "nan"], "'nan' is not a number of seconds"),
        (["--seeds", "1,5", "--without", "cary"], "unknown measure 'cary'; did you mean 'carry'? Known: landmarks,"),
        (["--seeds", "1,5", "--without", "carry", "--no-steady"], "--no-steady omits all measures"),
        (["--from", "nowhere.png,b.png"], "'nowhere.png': no such file; expected files, as in a.png,b.png."),
        (["--from", "a.png," * 60], "'a.png': no such file"),
        (["--seeds", "1,5", "-o", "a.mp5"], "unknown film suffix '.mp5'"),
        (["--seeds", "1,5", "-o", "a.mp4", "--codec", "av1"], "codec 'av1' is not for .mp4"),
        (["--seeds", "1,5", "--loop", "--seconds", "0.1", "--interpolate", "2"], "cannot be interpolated 2 times"),
        (["--seeds", "1,5", "--path", "straight"], "'straight' is not one of 'spline', 'slerp'"),
    ],
)
def test_wrong_values_are_explained_before_any_work(facegen: Facegen, words: list[str], message: str) -> None:
    result = facegen("video", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
