"""One picture file: upscaled and written with what it brought along."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from facegen.arrays import RGB
from facegen.errors import FileError, ImageError
from facegen.faces.detect import heads_in_photo
from facegen.jobs import Task
from facegen.media.images import picture_facts, read_image, resize, write_image
from facegen.media.metadata import Origin
from facegen.media.record import read_record
from facegen.photo import PhotoOptions
from facegen.photo_files import FileUpscaler
from facegen.results import UpresOptions, Upscaling
from tests import tiny
from tests.media.test_signatures import motion_photo, ultra_hdr

Upscale = Callable[..., Upscaling]
QUICK = PhotoOptions(scale=2, background="lanczos")


@pytest.fixture
def upscale_one(recipe: Path, tmp_path: Path) -> Upscale:
    """Upscale a picture into out/, twice as large unless other options say so."""

    def run(source: Path, **options: Any) -> Upscaling:
        asked: dict[str, Any] = {"recipe": str(recipe), "recipe_path": recipe, "photo": QUICK} | options
        return FileUpscaler(UpresOptions(**asked), [source.resolve()])(Task(source, tmp_path / "out" / source.stem))

    return run


@pytest.fixture
def photo(tmp_path: Path, astronaut: RGB) -> Path:
    """A photo with a face and a camera's EXIF."""
    exif = Image.Exif()
    exif[Base.Make] = "Camera"
    return write_image(tmp_path / "photo.png", resize(astronaut, (200, 200)), origin=Origin(exif.tobytes()))


def test_the_identity_of_a_face_is_measured_and_recorded(upscale_one: Upscale, photo: Path) -> None:
    done = upscale_one(photo, explain=True)
    assert done.identity is not None
    assert read_record(done.written[-1]).upscaled[0].identity == pytest.approx(done.identity, abs=0.01)
    (report,) = (path for path in done.written if path.suffix == ".json")
    assert json.loads(report.read_text(encoding="utf-8"))["identity"] == done.identity


def test_a_face_that_became_another_is_reported(
    upscale_one: Upscale, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.photo_files.CHANGED", 0.0)
    assert "may look like another person" in upscale_one(photo).note


def test_a_head_too_small_to_know_anybody_by_is_reported(upscale_one: Upscale, tmp_path: Path, head: RGB) -> None:
    source = write_image(tmp_path / "tiny.png", resize(head, (24, 24)))
    assert "a head of 24 px is too small to know the person by" in upscale_one(source, kind="aligned").note


def test_a_photo_and_what_is_told_of_it(upscale_one: Upscale, photo: Path, tmp_path: Path) -> None:
    done = upscale_one(photo)
    assert done.written == (tmp_path / "out" / "photo-x2.png",)
    assert (done.before, done.after, done.faces) == ((200, 200), (400, 400), 1)
    assert done.seams is not None
    assert done.fit is not None
    assert done.fit > 40
    record = read_record(done.written[0])
    assert record.argv[:5] == ("upres", "photo.png", "--scale", "2", "--recipe")
    assert len(record.upscaled) == 1
    assert picture_facts(done.written[0]).source_type == "compositeWithTrainedAlgorithmicMedia"


def test_what_a_photos_file_held_besides_is_reported(upscale_one: Upscale, tmp_path: Path) -> None:
    assert "left out: gain map" in upscale_one(ultra_hdr(tmp_path / "phone.jpg")).note
    assert "left out: film of a motion photo" in upscale_one(motion_photo(tmp_path / "moved.jpg")).note


def test_a_jpeg_is_smoothed_where_it_is_enlarged_only(upscale_one: Upscale, tmp_path: Path, astronaut: RGB) -> None:
    source = tmp_path / "blocks.jpg"
    Image.fromarray(resize(astronaut, (200, 200))).save(source, quality=40)
    smooth, raw = read_image(source, smooth=True).rgb, read_image(source).rgb
    large, sheet = (
        read_image(path).rgb for path in reversed(upscale_one(source, suffix=".png", before_after=True).written)
    )
    shrunk = large.reshape(200, 2, 200, 2, 3).mean(axis=(1, 3))
    assert abs(shrunk - smooth).max() <= 1
    np.testing.assert_allclose(sheet[1:399:2, 1:399:2].mean(), raw[1:].mean(), atol=1)
    [kept] = upscale_one(source, suffix=".png", photo=PhotoOptions(background="keep", faces="0")).written
    np.testing.assert_array_equal(read_image(kept).rgb, raw)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".jxl", ".tif"])
def test_other_formats(upscale_one: Upscale, photo: Path, suffix: str) -> None:
    [path] = upscale_one(photo, suffix=suffix).written
    assert path.name == f"photo-x2{suffix}"
    assert read_image(path).rgb.shape == (400, 400, 3)
    assert read_record(path).argv[-4:-2] == ("--format", suffix[1:])


def test_exif_is_carried_over_unless_stripped(upscale_one: Upscale, photo: Path) -> None:
    def makes(path: Path) -> object:
        with Image.open(path) as file:
            return file.getexif().get(Base.Make)

    [kept] = upscale_one(photo).written
    assert makes(kept) == "Camera"
    [stripped] = upscale_one(photo, strip=True).written
    assert makes(stripped) is None
    assert "--strip" in read_record(stripped).argv


