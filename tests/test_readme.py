"""Every command and the Python of the README do what they are shown doing."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from facegen.arrays import RGB
from facegen.data.manifest import read_manifest
from facegen.media.images import read_image, resize, write_image
from facegen.media.video_reader import Clip
from facegen.media.video_writer import write_video

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("facegen ")]
MADE = [
    line.split("#")[0].split() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if "make" in line
]


@pytest.fixture
def folder(tmp_path: Path, astronaut: RGB, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return fill(tmp_path, astronaut)


def fill(folder: Path, astronaut: RGB) -> Path:
    """Make what the README supposes: photo.jpg, clip.mp4, head.png, photos/, faces/, portraits/, pipelines/."""
    write_image(folder / "photo.jpg", astronaut)
    write_video(folder / "clip.mp4", [astronaut[:128, 160:288]] * 2, Fraction(5))
    for number in range(2):
        write_image(folder / "photos" / f"me_{number}.png", resize(astronaut[:300, 90 : 390 - number], (1500, 1500)))
    write_image(folder / "head.png", astronaut[:256, 96:352])
    for number in range(20):
        write_image(folder / "faces" / f"me_{number:04d}.png", astronaut[:128, number : number + 128])
    for number in range(5):
        portrait = resize(astronaut[:256, 90 + number : 346 + number], (768, 768))
        write_image(folder / "portraits" / f"me_{number:04d}.png", portrait)
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    return folder


SHORTENED = {
    "train": ["--time", "1s"],
    "video": ["--seconds", "0.4", "--fps", "5", "--size", "64"],
    "grid-walk": ["--seconds", "0.4", "--fps", "5"],
    "project": ["--size", "64"],
    "rate": ["--faces", "100"],
    "compare": ["--low", "32", "--size", "256"],
}
"""What is added to a command, so that it ends soon; the last of an option counts."""


def run(line: str, folder: Path, program: Sequence[str | Path] = (sys.executable, "-m", "facegen")) -> None:
    """Run a command, shortened."""
    words = shlex.split(line, comments=True)[1:]
    arguments = words + SHORTENED.get(words[0], [])
    done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_commands_are_found() -> None:
    assert len(COMMANDS) >= 10
    others = "sample upres video grid-walk project data train publish rate evaluate compare inspect replay export help"
    known = {*others.split(), "licences", "studio"}  # studio waits for a person
    assert {line.split()[1] for line in COMMANDS} <= known
    assert ["make", "sample"] in MADE
    assert ["make", "test"] in MADE


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    assert {words[1] for words in MADE if words[0] == "make" and len(words) == 2} <= set(targets)


@pytest.mark.parametrize(
    "line", [c for c in COMMANDS if c.split()[1] in ("sample", "upres") and "my-faces" not in c and "clip" not in c]
)
def test_drawing_and_upscaling(line: str, folder: Path) -> None:
    run(line, folder)
    written = [*(folder / "out").rglob("*.png"), *(folder / "out").rglob("*.jpg"), *folder.glob("restored.jpg")]
    assert written
    assert all(read_image(file).rgb.std() > 0 for file in written)


def test_films(folder: Path) -> None:
    lines = [c for c in COMMANDS if c.split()[1] in ("video", "grid-walk", "project") or "clip" in c]
    assert len(lines) == 5
    for line in lines:
        run(line, folder)
    counts = {name: Clip(folder / name).count for name in ("film.mp4", "grid.webm", "me.mp4", "out/clip-x2.mp4")}
    assert set(counts.values()) == {2}


def test_making_a_training_set(folder: Path) -> None:
    """All but the page, which waits for a person; tests/cli/test_data_curate.py does not."""
    lines = [c for c in COMMANDS if c.split()[1] == "data"]
    assert [line.split()[2] for line in lines] == ["prepare", "clean", "stats", "curate"]
    for line in lines[:-1]:
        run(line, folder)
    assert len(read_manifest(folder / "set")) == 2
    assert (folder / "set" / "stats.html").is_file()


def test_training_then_sampling(folder: Path) -> None:
    lines = [c for c in COMMANDS if c.split()[1] in ("train", "publish") or "my-faces" in c]
    assert len(lines) == 6
    for line in lines:
        run(line, folder)
    assert (folder / "weights" / "my-faces-rating" / "card.toml").is_file()


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.split()[1] == "evaluate"])
def test_evaluating(line: str, folder: Path, astronaut: RGB) -> None:
    for name in ("film.mp4", "me.mp4"):
        write_video(folder / name, [astronaut[:128, 160 + n : 288 + n] for n in range(4)], Fraction(5))
    run(line, folder)
    assert {path.name for path in folder.rglob("evaluation.*")} == {"evaluation.json", "evaluation.html"}


def test_comparing(folder: Path) -> None:
    (line,) = (c for c in COMMANDS if c.split()[1] == "compare")
    run(line, folder)
    assert list(folder.rglob("comparison.html"))


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.split()[1] in ("inspect", "replay")])
def test_asking_a_picture(line: str, folder: Path) -> None:
    run("facegen sample --size 256", folder)
    (folder / "out" / "seed0000-256.png").rename(folder / "out" / "seed0000-768.png")
    run(line, folder)


def test_what_is_installed_and_exported(folder: Path) -> None:
    for line in (c for c in COMMANDS if c.split()[1] in ("export", "licences", "help")):
        run(line, folder)


def test_doctor(folder: Path) -> None:
    run("facegen doctor", folder)


def test_python(folder: Path) -> None:
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    assert read_image(folder / "out" / "face.png").rgb.shape == (768, 768, 3)
    assert read_image(folder / "out" / "head.png").rgb.shape == (768, 768, 3)


def test_pictures_and_links_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
