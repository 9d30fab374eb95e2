"""A folder of photos into a set: only what is new or changed is cut, and what was done survives a kill."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress

from facegen.data.cutting import Cut, PhotoCutter, name_below
from facegen.data.ledger import Ledger, Photo, open_ledger, save_ledger
from facegen.data.manifest import MANIFEST, Entry, read_manifest, write_manifest
from facegen.data.saving import run_saving
from facegen.errors import FileError, ImageError
from facegen.files import sha256_of
from facegen.jobs import Outcome, Task, find_tasks


class Preparation:
    """A folder of photos on its way into a set.

    Args:
        cutter: names both folders, and what the crops are to be.
    Raises:
        UsageError: if the set was made otherwise, or is the folder of photos itself.
        ImageError: if there is no photo, or what the set remembers cannot be read.
    """

    def __init__(self, cutter: PhotoCutter) -> None:
        self.cutter, self.raw, self.out = cutter, cutter.raw, cutter.out
        tasks = find_tasks([self.raw], self.out, clips=False)
        if [task.source for task in tasks] == [self.raw]:
            raise ImageError(f"{self.raw}: no pictures below this folder; name the folder of your photos.")
        self.tasks = {task.source.relative_to(self.raw).as_posix(): task for task in tasks}
        asked = Ledger(raw=str(self.raw.resolve()), size=cutter.size, suffix=cutter.suffix)
        self.ledger = open_ledger(self.out, asked)
        self.entries: dict[str, list[Entry]] = {}
        for entry in read_manifest(self.out) if (self.out / MANIFEST).is_file() else ():
            self.entries.setdefault(entry.source, []).append(entry)

    def look(self, seen: Callable[[], None] = lambda: None) -> list[Task]:
        """See what is to be done: a photo of the same name, size and time, or with the same bytes, is done already.

        Of photos with the same bytes one is cut: the one that was before, or the first by name.

        Args:
            seen: called after each photo.
        Returns:
            the tasks to do, in order of name.
        """
        photos = self.ledger.photos
        found: dict[str, Photo | None] = {}
        for name in sorted(self.tasks):
            found[name] = self._now(name)
            seen()
        now = {name: photo.sha256 for name, photo in found.items() if photo}
        firsts = {p.sha256: n for n, p in photos.items() if not p.duplicate_of and now.get(n, p.sha256) == p.sha256}
        todo = []
        for name, photo in found.items():
            if photo is None:  # cannot be read: the attempt will say why
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
        """Cut what is to be done, saving every few seconds and at the end.

        Close the iterator to stop early; what is done by then is saved.

        Args:
            jobs: processes.
        Raises:
            ImageError: if the set cannot be written.
        """
        yield from run_saving(todo, self.cutter, jobs, self._take, self._save)

    def totals(self, failed: int) -> dict[str, int]:
        """What became of the photos that are in the folder now, and how many others the set still has crops of."""
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
        """Write the manifest, and after it what tells the next run that these photos are in it."""
        self.out.mkdir(parents=True, exist_ok=True)
        rows = sorted((e for entries in self.entries.values() for e in entries), key=lambda e: (e.source, e.face))
        write_manifest(self.out, rows)
        save_ledger(self.out, self.ledger)

    def _now(self, name: str) -> Photo | None:
        """The photo as it is; its bytes are read only if size or time tell of a change. None if it cannot be read."""
        path, known = self.tasks[name].source, self.ledger.photos.get(name)
        with suppress(OSError, FileError):
            name_below(self.raw, path)
            status = path.stat()
            same = known is not None and (known.bytes, known.modified) == (status.st_size, status.st_mtime_ns)
            sha256 = known.sha256 if known is not None and same else sha256_of(path)
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
        if not isinstance(cut, Cut):
            return  # it failed, and says why
        name = name_below(self.raw, cut.source)
        self._replace_crops(name, cut.entries)
        self.ledger.photos[name] = Photo(
            bytes=cut.bytes, modified=cut.modified, sha256=cut.sha256, faces=cut.faces, left_out=cut.left_out
        )

    def _replace_crops(self, name: str, entries: Iterable[Entry]) -> None:
        """Put a photo's new crops in the place of its old ones; a row of the same file and bytes stays as it was."""
        old = {entry.file: entry for entry in self.entries.pop(name, [])}
        new = [old[e.file] if e.file in old and old[e.file].sha256 == e.sha256 else e for e in entries]
        if new:
            self.entries[name] = new
        for file in old.keys() - {entry.file for entry in new}:
            (self.out / file).unlink(missing_ok=True)
