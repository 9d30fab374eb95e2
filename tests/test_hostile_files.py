"""Files from strangers and odd file systems: one clear error each, never a traceback, a hang or another's file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from facegen.errors import FacegenError, FileError, ImageError, RecipeError, WeightsError, printable
from facegen.files import sha256_of
from facegen.media.images import read_image, write_image
from facegen.media.metadata import Origin
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video
from facegen.models.dcgan import DCGANGenerator
from facegen.pipeline import FacePipeline
from facegen.recipe import PipelineRecipe, load_recipe, read_toml
from facegen.video.store import FrameStore
from facegen.weights import CARD_FILE, MODEL_FILE, load_network
from tests import tiny

GREY = np.full((16, 16, 3), 90, np.uint8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_refused_where_a_file_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    folder = tiny.save(tmp_path, tiny.generator())
    for name in (MODEL_FILE, CARD_FILE):
        (folder / name).replace(folder / f"{name}.kept")
        os.mkfifo(folder / name)
        with pytest.raises(FacegenError):
            load_network(str(folder), DCGANGenerator)
        (folder / name).unlink()
        (folder / f"{name}.kept").replace(folder / name)
    for read in (read_image, Clip, read_toml, sha256_of):
        with pytest.raises(FacegenError, match=r"pipe\.mp4: is a pipe, a socket or a device"):
            read(pipe)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    folder = tiny.save(tmp_path, tiny.generator())
    state = load_file(folder / MODEL_FILE)
    name = next(key for key, value in state.items() if value.is_floating_point())
    state[name].view(-1)[0] = value
    before = sha256_of(folder / MODEL_FILE)
    save_file(state, folder / MODEL_FILE)
    card = (folder / CARD_FILE).read_text().replace(before, sha256_of(folder / MODEL_FILE))
    (folder / CARD_FILE).write_text(card)
    with pytest.raises(WeightsError, match=f"{MODEL_FILE}: {name} holds values that are not finite"):
        load_network(str(folder), DCGANGenerator)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_network_that_draws_nothing(value: float) -> None:
    pipeline = FacePipeline(
        PipelineRecipe(kind="pipeline", precision="fp32"),
        generator=tiny.generator(),
        upscaler=tiny.upscaler(),
        guide="rgb",
    )
    with torch.no_grad():
        for weights in pipeline.generator.parameters():
            weights.fill_(value)
    with pytest.raises(WeightsError, match="drew one flat colour, or values that are not finite"):
        pipeline.draw(torch.ones(8))
    with torch.no_grad():
        pipeline.upscaler.to_rgb.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match="made values that are not finite"):
        pipeline(torch.rand(3, 32, 32), 256, landmarks=None)


@pytest.mark.parametrize("text", ["a=" + "[" * 50_000, "a=" + "9" * 5_000, "a=\x00"])
def test_toml_that_no_parser_likes(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"a\.toml: not a readable TOML file"):
        read_toml(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text('kind = "pipeline"')
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / "a.toml", PipelineRecipe, [text])


def test_a_list_that_is_named_as_a_film_opens_no_other(tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4", [GREY, GREY], Fraction(25))
    for text in ("ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(FileError, match=r"list\.mp4: cannot be read as a film"):
            Clip(tmp_path / "list.mp4")


def test_advice_fits_the_file(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"32-bit float samples; save it with 8 or 16 bits a sample\.$"):
        read_image(tmp_path / "float.tif")
    Image.fromarray(GREY).save(tmp_path / "whole.avif")
    (tmp_path / "cut.avif").write_bytes((tmp_path / "whole.avif").read_bytes()[:60])
    with pytest.raises(ImageError, match="copy or download the file again"):
        read_image(tmp_path / "cut.avif")


def test_jpeg_leaves_out_what_it_has_no_room_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    with pytest.warns(UserWarning, match=r"a\.jpg: EXIF, long left out, as JPEG has room for 64 KB"):
        write_image(tmp_path / "a.jpg", GREY, text={"long": "y" * 70_000}, origin=Origin(exif=exif.tobytes()))
    assert read_image(tmp_path / "a.jpg").rgb.shape == GREY.shape


def test_names_are_printed_so_that_no_terminal_obeys() -> None:
    name = os.fsdecode(b"a\xe9\x1b[31m\x07.png")
    assert printable(name) == r"a\udce9\x1b[31m\x07.png"
    assert str(FileError(f"{name}: x")) == r"a\udce9\x1b[31m\x07.png: x"
    assert printable("façade 漢字 😀\n") == "façade 漢字 😀\\n"


def test_a_folder_that_no_store_made_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "k.mp4.frames"
    folder.mkdir()
    (folder / "lock").write_text("mine")
    with pytest.raises(FileError, match=r"holds lock, which facegen did not make; move it"):
        FrameStore(folder, {})
    assert (folder / "lock").read_text() == "mine"
    (folder / "lock").unlink()
    with FrameStore(folder, {}) as store:
        store.add(GREY, {})
        (folder / "notes.txt").write_text("mine")
    with FrameStore(folder, {"other": 1}) as store:
        assert store.done == 0
        store.remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


WORKER = """
import sys, time
from pathlib import Path
from facegen.jobs import Outcome, Processes, Task, run
from tests.test_hostile_files import tick
if __name__ == "__main__":
    list(run([Task(Path(sys.argv[1]) / str(n), Path("x")) for n in range(2)], tick, Processes(2)))
"""


def tick(task: object) -> object:
    """Note the time in a file, for ever."""
    source: Path = task.source  # type: ignore[attr-defined]
    while True:
        source.write_text(str(time.monotonic()))
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(WORKER)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "run.py"), str(tmp_path)], env=environment)
    while not (tmp_path / "0").exists() or not (tmp_path / "1").exists():
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(2)
    left = [(tmp_path / name).read_text() for name in "01"]
    time.sleep(0.5)
    assert [(tmp_path / name).read_text() for name in "01"] == left


def test_a_recipe_of_very_deep_tables(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a." * 20_000 + "b = 1")
    with pytest.raises(RecipeError, match='unknown key "a"'):
        load_recipe(tmp_path / "a.toml", PipelineRecipe)
