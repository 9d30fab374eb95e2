"""Frames kept on disk: whole after any kill, of one key, for one process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facegen.arrays import RGB
from facegen.errors import FileError
from facegen.video.store import JSON, FrameStore, State

FRAME = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
KEY: dict[str, JSON] = {"recipe": "portrait", "seeds": [1, 2], "size": 64}
COUNTER = """
import sys
from pathlib import Path
import numpy as np
from facegen.video.store import FrameStore
with FrameStore(Path(sys.argv[1]), {}) as store:
    state = store.state() or {"sum": np.zeros(20_000)}
    while True:
        state = {"sum": state["sum"] + 1}
        store.add(np.full((64, 64, 3), store.done % 256, np.uint8), state)
"""


def grey(value: int) -> RGB:
    return np.full((4, 4, 3), value, np.uint8)


def state_of(value: int) -> State:
    return {"previous": grey(value), "level": np.float64(value / 3)}  # type: ignore[dict-item]


def test_frames_and_the_latest_state_come_back(tmp_path: Path) -> None:
    with FrameStore(tmp_path / "frames", KEY) as store:
        assert (store.done, store.state(), list(store.frames())) == (0, None, [])
        for number in range(1, 6):
            store.add(grey(number), state_of(number))
    with FrameStore(tmp_path / "frames", dict(reversed(KEY.items()))) as again:
        assert again.done == 5
        assert [int(frame[0, 0, 0]) for frame in again.frames()] == [1, 2, 3, 4, 5]
        state = again.state()
        assert state is not None
        np.testing.assert_array_equal(state["previous"], grey(5))
        assert float(state["level"]) == 5 / 3
        again.add(grey(6), state_of(6))
        assert again.done == 6
        assert len(list(again.folder.glob("*.npz"))) == 2
        again.remove()
    assert not (tmp_path / "frames").exists()


def test_frames_of_another_key_are_dropped_with_a_word(tmp_path: Path) -> None:
    with FrameStore(tmp_path, KEY) as store:
        store.add(FRAME, {})
    warnings: list[str] = []
    with FrameStore(tmp_path, KEY | {"size": 128}, warn=warnings.append) as other:
        assert other.done == 0
    assert warnings == [f"{tmp_path}: its frames were made with other options or inputs; they are made again."]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with FrameStore(tmp_path, KEY) as store:
        with pytest.raises(FileError, match="another process is making these frames"):
            FrameStore(tmp_path, KEY)
        store.add(FRAME, {})
    with FrameStore(tmp_path, KEY) as again:
        assert again.done == 1


def test_without_a_frame_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FrameStore(tmp_path / "frames", KEY):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file: cannot be written"):
        FrameStore(tmp_path / "file", KEY)


def test_a_process_killed_between_state_and_frame(tmp_path: Path) -> None:
    with FrameStore(tmp_path, KEY) as store:
        store.add(grey(1), state_of(1))
        store.add(grey(2), state_of(2))
    (tmp_path / "000002.png").unlink()
    (tmp_path / "000003.png.tmp").write_bytes(b"half a fra")
    with FrameStore(tmp_path, KEY) as again:
        assert again.done == 1
        state = again.state()
        assert state is not None
        np.testing.assert_array_equal(state["previous"], grey(1))


def test_killed_at_any_moment_it_goes_on_with_whole_frames(tmp_path: Path) -> None:
    made = 0
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", COUNTER, str(tmp_path)])
        wanted = made + 6
        while not (tmp_path / f"{wanted:06d}.png").exists():
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        with FrameStore(tmp_path, {}) as store:
            state = store.state()
            assert store.done >= wanted
            made = store.done
            assert state is not None
            assert state["sum"][0] == made
            assert [int(frame[0, 0, 0]) for frame in store.frames()] == [n % 256 for n in range(made)]
