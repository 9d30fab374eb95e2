"""A full disk leaves no file, and a result that lost its end is recognised."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.errors import FileError
from facegen.media.completeness import is_whole
from facegen.media.images import write_image
from facegen.media.metadata import Origin
from facegen.media.video_writer import write_video
from tests.fullness import names, run_on_full_disk

SUFFIXES = (".png", ".jpg", ".webp", ".avif", ".jxl", ".tif", ".mp4")
WRITE = """
from pathlib import Path
from facegen.errors import FileError
from tests.media.test_completeness import write
try:
    write(Path(sys.argv[2]), exif=sys.argv[3] == "True")
except FileError as error:
    sys.exit(str(error))
"""


def write(path: Path, *, exif: bool = True) -> Path:
    """Write noise as a picture or film."""
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    if path.suffix == ".mp4":
        return write_video(path, [rgb, rgb], Fraction(25))
    camera = Image.Exif()
    camera[271] = "Camera"
    return write_image(path, rgb, origin=Origin(exif=camera.tobytes() if exif else None))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_on_a_full_disk_there_is_an_error_and_no_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    size = write(path).stat().st_size
    path.unlink()
    for missing in (1, size // 2):
        result = run_on_full_disk(WRITE, size - missing, path, True)
        assert result.stderr.startswith(f"{path}: cannot be written (File too large)"), result.stderr
        assert names(tmp_path) == []


@pytest.mark.parametrize("exif", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_cut_short_is_not_whole(tmp_path: Path, suffix: str, exif: bool) -> None:
    path = write(tmp_path / f"a{suffix}", exif=exif)
    assert is_whole(path)
    content = path.read_bytes()
    for missing in (1, 10, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:-missing])
        assert not is_whole(path)


def test_missing_and_empty_files_are_not_whole_and_other_files_are(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "none.png")
    (tmp_path / "a.png").touch()
    assert not is_whole(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("{}")
    assert is_whole(tmp_path / "a.json")


def test_a_name_too_long_for_a_film_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        write_video(tmp_path / ("x" * 300 + ".mp4"), [np.zeros((8, 8, 3), np.uint8)], Fraction(25))
