"""`facegen upres`: good pictures are upscaled whatever the others are; nothing is overwritten."""

from __future__ import annotations

import os
import shlex
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.arrays import RGB
from facegen.media.images import picture_facts, picture_text, read_image, resize, write_image
from facegen.media.record import read_record
from tests.cli.conftest import Facegen, leftovers


@pytest.fixture
def upres(facegen: Facegen, tiny_recipe: Path, tmp_path: Path) -> Facegen:
    """Run upres with tiny weights, into out/."""

    def run(*words: object) -> object:
        return facegen("upres", *words, "--recipe", tiny_recipe, "--out", tmp_path / "out")

    return run  # type: ignore[return-value]


@pytest.fixture(scope="session")
def plain() -> RGB:
    """(24, 40, 3): a ramp."""
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, 255 - x * 6], axis=-1).astype(np.uint8)


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def jpeg(picture: RGB, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def save_odd_but_good(folder: Path, plain: RGB) -> list[Path]:
    """Write pictures that are unusual but good."""
    folder.mkdir()
    write_image(folder / "one pixel.png", plain[:1, :1])
    Image.fromarray(plain[..., 0].astype(np.uint16) * 257).save(folder / "sixteen.png")
    (folder / "cmyk.jpg").write_bytes(jpeg(plain, "CMYK"))
    write_image(folder / "alpha.png", plain, alpha=plain[..., 0])
    write_image(folder / "façade — ünï 漢字 😀.png", plain)
    return sorted(folder.iterdir())


def save_bad(folder: Path, plain: RGB) -> dict[str, Path]:
    """Write bad files; return problem -> file."""
    folder.mkdir()
    bad = {
        "no such file": folder / "missing.jpg",
        "not a picture of a known format": folder / "text.jpg",
        "cannot be decoded": folder / "cut short.jpg",
        "is empty": folder / "empty.png",
        "no pictures in this folder": folder / "folder",
    }
    bad["not a picture of a known format"].write_text("just words\n")
    whole = jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    bad["cannot be decoded"].write_bytes(whole[: len(whole) // 2])
    bad["is empty"].write_bytes(b"")
    bad["no pictures in this folder"].mkdir()
    return bad


def test_good_and_bad_pictures_in_one_command(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    good, bad = save_odd_but_good(tmp_path / "good", plain), save_bad(tmp_path / "bad", plain)
    mixed = [path for pair in zip(good, bad.values(), strict=True) for path in pair]
    result = upres(*mixed, "--scale", 2)
    assert result.exit_code == 1
    out = tmp_path / "out"
    assert written(out) == sorted(f"{path.stem}-x2{path.suffix}" for path in good)
    assert sorted(result.stdout.splitlines()) == sorted(str(out / name) for name in written(out))
    lines = result.stderr.splitlines()
    for problem, path in bad.items():
        [line] = [line for line in lines if line.startswith(f"Error: {path}: ")]
        assert problem in line
    assert lines[-1] == "5 upscaled, 5 failed."
    assert len(lines) == 5 + (1 + 10) + 3 + 5 + 1  # errors, a table of all, its legend, the errors again, the sum
    assert not leftovers(out)


def test_odd_pictures_keep_what_they_show(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    files = save_odd_but_good(tmp_path / "good", plain)
    assert upres(*files, "--scale", 4).exit_code == 0
    for path in files:
        before, after = read_image(path), read_image(tmp_path / "out" / f"{path.stem}-x4{path.suffix}")
        height, width = before.rgb.shape[:2]
        assert after.rgb.shape == (4 * height, 4 * width, 3)
        small = after.rgb.reshape(height, 4, width, 4, 3).mean(axis=(1, 3))
        assert np.abs(small - before.rgb).mean() < 2, path
    alpha = read_image(tmp_path / "out" / "alpha-x4.png").alpha
    assert alpha is not None
    assert np.abs(resize(alpha[..., None].repeat(3, 2), (40, 24))[..., 0].astype(int) - plain[..., 0]).max() <= 3


def test_folders_are_mirrored(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    for name in ("b.png", "sub/dir/a.jpg", ".hidden.png"):
        write_image(tmp_path / "in" / name, plain)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    result = upres(tmp_path / "in", tmp_path / "in" / "b.png", "--scale", 1)
    assert result.exit_code == 0
    assert written(tmp_path / "out") == ["b-x1.png", "sub/dir/a-x1.jpg"]


def test_results_are_not_upscaled_again(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, plain: RGB) -> None:
    write_image(tmp_path / "a.png", plain)
    for _ in range(2):
        words = ("--scale", 1, "--recipe", tiny_recipe, "--out", tmp_path / "out")
        assert facegen("upres", tmp_path, *words).exit_code == 0
        assert written(tmp_path) == ["a.png", "out/a-x1.png"]
    refused = facegen("upres", tmp_path, "--recipe", tiny_recipe, "--out", tmp_path)
    assert refused.exit_code == 2
    assert f"--out {tmp_path}: is the folder that is upscaled" in refused.stderr


def test_results_of_files_with_one_name_are_numbered(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    paths = [tmp_path / name for name in ("x/a.png", "y/a.png", "y/a-2.png", "z/a.jpg", "z/A.png")]
    for number, path in enumerate(paths):
        write_image(path, np.full_like(plain, 40 * number))
    result = upres(*paths, "--scale", 1)
    assert result.exit_code == 0, result.output
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == ["a-x1.png", "a-2-x1.png", "a-2-2-x1.png", "a-3-x1.jpg", "A-4-x1.png"]
    for number, name in enumerate(names):
        assert abs(read_image(tmp_path / "out" / name).rgb.mean() - 40 * number) < 2


def test_an_input_is_never_overwritten(facegen: Facegen, tiny_recipe: Path, tmp_path: Path, plain: RGB) -> None:
    for name in ("a.png", "a-x2.png"):
        write_image(tmp_path / name, plain)
    before = (tmp_path / "a-x2.png").read_bytes()
    files = [tmp_path / "a.png", tmp_path / "a-x2.png"]
    result = facegen("upres", *files, "--scale", 2, "--recipe", tiny_recipe, "--out", tmp_path)
    assert result.exit_code == 1
    assert f"{files[0]}: its result would replace {files[1]}, another input; choose another --out." in result.stderr
    assert (tmp_path / "a-x2.png").read_bytes() == before
    assert (tmp_path / "a-x2-x2.png").is_file()
    alone = facegen("upres", files[0], "--recipe", tiny_recipe, "--out", files[0], "--overwrite")
    assert alone.stderr == f"Error: {files[0]}: its result would replace {files[0]}; choose another --out.\n"


def test_photo_with_a_face(upres: Facegen, tmp_path: Path, astronaut: RGB) -> None:
    write_image(tmp_path / "my photo.png", astronaut[:240, 100:340])
    result = upres(tmp_path / "my photo.png", "--background", "lanczos")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'out' / 'my photo-x5.png'}\n"
    assert result.stderr == ""
    assert read_image(tmp_path / "out" / "my photo-x5.png").rgb.shape == (1200, 1200, 3)


def test_head_that_is_large_already(upres: Facegen, tmp_path: Path, head: RGB) -> None:
    write_image(tmp_path / "a.png", resize(head, (1300, 1300)))
    result = upres(tmp_path / "a.png", "--background", "keep")
    assert result.exit_code == 0
    assert result.stderr == f"{tmp_path / 'a.png'}: 1 head is too large for the network to add detail.\n"


def test_crop(upres: Facegen, tmp_path: Path, astronaut: RGB, plain: RGB) -> None:
    write_image(tmp_path / "one.png", resize(astronaut, (256, 256)))
    write_image(tmp_path / "two.png", np.concatenate([astronaut[:, 60:380], astronaut[:, 380:59:-1]], axis=1))
    write_image(tmp_path / "none.png", plain)
    result = upres(*(tmp_path / f"{name}.png" for name in ("one", "two", "none")), "--crop", "--size", 256)
    assert result.exit_code == 1
    assert written(tmp_path / "out") == ["one-head.png", "two-head-1.png", "two-head-2.png"]
    assert "none.png: no face found, so there is no head to crop" in result.stderr
    for name in written(tmp_path / "out"):
        assert read_image(tmp_path / "out" / name).rgb.shape == (256, 256, 3)


def test_aligned(upres: Facegen, tmp_path: Path, head: RGB, plain: RGB) -> None:
    write_image(tmp_path / "head.png", resize(head, (96, 96)))
    write_image(tmp_path / "tiny.png", resize(head, (15, 15)))
    write_image(tmp_path / "wide.png", plain)
    result = upres(*(tmp_path / f"{name}.png" for name in ("tiny", "wide", "head")), "--aligned")
    assert result.exit_code == 1
    assert written(tmp_path / "out") == ["head-768.png"]
    assert read_image(tmp_path / "out" / "head-768.png").rgb.shape == (768, 768, 3)
    assert "tiny.png: 15x15; --aligned expects a square head crop of 16 px and up." in result.stderr
    assert "wide.png: 40x24; --aligned expects a square head crop" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--scale", "2", "--background", "lanczos", "--strip"),
        ("--crop", "--size", "200"),
        ("--aligned", "--size", "200"),
    ],
)
def test_text_in_the_file_makes_it_again(
    facegen: Facegen,
    upres: Facegen,
    tmp_path: Path,
    head: RGB,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_image(tmp_path / "it's me.png", head)
    upres(tmp_path / "it's me.png", *words, "--set", "fidelity=0.5")
    [name] = written(tmp_path / "out")
    command = shlex.split(picture_text(tmp_path / "out" / name)["facegen"])
    assert command[:2] == ["upres", "it's me.png"]
    monkeypatch.chdir(tmp_path)
    assert facegen(*command, "--out", "again").exit_code == 0
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["--crop", "--aligned"], ["--crop", "--aligned"]),
        (["--crop", "--scale", "2"], ["--scale", "--crop"]),
        (["--aligned", "--scale", "2"], ["--scale", "--aligned"]),
        (["--size", "512"], ["--size", "--crop", "--aligned", "--scale"]),
        (["--aligned", "--faces", "largest"], ["--faces", "--aligned"]),
        (["--crop", "--face-size-min", "9"], ["--face-size-min", "--crop"]),
        (["--crop", "--background", "keep"], ["--background", "--crop"]),
        (["--background", "keep", "--scale", "2"], ["--background", "--scale"]),
        (["--size", "512", "--scale", "2"], ["--size", "--scale"]),
        (["--scale", "0"], ["--scale"]),
        (["--scale", "9"], ["--scale"]),
        (["--scale", "nan"], ["--scale"]),
        (["--scale", "2", "--width", "900"], ["--scale", "--width"]),
        (["--background", "keep", "--width", "900"], ["--background", "--width"]),
        (["--crop", "--width", "900"], ["--width", "--crop"]),
        (["--crop", "--mask", "m.png"], ["--mask", "--crop"]),
        (["--crop", "--size", "0"], ["--size"]),
    ],
)
def test_conflicting_flags_are_both_named(upres: Facegen, tmp_path: Path, words: list[str], flags: list[str]) -> None:
    result = upres("photo.png", *words)
    assert result.exit_code == 2
    for flag in flags:
        assert flag in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_options_of_a_settings_file_conflict_too(upres: Facegen, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("size = 512\n")
    result = upres("photo.png", "--settings", tmp_path / "my.toml")
    assert result.exit_code == 2
    assert "--size is for --crop and --aligned" in result.stderr


def test_no_photos(facegen: Facegen) -> None:
    result = facegen("upres")
    assert result.exit_code == 2
    assert "Missing argument 'PHOTOS...'" in result.stderr


def test_result_that_would_be_too_large_names_the_photo(
    upres: Facegen, tmp_path: Path, plain: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.sizes.LARGEST", 10_000)
    write_image(tmp_path / "big.png", plain)
    result = upres(tmp_path / "big.png", "--scale", 8)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith(f"Error: {tmp_path / 'big.png'}: 40x24 at --scale 8 would be ")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_a_name_that_is_not_text(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    write_image(path, plain)
    result = upres(path, "--scale", 1)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.jpeg", ".jpg"), ("a.WEBP", ".webp"), ("a.png", ".png"), ("a.bmp", ".png"), ("a.jxl", ".jxl")],
)
def test_a_photo_keeps_its_format(upres: Facegen, tmp_path: Path, plain: RGB, name: str, suffix: str) -> None:
    pytest.importorskip("pillow_jxl")  # registers itself
    Image.fromarray(plain).save(tmp_path / name)
    for note in ("", f"{tmp_path / name}: done already.\n"):
        result = upres(tmp_path / name, "--scale", 2)
        assert result.stdout == f"{tmp_path / 'out' / f'a-x2{suffix}'}\n"
        assert result.stderr in (note, f"{tmp_path / name}: no face found.\n")
    assert result.stderr == note
    assert picture_facts(tmp_path / "out" / f"a-x2{suffix}").format == {".jpg": "JPEG"}.get(suffix, suffix[1:].upper())


def test_the_settings_of_a_batch_may_stand_in_a_file(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, plain: RGB
) -> None:
    photo, settings = write_image(tmp_path / "a.png", plain), tmp_path / "batch.toml"
    words = f"scale = 1.5\nformat = 'jpg'\nout = '{tmp_path}/made'\nrecipe = '{tiny_recipe}'\nbefore-after = true"
    settings.write_text(words, encoding="utf-8")
    result = facegen("upres", photo, "--settings", settings, "--scale", 2)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["a-x2-before-after.jpg", "a-x2.jpg"]
    assert read_record(tmp_path / "made" / "a-x2.jpg").argv[4:6] == ("--format", "jpg")


@pytest.fixture
def named(facegen: Facegen, tiny_recipe: Path) -> Facegen:
    """Run upres with tiny weights."""

    def run(*words: object) -> object:
        return facegen("upres", *words, "--recipe", tiny_recipe)

    return run  # type: ignore[return-value]


def test_the_result_of_one_photo_can_be_named(named: Facegen, tmp_path: Path, plain: RGB) -> None:
    write_image(tmp_path / "a.png", plain)
    wanted = tmp_path / "new" / "better.jpg"
    for _ in range(2):
        result = named(tmp_path / "a.png", "--scale", 2, "--out", wanted)
        assert result.stdout == f"{wanted}\n"
    assert "done already" in result.stderr
    assert picture_facts(wanted).format == "JPEG"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["better.jpg"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["a.png", "b.png", "--out", "c.png"], "for a single photo; name a folder"),
        (["a.png", "--out", "c.gif"], "a file's suffix must be one of .avif, .jpeg"),
        (["a.png", "--out", "c.jpg", "--format", "webp"], "contradict each other"),
        (["a.mp4", "--out", "c.jpg"], "must be one of .mp4"),
        (["a.png", "b.png", "--out", f"{'c' * 300}.png"], "for a single photo; name a folder"),
    ],
)
def test_impossible_named_results_are_refused(named: Facegen, tmp_path: Path, words: list[str], reason: str) -> None:
    result = named(*words)
    assert result.exit_code == 2
    assert reason in result.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("c.*"))


def test_two_heads_do_not_fit_into_one_named_file(named: Facegen, tmp_path: Path, astronaut: RGB) -> None:
    write_image(tmp_path / "two.png", np.concatenate([astronaut[:, 60:380], astronaut[:, 380:59:-1]], axis=1))
    result = named(tmp_path / "two.png", "--crop", "--size", 256, "--out", tmp_path / "one.png")
    assert result.exit_code == 1
    assert "has 2 heads, but --out" in result.stderr


def test_heads_are_shown_before_and_after(upres: Facegen, tmp_path: Path, astronaut: RGB) -> None:
    write_image(tmp_path / "one.png", resize(astronaut, (256, 256)))
    upres(tmp_path / "one.png", "--crop", "--size", 256, "--before-after")
    sheet = read_image(tmp_path / "out" / "one-head-before-after.png").rgb
    assert sheet.shape[1] > 2 * 256 - 1


def test_sixteen_bits_come_out_where_they_came_in(
    upres: Facegen, facegen: Facegen, tmp_path: Path, head: RGB
) -> None:
    deep = resize(head, (96, 96)).astype(np.uint16) * 200 + 7
    for name, words in (("a.png", ()), ("b.tif", ("--before-after",)), ("c.png", ("--aligned", "--size", 200))):
        write_image(tmp_path / name, deep)
        options = words if "--aligned" in words else ("--scale", 2, *words)
        result = upres(tmp_path / name, *options)
        assert result.exit_code == 0, result.stderr
        made = Path(result.stdout.splitlines()[-1])
        picture = read_image(made, keep_depth=True)
        assert picture.deep is not None
        assert len(np.unique(picture.deep)) > 2000
        again = facegen("replay", made, "--source", tmp_path / name, "--out", tmp_path / "again", "--trust")
        assert again.exit_code == 0, again.stderr
    made = Path(upres(tmp_path / "a.png", "--scale", 2, "--format", "jpg").stdout.strip())
    assert picture_facts(made).format == "JPEG"


@pytest.mark.parametrize(
    ("words", "ending", "size"),
    [
        (["--scale", "1.5"], "-x1.5", (60, 36)),
        (["--width", "99"], "-99", (99, 59)),
        (["--scale", "2.0"], "-x2", (80, 48)),
    ],
)
def test_any_scale_or_width(
    upres: Facegen, facegen: Facegen, tmp_path: Path, plain: RGB, words: list[str], ending: str, size: tuple[int, int]
) -> None:
    write_image(tmp_path / "a.png", plain)
    result = tmp_path / "out" / f"a{ending}.png"
    assert upres(tmp_path / "a.png", *words).stdout == f"{result}\n"
    rgb = read_image(result).rgb
    assert rgb.shape[1::-1] == size
    assert np.abs(resize(rgb, (40, 24)).astype(int) - plain).mean() < 2
    assert "done already" in upres(tmp_path / "a.png", *words).stderr
    again = facegen("replay", result, "--source", tmp_path / "a.png", "--out", tmp_path / "again", "--trust")
    assert again.exit_code == 0, again.stderr


def test_a_width_below_the_photos_is_refused(upres: Facegen, tmp_path: Path, plain: RGB) -> None:
    write_image(tmp_path / "a.png", plain)
    result = upres(tmp_path / "a.png", "--width", 30)
    assert result.exit_code == 1
    assert "--width 30: the photo is 40 px wide already" in result.stderr
