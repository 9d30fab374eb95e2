"""File names in any script, such as ä and 顔: photos, results and explanations."""

from __future__ import annotations

from pathlib import Path

from facegen.arrays import RGB
from facegen.media.images import read_image, write_image
from tests.cli.conftest import Facegen


def test_photos_with_names_in_any_script_are_upscaled(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB
) -> None:
    photos, out = tmp_path / "Fotos ä 顔", tmp_path / "Ergebnisse é"
    write_image(photos / "größe 写真.jpg", head)
    result = facegen("upres", photos, "--out", out, "--recipe", tiny_recipe, "--scale", 2, "--explain")
    assert result.exit_code == 0, result.output
    assert read_image(out / "größe 写真-x2.jpg").rgb.shape == (384, 384, 3)
    assert len(list(out.glob("größe 写真-x2-head-1-explain.*"))) == 2
