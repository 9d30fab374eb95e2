"""File names, which may contain anything, cannot control the terminal or forge lines of facegen."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from facegen.arrays import RGB
from facegen.cli.main import cli
from facegen.errors import printable
from facegen.media.images import write_image
from tests.cli.conftest import Facegen

NAME = "a\n\x1b[2J\rError: all is well"
COMMANDS = {
    "a folder": "upres IN --out OUT --recipe RECIPE --scale 2 --overwrite",
    "a photo that was done": "upres IN/NAME.png --out OUT --recipe RECIPE --scale 2 --overwrite",
    "no photo": "upres IN/NAME.jpg --out OUT --recipe RECIPE",
    "no mask": "upres IN/NAME.png --mask NAME --recipe RECIPE",
    "a wrong option": "upres --NAME IN",
    "a measured picture": "inspect IN/NAME.png",
    "no picture to measure": "inspect IN/NAME.jpg",
    "a drawn face": "sample --size 32 --out OUT/NAME --recipe RECIPE",
    "no recipe": "sample --recipe NAME.toml",
    "a recipe that is none": "sample --recipe RECIPE --set a=1 --set b=NAME",
    "a film": "video --seeds 1 --seconds 0.1 --size 32 --recipe RECIPE -o OUT/NAME.mp4",
    "no record": "replay IN/NAME.jpg",
    "a set": "data prepare IN --out OUT/NAME --size 32 --jobs 1",
    "a described set": "data stats IN --out OUT/NAME.html",
    "no set": "data stats IN/NAME",
    "no labels": "data curate OUT --rater NAME",
    "no weights": "evaluate NAME --data IN",
    "no data": "evaluate NAME",
    "no model": "compare --models NAME --inputs IN --size 32 --low 16",
    "no data to train on": "train jnet-8x --data NAME --out OUT",
    "no run": "publish NAME x",
    "no rated network": "rate NAME --data IN",
    "no network": "export onnx NAME -o OUT/x.onnx",
    "no identity": "sign IN/NAME.png --identity NAME",
    "no page": "help NAME",
    "no command": "NAME",
}


@pytest.fixture
def folder(tmp_path: Path, head: RGB) -> Path:
    """A folder of that name, with a picture and a file that is not one."""
    made = tmp_path / NAME
    write_image(made / f"{NAME}.png", head[::4, ::4])
    (made / f"{NAME}.jpg").write_text("no picture")
    return made


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_names_cannot_control_the_terminal(
    command: str, terminal: bool, folder: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: terminal)
    places = {"IN": folder, "OUT": tmp_path / "out", "RECIPE": tiny_recipe, "NAME": NAME}
    words = COMMANDS[command].split()
    for short, path in places.items():
        words = [word.replace(short, str(path)) for word in words]
    result = CliRunner().invoke(cli, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    shown = result.output if terminal else result.stderr  # paths for another program are as they are
    assert "\x1b[2J" not in shown
    assert "\nError: all is well" not in shown.replace("\r", "\n")


def test_names_are_shown_escaped(facegen: Facegen, folder: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    result = facegen("upres", folder, "--recipe", tiny_recipe, "--scale", 2, "--out", tmp_path / "out")
    error, head, *rows, end = result.stderr.splitlines()
    assert error.startswith(f"Error: {printable(folder / NAME)}.jpg: ")
    assert head.split()[0] == "file"
    assert rows[0].startswith(f"{printable(folder / NAME)}.jpg ")
    assert end == "1 upscaled, 1 failed."
