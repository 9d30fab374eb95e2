"""The command line on tiny weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
import torch
from click.testing import CliRunner, Result

from facegen.cli.main import cli
from facegen.video.store import FrameStore
from tests import tiny

Facegen = Callable[..., Result]


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline recipe of tiny networks, one candidate per tile."""
    return tiny.save_all(tmp_path_factory.mktemp("tiny"), extra="candidates.variants = []")


@pytest.fixture
def facegen() -> Facegen:
    """Run the command line; return its status, stdout and stderr, and fail on a traceback."""

    def run(*words: object) -> Result:
        result = CliRunner().invoke(cli, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def own_threads() -> Iterator[None]:
    """Restore the number of threads for other tests."""
    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(others)


def leftovers(folder: Path) -> list[Path]:
    """List the temporary files below a folder."""
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".")]


def contents(folder: Path) -> dict[str, bytes]:
    """Read each file below a folder, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


_add = FrameStore.add


def stop_at_third(store: FrameStore, *words: object) -> None:
    """Add two frames as `FrameStore.add` does, and raise Ctrl-C at the third."""
    if store.done == 2:
        raise KeyboardInterrupt
    _add(store, *words)  # type: ignore[arg-type]
