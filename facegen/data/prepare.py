"""Turn a folder of photos into a set: only new and changed photos are cut, and a kill loses no finished work."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple
from io import StringIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from facegen.data.cutting import CROP_NAME, Cut, Photo, PhotoCutter, Suffix, name_below
from facegen.data.manifest import MANIFEST, Entry, harmless, read_manifest, run_saving, table_into, write_manifest
from facegen.data.reading import Name, Pixels, open_plain, parse_json
from facegen.errors import FileError, UsageError
from facegen.files import sha256_of, write_text
from facegen.jobs import Outcome, Task, find_tasks

LEDGER, LEFT_OUT = "prepare.json", "left-out.csv"
"""Files of a set: its settings and photos, and the heads that were not cut out."""


class Ledger(BaseModel):
    """The settings of a set, and its photos by their path below the folder of photos."""

    model_config = ConfigDict(extra="forbid")

    raw: Name
    size: Pixels
    suffix: Suffix
    photos: dict[Name, Photo] = Field(default_factory=dict)


class Preparation:
    """Turns a folder of photos into a set.

    Raises:
        UsageError: if the set was made with other settings, or is the folder of photos itself.
        FileError: if there is no photo, or the set's ledger or manifest cannot be read.
    """

    def __init__(self, cutter: PhotoCutter) -> None:
        self.cutter, self.raw, self.out = cutter, cutter.raw, cutter.out
        tasks = find_tasks([self.raw], self.out, clips=False)
        if [task.source for task in tasks] == [self.raw]:
            raise FileError(f"{self.raw}: no pictures below this folder; name the folder of your photos.")
        self.tasks = {task.source.relative_to(self.raw).as_posix(): task for task in tasks}
        new = Ledger(raw=str(self.raw.resolve()), size=cutter.size, suffix=cutter.suffix)
        self.ledger = open_ledger(self.out, new)
        self.entries: dict[str, list[Entry]] = {}
        for entry in read_manifest(self.out) if (self.out / MANIFEST).is_file() else ():
            self.entries.setdefault(entry.source, []).append(entry)

    def find_changes(self, seen: Callable[[], None] = lambda: None) -> list[Task]:
        """List the photos to cut, in order of name; `seen` is called after each photo in the folder.

        A photo is done if its name, size and time are as before, or its name and bytes. Of photos with the same bytes
        one is cut: the one that was cut before, or the first by name.
        """
        photos = self.ledger.photos
        found: dict[str, Photo | None] = {}
        for name in sorted(self.tasks):
            found[name] = self._describe(name)
            seen()
        now = {name: photo.sha256 for name, photo in found.items() if photo}
        firsts = {p.sha256: n for n, p in photos.items() if not p.duplicate_of and now.get(n, p.sha256) == p.sha256}
        todo = []
        for name, photo in found.items():
            if photo is None:  # cutting it will report why it cannot be read
                todo.append(self.tasks[name])
            elif (first := firsts.setdefault(photo.sha256, name)) != name:
                self._replace_crops(name, ())
                photos[name] = photo.model_copy(update={"duplicate_of": first})
            elif self._is_done(name, photo):
                photos[name] = photos[name].model_copy(update={"bytes": photo.bytes, "modified": photo.modified})
            else:
                todo.append(self.tasks[name])
        return todo

    def cut(self, todo: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
        """Cut photos, saving every few seconds and at the end; close the iterator to stop early."""
        return run_saving(todo, self.cutter, jobs, self._take, self._save)

    def totals(self, failed: int) -> dict[str, int]:
        """Count the photos in the folder, their faces, and the crops' photos that are no longer there."""
        here = [photo for name, photo in self.ledger.photos.items() if name in self.tasks]
        firsts = [photo for photo in here if not photo.duplicate_of]
        reasons = [left.reason for photo in firsts for left in photo.left_out]
        faces = sum(photo.faces for photo in firsts)
        return {
            "photos": len(self.tasks),
            "the same as another": len(here) - len(firsts),
            "no face": sum(photo.faces == 0 for photo in firsts),
            "failed": failed,
            "faces": faces,
            **{reason: reasons.count(reason) for reason in sorted(set(reasons), reverse=True)},
            "written": faces - len(reasons),
            "gone, crops kept": len(self.entries.keys() - self.tasks.keys()),
        }

    def _save(self) -> None:
        """Write the manifest, and then the ledger, by which the next run knows that these photos are done."""
        self.out.mkdir(parents=True, exist_ok=True)
        rows = sorted((e for entries in self.entries.values() for e in entries), key=lambda e: (e.source, e.face))
        write_manifest(self.out, rows)
        save_ledger(self.out, self.ledger)

    def _describe(self, name: str) -> Photo | None:
        """Describe a photo's file, which is read only if its size or time has changed; None if it cannot be read."""
        path, known = self.tasks[name].source, self.ledger.photos.get(name)
        with suppress(OSError, FileError):
            name_below(self.raw, path)
            status = path.stat()
            if known is not None and (known.bytes, known.modified) == (status.st_size, status.st_mtime_ns):
                sha256 = known.sha256
            else:
                sha256 = sha256_of(path)
            return Photo(bytes=status.st_size, modified=status.st_mtime_ns, sha256=sha256)
        return None

    def _is_done(self, name: str, photo: Photo) -> bool:
        known, crops = self.ledger.photos.get(name), self.entries.get(name, [])
        return (
            known is not None
            and not known.duplicate_of
            and known.sha256 == photo.sha256
            and len(crops) == known.faces - len(known.left_out)
            and all((self.out / entry.file).is_file() for entry in crops)
        )

    def _take(self, cut: Outcome) -> None:
        if isinstance(cut, Cut) and cut.photo:
            name = name_below(self.raw, cut.source)
            self._replace_crops(name, cut.entries)
            self.ledger.photos[name] = cut.photo

    def _replace_crops(self, name: str, entries: Iterable[Entry]) -> None:
        """Replace a photo's old crops by its new ones; the entry of a file whose bytes are the same stays."""
        old = {entry.file: entry for entry in self.entries.pop(name, [])}
        new = [old[e.file] if e.file in old and old[e.file].sha256 == e.sha256 else e for e in entries]
        if new:
            self.entries[name] = new
        for file in old.keys() - {entry.file for entry in new}:
            if CROP_NAME.fullmatch(file) and not (self.out / file).parent.is_symlink():  # a stranger's manifest may lie
                (self.out / file).unlink(missing_ok=True)


