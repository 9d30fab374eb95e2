"""Checkpoints: complete or absent, the last two and the best one kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch import nn

from facegen.errors import TrainingError
from facegen.training.checkpoints import (
    KIND,
    best_note,
    checkpoints,
    load_state,
    save_checkpoint,
    save_if_best,
    state_of,
)
from facegen.training.muon import Muon
from facegen.training.objectives import Phase


def state(images: int, value: float = 0.0) -> dict[str, Any]:
    return {"step": images // 2, "images": images, "modules": {"line": {"weight": torch.full((2,), value)}}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def best(folder: Path) -> int:
    """The images that the best checkpoint had seen, by the file itself and by the note beside it."""
    saved = torch.load(folder / "checkpoints" / "best.pt", weights_only=True)
    note = json.loads((folder / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    assert saved["images"] == note["images"]
    return int(note["images"])


def fail_after(written: bytes) -> Any:
    """A torch.save that is cut short."""

    def save(_: object, file: BinaryIO) -> None:
        file.write(written)
        raise OSError("no space left")

    return save


class TestNewest:
    def test_the_last_two_by_number(self, tmp_path: Path) -> None:
        for images in (2, 10, 999_999_998, 1_000_000_000):  # the last one's name is longer
            path = save_checkpoint(tmp_path, state(images))
            assert checkpoints(tmp_path)[-1] == path
            assert torch.load(path, weights_only=True)["images"] == images
        assert names(tmp_path) == ["1000000000.pt", "999999998.pt"]

    def test_other_files_stay_and_leftovers_go(self, tmp_path: Path) -> None:
        save_checkpoint(tmp_path, state(2))
        for name in ("mine.pt", "12a.pt", "notes.txt", "000000004.tmp"):
            (tmp_path / "checkpoints" / name).write_bytes(b"")
        for images in (4, 6):
            save_checkpoint(tmp_path, state(images))
        assert names(tmp_path) == ["000000004.pt", "000000006.pt", "12a.pt", "mine.pt", "notes.txt"]

    def test_cut_short_leaves_those_before(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for images in (2, 4):
            save_checkpoint(tmp_path, state(images))
        monkeypatch.setattr(torch, "save", fail_after(b"half"))
        for images in (4, 6):  # 4: anew, over itself
            with pytest.raises(OSError, match="no space left"):
                save_checkpoint(tmp_path, state(images))
        assert [path.stem for path in checkpoints(tmp_path)] == ["000000002", "000000004"]
        assert [torch.load(path, weights_only=True)["images"] for path in checkpoints(tmp_path)] == [2, 4]


class TestBest:
    def test_kept_only_if_lower(self, tmp_path: Path) -> None:
        scores = {2: 30.0, 4: 31.0, 6: 30.0, 8: 29.5, 10: 40.0, 12: -1.0, 14: 0.0}
        kept = [images for images, score in scores.items() if save_if_best(tmp_path, state(images), score)]
        assert kept == [2, 8, 12]
        assert best(tmp_path) == 12
        assert names(tmp_path) == ["best.json", "best.pt"]

    def test_kept_apart_from_the_last_two_and_never_pruned(self, tmp_path: Path) -> None:
        for images in (2, 4, 6, 8, 10):
            save_if_best(tmp_path, state(images), abs(images - 4))
            save_checkpoint(tmp_path, state(images))
        assert names(tmp_path) == ["000000008.pt", "000000010.pt", "best.json", "best.pt"]
        assert [path.stem for path in checkpoints(tmp_path)] == ["000000008", "000000010"]
        assert best(tmp_path) == 4

    def test_known_to_a_resumed_run(self, tmp_path: Path) -> None:
        save_if_best(tmp_path, state(2), 1.0)
        note = json.loads((tmp_path / "checkpoints" / "best.json").read_text(encoding="utf-8"))
        assert note == {"images": 2, "score": 1.0}
        assert not save_if_best(tmp_path, state(4), 1.5)

    def test_cut_short_leaves_the_one_before(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        save_if_best(tmp_path, state(2), 1.0)
        monkeypatch.setattr(torch, "save", fail_after(b"half"))
        with pytest.raises(OSError, match="no space left"):
            save_if_best(tmp_path, state(4), 0.5)
        assert best(tmp_path) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 9999, b'{"score": NaN}', b'{"score": "low"}', b"\xff"])
def test_a_damaged_note_of_the_best_is_named_at_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_bytes(content)
    with pytest.raises(TrainingError, match=r"best\.json: is damaged; delete it"):
        best_note(tmp_path)


class TestLoading:
    def line(self, learning_rate: float, **sizes: int) -> tuple[dict[str, nn.Module], tuple[Phase, ...]]:
        """A trained line with a frozen copy beside it."""
        line = nn.Linear(sizes.get("width", 3), 1)
        optimizer = torch.optim.Adam(line.parameters(), lr=learning_rate)
        line(torch.randn(4, line.in_features)).mean().backward()
        optimizer.step()
        return {"line": line, "other": nn.Linear(1, 1)}, (Phase("line", line, optimizer),)

    def test_gives_the_same_state_but_the_recipes_settings(self, tmp_path: Path) -> None:
        first, second = self.line(0.1), self.line(0.7)
        load_state(save_checkpoint(tmp_path, state_of(3, 6, *first)), *second)
        for name, module in first[0].items():
            for key, value in module.state_dict().items():
                assert torch.equal(second[0][name].state_dict()[key], value)
        (old,), (new,) = (phases[0].optimizer.param_groups for _, phases in (first, second))
        assert (old["lr"], new["lr"]) == (0.1, 0.7)
        (before, after) = (phases[0].optimizer.state_dict()["state"] for _, phases in (first, second))
        assert torch.equal(before[0]["exp_avg"], after[0]["exp_avg"])
        assert before[0]["step"] == after[0]["step"] == 1

    @pytest.mark.parametrize(("width", "lost"), [(4, None), (3, "other"), (3, "optimizers")])
    def test_another_recipes(self, width: int, lost: str | None, tmp_path: Path) -> None:
        saved = state_of(3, 6, *self.line(0.1, width=width))
        if lost == "other":
            del saved["modules"]["other"]
        elif lost:
            del saved["optimizers"]["line"]
        path = save_checkpoint(tmp_path, saved)
        with pytest.raises(TrainingError, match=r"000000006\.pt: made by another recipe .* or another --out") as caught:
            load_state(path, *self.line(0.1))
        assert "\n" not in str(caught.value)

    def test_another_optimizer(self, tmp_path: Path) -> None:
        path = save_checkpoint(tmp_path, state_of(3, 6, *self.line(0.1)))
        modules, (phase,) = self.line(0.1)
        muon = Phase("line", phase.module, Muon(phase.module.parameters(), lr=0.1))
        with pytest.raises(TrainingError, match=r"another recipe \(the line's optimizer was not Muon\)"):
            load_state(path, modules, (muon,))

    def test_a_checkpoint_without_the_optimizers_name_is_adams(self, tmp_path: Path) -> None:
        saved = state_of(3, 6, *self.line(0.1))
        assert saved["optimizers"]["line"].pop(KIND) == "Adam"
        load_state(save_checkpoint(tmp_path, saved), *self.line(0.1))

    @pytest.mark.parametrize("content", [b"", b"damaged", None], ids=["empty", "other", "cut"])
    def test_damaged(self, content: bytes | None, tmp_path: Path) -> None:
        path = save_checkpoint(tmp_path, state_of(3, 6, *self.line(0.1)))
        path.write_bytes(path.read_bytes()[:-500] if content is None else content)
        with pytest.raises(TrainingError, match=r"000000006\.pt: cannot be read .*delete it to go on from the"):
            load_state(path, *self.line(0.1))
