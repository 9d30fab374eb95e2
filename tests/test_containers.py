"""Dockerfile, dev container and release workflow are valid, and name files and targets that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_hadolint_accepts_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_docker_keeps_what_the_wheel_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {"facegen", "pipelines", "weights", "docs", "LICENSE", "README.md", "constraints.txt"} & set(ignored)


def test_the_dev_container_runs_a_make_target() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    make, target, *settings = container["postCreateCommand"].split()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert make == "make"
    assert re.search(rf"^{target}:", makefile, flags=re.M)
    assert all(re.search(rf"^{setting.partition('=')[0]} \?=", makefile, flags=re.M) for setting in settings)


def workflow(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_complete(path: Path) -> None:
    jobs = workflow(path)["jobs"]
    for job in jobs.values():
        assert job["runs-on"]
        assert job.get("needs", next(iter(jobs))) in jobs
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+", step.get("uses", "owner/action@v1"))
            assert subprocess.run(["bash", "-n", "-c", step.get("run", "")]).returncode == 0


def test_the_release_runs_the_wheel_on_three_systems_before_it_is_published() -> None:
    jobs = workflow(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    systems = {name.partition("-")[0] for name in jobs["check"]["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert jobs["check"]["needs"] == "build"
    assert jobs["publish"]["needs"] == "check"
    assert "facegen sample" in str(jobs["check"]["steps"])
