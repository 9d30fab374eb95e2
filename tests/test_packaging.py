"""What is declared is what is used: dependencies, pins, the version, the folders, and a command that starts at once."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import facegen

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "cv2", "dlib", "_dlib_pybind11", "skimage", "scipy", "lightning_fabric", "matplotlib")
HELP = "from facegen.cli.main import main\nmain()"
LOADED = "import atexit, sys\natexit.register(lambda: print('loaded:', *sys.modules))\n"
DISTRIBUTION_OF = {
    "c2pa": "c2pa-python", "cv2": "opencv-python-headless", "PIL": "pillow", "dlib": "dlib-bin",
    "pillow_jxl": "pillow-jxl-plugin", "skimage": "scikit-image",
}  # fmt: skip
"""Where a module's name is not its distribution's."""
NOT_PINNED = ("nvidia-", "cuda-", "triton")
"""Brought by CUDA builds of torch alone; torch pins them itself."""


def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return loaded


def declared(extras: tuple[str, ...]) -> list[Requirement]:
    """The requirements of `facegen[extras]`, facegen's own extras resolved."""
    found = [Requirement(line) for line in project()["dependencies"]]
    for extra in extras:
        for line in project()["optional-dependencies"][extra]:
            requirement = Requirement(line)
            found += declared(tuple(requirement.extras)) if requirement.name == "facegen" else [requirement]
    return found


def pins() -> dict[str, Version]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    split = [line.split("==") for line in lines if line]
    assert len({canonicalize_name(name) for name, _ in split}) == len(split), "constraints.txt pins a package twice"
    return {canonicalize_name(name): Version(version) for name, version in split}


def named_modules(tree: ast.AST) -> Iterator[str]:
    """Modules imported anywhere in `tree`, or looked for with find_spec("...")."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(func=ast.Attribute(attr="find_spec"), args=[ast.Constant(value=str(module)), *_]):
                yield module


def third_party_imports() -> dict[str, str]:
    """Distribution -> one file that imports it, for everything in facegen/."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "facegen").rglob("*.py")):
        for module in named_modules(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            if top != "facegen" and top not in sys.stdlib_module_names:
                found[canonicalize_name(DISTRIBUTION_OF.get(top, top))] = str(path.relative_to(ROOT))
    return found


def run_python(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_ranges_admit_the_pins() -> None:
    for requirement in declared(("dev",)):
        pin = pins().get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt does not pin {requirement.name}"
        assert pin in requirement.specifier, f"pyproject.toml: {requirement} does not admit the pin {pin}"


def test_everything_pulled_is_pinned() -> None:
    todo, seen = declared(("dev",)), set()
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), ("", *requirement.extras)
        if (name, extras) in seen or name.startswith(NOT_PINNED):
            continue
        seen.add((name, extras))
        assert name in pins(), f"constraints.txt does not pin {name}"
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed; make install-dev brings it")
        needed = [Requirement(line) for line in lines]
        todo += [r for r in needed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]


def test_runtime_imports_are_declared() -> None:
    extras = tuple(extra for extra in project()["optional-dependencies"] if extra != "dev")
    names = {canonicalize_name(requirement.name) for requirement in declared(extras)}
    undeclared = {name: path for name, path in third_party_imports().items() if name not in names}
    assert not undeclared, f"imported but not declared in pyproject.toml: {undeclared}"


def test_version_is_the_packages_own() -> None:
    assert project()["version"] == facegen.__version__


def test_wheel_bundles_recipes_weights_and_pages() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) == {"facegen", *wheel["sources"]}
    assert wheel["exclude"] == ["weights/training", "docs/images"]  # needed for training; shown by no terminal
    assert wheel["sources"] == {name: f"facegen/_bundled/{name}" for name in ("pipelines", "weights", "docs")}


@pytest.mark.parametrize("name", ["FacePipeline", "restore_photo"])
def test_the_package_exports_its_main_parts(name: str) -> None:
    assert callable(getattr(facegen, name))
    assert name in facegen.__all__


@pytest.mark.parametrize("code", ["import facegen", HELP], ids=["import", "help"])
def test_starts_without_heavy_imports(code: str) -> None:
    loaded = run_python(LOADED + code, "--help").rpartition("loaded:")[2].split()
    assert "facegen" in loaded
    assert not set(loaded) & set(HEAVY)


def test_help_comes_at_once() -> None:
    """Within half a second of processor time, which other work on the machine changes little."""

    def seconds() -> float:
        before = os.times()
        assert "sample" in run_python(HELP, "--help")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5
