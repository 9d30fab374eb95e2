"""Photos on the page: faces found, switched, restored to the same bytes as by the command."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facegen.arrays import RGB
from facegen.cli.main import cli
from facegen.errors import FileError
from facegen.media.images import picture_text, read_image, write_image
from facegen.media.record import COMMAND_KEY, arguments
from facegen.studio.faces import faces_of, neighbours, upscale
from facegen.studio.photos import Photo
from facegen.studio.restoring import Meter, RestoreSettings, make_again, restore
from facegen.studio.work import CancelledError, Job, Studio


@pytest.fixture
def photo(studio: Studio, pair: Path) -> Photo:
    """Two heads of one person, the left one larger, with EXIF."""
    made = Photo(Path(shutil.copy(pair, studio.new_folder())))
    made.load(made.path.parent)
    return made


def test_faces_are_found_and_switched_off_where_one_clicks(photo: Photo) -> None:
    assert len(photo.heads) == 2
    assert photo.faces == "all"
    photo.toggle(*photo.heads[0].center)
    assert (photo.off, photo.faces) == ({1}, "2")
    photo.toggle(*photo.heads[1].center)
    assert photo.faces == "0"
    photo.toggle(*photo.heads[0].center)
    photo.toggle(2, 2)  # beside them all
    assert photo.faces == "1"


def test_frames_show_which_faces_are_on(photo: Photo) -> None:
    both = photo.framed()
    photo.off = {2}
    one = photo.framed()
    assert both is not None
    assert one is not None
    (x, y), side = photo.heads[1].center, photo.heads[1].side
    near = (slice(int(y - side), int(y + side)), slice(int(x - 0.75 * side), None))
    changed = np.argwhere((both != one).any(axis=2))
    assert len(changed) > 0
    assert (both != one)[near].sum() == (both != one).sum()


def test_a_photo_that_cannot_be_read_says_so_without_its_folder(studio: Studio) -> None:
    path = studio.new_folder() / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    photo = Photo(path)
    photo.load(path.parent)
    assert photo.error.startswith("broken.jpg: ")
    assert str(studio.folder) not in photo.error
    assert photo.framed() is None


def test_the_result_is_what_the_command_writes(studio: Studio, photo: Photo, tmp_path: Path) -> None:
    photo.off = {2}
    wish = RestoreSettings(studio.recipe, scale=2, fidelity=0.5, background="lanczos", format="jpg")
    assert restore(studio, Job(lambda job: None), [photo], wish) is None
    assert photo.result is not None
    options = ["--faces", "1", "--scale", "2", "--fidelity", "0.5", "--format", "jpg", "--device", "cpu"]
    command = ["upres", str(photo.path), *options, "--recipe", studio.recipe, "--out", str(tmp_path)]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    assert photo.result.read_bytes() == (tmp_path / photo.result.name).read_bytes()
    with Image.open(photo.result) as picture:
        assert picture.getexif()[271] == "Kodak"
    assert "--faces 1" in picture_text(photo.result)[COMMAND_KEY]
    again = Photo(photo.result)
    again.load(studio.new_folder())
    assert again.command == picture_text(photo.result)[COMMAND_KEY]
    assert photo.command == ""
    assert photo.pair is not None
    assert read_image(photo.pair[0]).rgb.shape == read_image(photo.pair[1]).rgb.shape


@pytest.mark.parametrize(("size", "options"), [({"scale": 2.0}, ("--scale", "2")), ({"scale": 1.5}, ("--scale", "1.5")),
                                              ({"width": 600}, ("--width", "600"))])  # fmt: skip
def test_sizes_are_recorded_as_the_command_has_them(
    studio: Studio, photo: Photo, size: dict[str, Any], options: tuple[str, str]
) -> None:
    recorded = arguments("upres", RestoreSettings(studio.recipe, **size).options(studio, "all").recorded(photo.path))
    assert recorded[1:3] == options


def test_of_several_photos_a_broken_one_spoils_nothing(studio: Studio, photo: Photo, head: RGB) -> None:
    same_name = Photo(write_image(studio.new_folder() / "pair.png", head))
    broken = Photo(studio.new_folder() / "broken.png")
    broken.path.write_bytes(photo.path.read_bytes()[:2000])
    job = Job(lambda job: None)
    bundle = restore(studio, job, [photo, broken, same_name], RestoreSettings(studio.recipe, scale=2))
    assert broken.error.startswith("broken.png: ")
    assert broken.result is None
    assert [one.result.name for one in (photo, same_name) if one.result] == ["pair-x2.jpg", "pair-2-x2.png"]
    assert job.text.startswith("Photo 3 of 3 · Face 1 of 1")
    assert photo.result is not None
    assert bundle is not None
    with zipfile.ZipFile(bundle) as opened:
        assert opened.namelist() == ["pair-x2.jpg", "pair-2-x2.png"]
        assert opened.read("pair-x2.jpg") == photo.result.read_bytes()


def test_what_is_painted_is_left_alone_and_made_again_with_its_mask(studio: Studio, photo: Photo) -> None:
    assert photo.preview is not None
    layer = np.zeros((*read_image(photo.preview).rgb.shape[:2], 4), np.uint8)
    layer[:, :200] = 255
    photo.protect([layer])
    assert photo.mask is not None
    assert (photo.painting()["layers"][0][..., 3] == layer[..., 3]).all()
    bundle = restore(studio, Job(lambda job: None), [photo], RestoreSettings(studio.recipe, scale=2))
    assert photo.result is not None
    assert bundle is not None
    with zipfile.ZipFile(bundle) as opened:
        assert opened.namelist() == ["pair-x2.jpg", "pair-mask.png"]
    with pytest.raises(FileError, match=r"^pair-x2\.jpg: was made from pair-mask\.png; drop that here too\.$"):
        make_again(studio, Job(lambda job: None), photo.result, [photo.path, photo.result])
    again, said = make_again(studio, Job(lambda job: None), photo.result, [photo.path, photo.mask])
    assert said == "The same bytes again."
    assert again.name == "pair-x2-replay.jpg"
    with pytest.raises(FileError, match=r"^pair\.jpg: has no facegen record"):
        make_again(studio, Job(lambda job: None), photo.path, [photo.path])
    photo.protect([np.zeros_like(layer)])
    assert not photo.mask


def test_photos_of_one_name_keep_their_own_previews_and_masks(studio: Studio, photo: Photo, head: RGB) -> None:
    other = Photo(write_image(studio.new_folder() / "pair.png", head))
    other.load(studio.new_folder())
    for each, side in ((photo, slice(0, 50)), (other, slice(50, None))):
        assert each.preview is not None
        layer = np.zeros((*read_image(each.preview).rgb.shape[:2], 4), np.uint8)
        layer[:, side] = 255
        each.protect([layer])
    bundle = restore(studio, Job(lambda job: None), [photo, other], RestoreSettings(studio.recipe, scale=2))
    assert bundle is not None
    with zipfile.ZipFile(bundle) as opened:
        assert opened.namelist() == ["pair-x2.jpg", "pair-mask.png", "pair-2-x2.png", "pair-2-mask.png"]
        assert [opened.read(f"pair{name}-mask.png") for name in ("", "-2")] == [
            each.mask.read_bytes() for each in (photo, other) if each.mask
        ]
    assert photo.mask != other.mask
    broken = Photo(studio.new_folder() / "broken.png")
    photo.path.write_bytes(b"no photo")
    settings = RestoreSettings(studio.recipe)
    assert restore(studio, Job(lambda job: None), [photo, broken], settings) is None, "the ZIP holds no earlier result"


@pytest.mark.parametrize("seed", [5, None])
def test_a_drawn_face_is_made_again(studio: Studio, seed: int | None) -> None:
    face = faces_of(studio.pipeline(studio.recipe), (5,), 1.0)[0]
    face = face if seed else neighbours(face, 2, 0.3)[1]
    picture = upscale(studio, Job(lambda job: None), studio.recipe, face).path
    _, said = make_again(studio, Job(lambda job: None), picture, [])
    assert said == "The same bytes again."


def test_cancelling_leaves_the_networks_usable(studio: Studio, photo: Photo) -> None:
    job = Job(lambda job: None)
    heard = Meter.part

    def cancel_soon(meter: Meter, *part: Any) -> None:
        job.cancelled = True
        heard(meter, *part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Meter, "part", cancel_soon)
        with pytest.raises(CancelledError):
            restore(studio, job, [photo], RestoreSettings(studio.recipe, scale=2))
    assert photo.result is None
    assert not photo.error
    restore(studio, Job(lambda job: None), [photo], RestoreSettings(studio.recipe, scale=2))
    assert photo.result is not None


def test_progress_never_goes_back() -> None:
    job, shares = Job(lambda job: None), []
    meter = Meter(job, 2, start=0.5, span=0.5)
    meter.begin()
    parts = [("background", block, 2) for block in (1, 2)]
    for part in (*parts, *(("face", done, 40) for _ in range(2) for done in (10, 20, 40))):
        meter.part(Path("photo.jpg"), *part)
        shares.append(job.share)
    assert shares == sorted(shares)
    assert shares[0] > 0.5
    assert shares[-1] == 1
    assert job.text == "Face 2 of 2 · 40 of 40 tiles"