def test_what_is_written_beside_comes_before_the_result(upscale_one: Upscale, photo: Path, tmp_path: Path) -> None:
    done = upscale_one(photo, before_after=True, explain=True)
    names = [path.name for path in done.written]
    assert names == [
        "photo-x2-head-1-explain.png",
        "photo-x2-head-1-explain.json",
        "photo-x2-before-after.png",
        "photo-x2.png",
    ]
    explained = json.loads((tmp_path / "out" / names[1]).read_text(encoding="utf-8"))
    assert len(explained["tiles"]) == len(read_record(done.written[-1]).upscaled[0].choices)
    sheet, result = read_image(done.written[-2]).rgb, read_image(done.written[-1]).rgb
    assert (sheet[:400, -400:] == result).all()
    assert np.abs(sheet[:400, :400].reshape(200, 2, 200, 2, 3).mean(axis=(1, 3)) - read_image(photo).rgb).mean() < 3


def test_alpha_grows_with_the_photo(upscale_one: Upscale, tmp_path: Path) -> None:
    rgb, alpha = np.full((20, 30, 3), 90, np.uint8), np.zeros((20, 30), np.uint8)
    alpha[:, 15:] = 255
    [path] = upscale_one(write_image(tmp_path / "a.png", rgb, alpha)).written
    grown = read_image(path).alpha
    assert grown is not None
    assert grown.shape == (40, 60)
    assert (grown[:, :26] < 8).all()
    assert (grown[:, 34:] > 247).all()


def test_files_of_others_and_inputs_are_kept(upscale_one: Upscale, photo: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "photo-x2-before-after.png"
    sheet.parent.mkdir()
    sheet.write_bytes(b"mine")
    with pytest.raises(FileError, match=r"photo-x2-before-after.png: is there already, and not written by facegen"):
        upscale_one(photo, before_after=True)
    assert [path.name for path in sheet.parent.iterdir()] == [sheet.name]
    upscale_one(photo, before_after=True, overwrite=True)
    assert "facegen" in picture_facts(sheet).text
    upscale_one(photo, before_after=True)


def test_an_aligned_head_and_its_votes(upscale_one: Upscale, tmp_path: Path, head: RGB) -> None:
    aligned = write_image(tmp_path / "head.png", resize(head, (96, 96)))
    done = upscale_one(aligned, kind="aligned", size=256, explain=True)
    assert [path.name for path in done.written] == [
        "head-256-head-1-explain.png",
        "head-256-head-1-explain.json",
        "head-256.png",
    ]
    assert (done.after, done.faces) == ((256, 256), 1)
    assert done.seams is not None
    [upscaled] = read_record(done.written[-1]).upscaled
    assert len(upscaled.choices) == len(upscaled.plan)
    with pytest.raises(ImageError, match="96x95; --aligned expects a square head crop"):
        upscale_one(write_image(tmp_path / "wide.png", head[:95, :96]), kind="aligned")


def test_heads_alone_and_none(upscale_one: Upscale, photo: Path, tmp_path: Path, astronaut: RGB) -> None:
    done = upscale_one(photo, kind="crop", size=256)
    assert [path.name for path in done.written] == ["photo-head.png"]
    assert (done.after, done.faces) == ((256, 256), 1)
    [again] = heads_in_photo(read_image(done.written[0]).rgb)
    assert again.frame.side == pytest.approx(256, rel=0.1)
    pair = np.concatenate([astronaut[:, 60:380], astronaut[:, 380:59:-1]], axis=1)
    names = [path.name for path in upscale_one(write_image(tmp_path / "two.png", pair), kind="crop", size=256).written]
    assert names == ["two-head-2.png", "two-head-1.png"]
    with pytest.raises(ImageError, match="no face found, so there is no head to crop"):
        upscale_one(write_image(tmp_path / "none.png", astronaut[:40, :40]), kind="crop")


def test_progress_counts_the_background_and_then_each_face(tmp_path: Path, astronaut: RGB) -> None:
    two = write_image(tmp_path / "two.png", np.concatenate([astronaut[:240, 100:340]] * 2, axis=1))
    heard: list[tuple[str, int, int | None]] = []
    options = UpresOptions("tiny", tiny.save_all(tmp_path), photo=PhotoOptions(scale=2, background="tiles"))
    upscaler = FileUpscaler(options, (), lambda _source, *part: heard.append(part))
    upscaler(Task(two, tmp_path / "out" / "two"))
    assert list(dict.fromkeys(part for part, _, _ in heard)) == ["background", "face 1", "face 2"]
    for part in ("background", "face 1", "face 2"):
        counted = [(done, of) for name, done, of in heard if name == part]
        assert [done for done, _ in counted] == sorted({done for done, _ in counted})
        assert counted[-1][0] == counted[-1][1]
    assert upscaler.pipeline.progress is None


def test_it_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    options = UpresOptions("tiny", tmp_path / "tiny.toml")
    assert pickle.loads(pickle.dumps(FileUpscaler(options, [tmp_path]))).options == options
