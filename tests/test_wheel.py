"""The wheel, built and run in a fresh environment that holds it, what it declares to need, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from facegen.arrays import RGB
from facegen.media.images import read_image, write_image
from tests import test_readme

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
LARGEST = 60_000_000
"""Bytes of the wheel: PyPI's limit is 100 MB, and `uvx` fetches it before it can run."""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command; returns what it printed."""
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=plain | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def uv() -> str:
    found = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return found or pytest.fail("uv is not installed; make install-dev brings it")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    pins = ("--build-constraints", ROOT / "constraints.txt")  # hatchling is one of them
    run(uv(), "build", "--wheel", "--quiet", *pins, "--out-dir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


def needed(*extras: str) -> set[str]:
    """The distributions that `pip install facegen`, with these extras, brings, without facegen itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    todo, found = [Requirement(line) for line in lines], set()
    while todo:
        requirement = todo.pop()
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            todo += map(Requirement, distribution(requirement.name).requires or [])
        except PackageNotFoundError:  # CUDA's libraries, which a build of torch for processors declares too
            continue
        found.add(requirement.name)
    return found


def link_packages(site_packages: Path, *extras: str) -> None:
    """Link what facegen needs into an environment: the same files as an installation, without a gigabyte of copies."""
    for name in needed(*extras):
        for file in distribution(name).files or []:
            top = site_packages / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not top.exists():
                top.symlink_to(Path(str(distribution(name).locate_file(file.parts[0]))).resolve())


@dataclass(frozen=True)
class Installed:
    """A fresh environment, and a working folder far from the checkout."""

    bin: Path
    cwd: Path

    def __call__(self, *words: str) -> str:
        return run(self.bin / "facegen", *words, cwd=self.cwd, PATH=f"{self.bin}{os.pathsep}{os.environ['PATH']}")


def installed(wheel: Path, folder: Path, *extras: str) -> Installed:
    """Install the wheel with these extras in a fresh environment."""
    run(uv(), "venv", "--quiet", "--python", sys.executable, "env", cwd=folder)
    run(uv(), "pip", "install", "--quiet", "--no-deps", "--python", folder / "env", wheel, cwd=folder)
    (site_packages,) = (folder / "env").rglob("site-packages")
    link_packages(site_packages, *extras)
    (folder / "work").mkdir()
    return Installed(folder / "env" / ("Scripts" if os.name == "nt" else "bin"), folder / "work")


@pytest.fixture(scope="session")
def facegen(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed(wheel, tmp_path_factory.mktemp("fresh"))


def test_the_wheel_is_small_and_holds_no_training_weights(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST
    names = zipfile.ZipFile(wheel).namelist()
    assert "facegen/_bundled/weights/jnet-8x/model.safetensors" in names
    assert not [name for name in names if "weights/training" in name or name.startswith("tests/")]


def test_a_face_is_drawn(facegen: Installed) -> None:
    facegen("sample", "--seeds", "0", "--size", "256")
    assert read_image(facegen.cwd / "out" / "seed0000-256.png").rgb.std() > 20


def test_a_photo_is_upscaled(facegen: Installed, head: RGB) -> None:
    write_image(facegen.cwd / "photo.png", head)
    facegen("upres", "photo.png", "--scale", "2")
    assert read_image(facegen.cwd / "out" / "photo-x2.png").rgb.shape == (384, 384, 3)


def test_doctor_finds_nothing_wrong(facegen: Installed) -> None:
    assert "!!" not in facegen("doctor")


def test_help_shows_a_page(facegen: Installed) -> None:
    assert "# Install facegen" in facegen("help", "install")


def test_bash_completes_a_command(facegen: Installed) -> None:
    run(facegen.bin / "facegen", "--install-completion", "bash", cwd=facegen.cwd, HOME=str(facegen.cwd))
    typed = "COMP_WORDS=(facegen sam); COMP_CWORD=1; _facegen_completion facegen; echo ${COMPREPLY[@]}"
    path = f"{facegen.bin}{os.pathsep}{os.environ['PATH']}"
    assert run("bash", "-c", f"source .bashrc; {typed}", cwd=facegen.cwd, PATH=path) == "sample\n"


def test_training_names_the_missing_extra(facegen: Installed) -> None:
    done = subprocess.run(
        [facegen.bin / "facegen", "publish", "run", "name"], cwd=facegen.cwd, capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install" in done.stderr


def test_the_commands_of_the_readme_in_order(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory, astronaut: RGB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extras that the README and its pages on training and export name; all but what waits for a person."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    pages = test_readme.README + "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("training", "export"))
    extras = set(re.findall(r"facegen\[(\w+)\]", pages))
    assert extras >= {"data", "evaluate", "studio", "train"}
    program = (installed(wheel, tmp_path_factory.mktemp("whole"), *extras).bin / "facegen",)
    folder = test_readme.fill(tmp_path_factory.mktemp("readme"), astronaut)
    for line in test_readme.COMMANDS:
        if line != "facegen studio" and "curate" not in line:
            test_readme.run(line, folder, program)
    assert list((folder / "comparison").iterdir())