def read_ledger(folder: Path) -> Ledger | None:
    """Read a set's ledger; None if there is none."""
    path = folder / LEDGER
    try:
        with open_plain(path) as file:
            return Ledger.model_validate(parse_json(file.read()))
    except FileNotFoundError:
        return None
    except ValueError:
        raise FileError(f"{path}: is not as facegen wrote it; remove it to look at every photo again.") from None


def open_ledger(folder: Path, new: Ledger) -> Ledger:
    """Add the photos in a set's ledger, if it has one, to a new one; UsageError if the settings differ."""
    old = read_ledger(folder)
    if old is None or not old.photos:
        return new
    if (old.size, old.suffix) != (new.size, new.suffix):
        options = f"--size {old.size} --format {old.suffix.removeprefix('.')}"
        raise UsageError(f"{folder}: was prepared with {options}; give the same, or choose another --out.")
    if old.raw != new.raw and Path(old.raw).is_dir():  # else the photos were moved
        raise UsageError(f"{folder}: was prepared from {old.raw}; add photos there, or choose another --out.")
    return new.model_copy(update={"photos": old.photos})


def save_ledger(folder: Path, ledger: Ledger) -> None:
    """Write a set's ledger and the list of omitted heads, both in order of name."""
    photos = dict(sorted(ledger.photos.items()))
    content = ledger.model_copy(update={"photos": photos}).model_dump()
    table = StringIO()
    rows = [(name, *astuple(left)) for name, photo in photos.items() for left in photo.left_out]
    table_into(table).writerows([("source", "face", "side", "reason"), *((harmless(row[0]), *row[1:]) for row in rows)])
    write_text(folder / LEFT_OUT, table.getvalue())
    write_text(folder / LEDGER, json.dumps(content, indent=0) + "\n")
