"""Train with the archives in this folder. Needs Python 3.11 or newer and torch; no network, and no installation.

    python3 train.py [--minutes 5] [--out results] [--stage '[NAME=]RECIPE TIME [options of facegen train]' ...]

Without --stage, both stages train from scratch for --minutes each. With it, each given stage trains in turn:

    python3 train.py --stage 'jnet-8x 4m --from jnet-8x' --stage 'mine=dcgan-128 90s'

Writes runs/NAME (checkpoints, samples, figures) and weights/NAME, ready for `facegen evaluate`, into --out. The same
command goes on with an interrupted run. --pieces also writes the weights, as archives in pieces, into another folder,
for machines that limit the size of files that come back.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

HELD_OUT = {"portraits": 60, "faces": 400}
"""Pictures held out of training, unless a stage's options state another number."""
NEEDED = {
    "torch": "torch", "numpy": "numpy", "cv2": "opencv-python-headless", "PIL": "pillow", "safetensors": "safetensors",
    "matplotlib": "matplotlib", "jinja2": "jinja2", "filelock": "filelock", "fsspec": "fsspec", "google": "protobuf",
    "packaging": "packaging",
}  # fmt: skip
"""Modules that training imports and that the pack does not hold by default -> their packages."""
UNITS = {"s": 1, "m": 60, "h": 3600}
RESERVE = 45
"""Seconds of --limit that are reserved for loading and publishing."""
SUFFIXES = ("-encoder", "-heads", "-patchgan", "-discriminator")
"""Suffixes of the networks that are published with a generator."""
MIB = 2**20


@dataclass(frozen=True)
class Stage:
    """A training of one network."""

    name: str
    recipe: str
    seconds: float
    options: str
    """More options of `facegen train`."""


def read_stage(text: str) -> Stage:
    """Read "[NAME=]RECIPE TIME [options]"; the default name is the recipe's."""
    found = re.fullmatch(r"(?:([\w.+-]+)=)?(\S+)\s+(\d+(?:\.\d+)?)([smh])(?:\s+(.*))?", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected '[NAME=]RECIPE TIME [options]', as in 'jnet-8x 4m'")
    name, recipe, number, unit, options = found.groups(default="")
    return Stage(name or Path(recipe).stem, recipe, float(number) * UNITS[unit], options)


def unpack(pack: Path, work: Path) -> None:
    """Unpack every archive of the pack into one folder."""
    for path in sorted(pack.glob("*.tar.gz")):
        with tarfile.open(path) as archive:
            archive.extractall(work, filter="data")


def check_python(site: Path) -> None:
    """End with a message if this Python lacks a package, or the packed ones are for another version."""
    path = [str(site), *sys.path]
    lacking = [package for name, package in NEEDED.items() if PathFinder.find_spec(name, path) is None]
    if lacking:
        raise SystemExit(f"{sys.executable} lacks {', '.join(lacking)}: install it, or pack it with --package.")
    version = sys.version_info
    compiled = list(site.glob("pydantic_core/*.so"))
    if compiled and f"cpython-{version.major}{version.minor}-" not in compiled[0].name:
        wanted = f"{version.major}.{version.minor}"
        raise SystemExit(f"{sys.executable} is Python {wanted}, for which nothing is packed: --python {wanted}.")


def train_command(stage: Stage, work: Path, run: Path, seconds: float) -> list[str]:
    """The arguments of `facegen train`; a run with checkpoints is resumed."""
    shipped = work / "code" / "pipelines" / "train" / f"{stage.recipe}.toml"
    recipe = shipped if shipped.is_file() else Path(stage.recipe)
    kind = tomllib.loads(recipe.read_text(encoding="utf-8"))["kind"]
    data = "faces" if kind == "dcgan" else "portraits"
    words = ["train", str(recipe), "--data", str(work / data), "--out", str(run), "--time", f"{seconds:.0f}s"]
    options = stage.options
    if any((run / "checkpoints").glob("*.pt")):
        words.append("--resume")
        options = re.sub(r"--from[\s=]+\S+", "", options)  # a resumed run refuses it
    return [*words, "--set", f"data.held_out={HELD_OUT[data]}", *shlex.split(options)]


def run_stage(stage: Stage, work: Path, out: Path, seconds: float) -> list[Path]:
    """Train and publish one stage; returns the folders of its weights, none if it failed before its first checkpoint.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(work / "code"), str(work / "site")])}

    def facegen(words: Sequence[str]) -> int:
        print("facegen", shlex.join(words), flush=True)
        return subprocess.run([sys.executable, "-m", "facegen", *words], env=environment, check=False).returncode

    run, weights = out / "runs" / stage.name, out / "weights"
    code = facegen(train_command(stage, work, run, seconds))
    recipe = f"pipelines/train/{Path(stage.recipe).stem}.toml"
    if facegen(["publish", str(run), stage.name, "--out", str(weights), "--recipe", recipe]) or code:
        print(f"{stage.name}: failed; see above.", flush=True)
    names = [stage.name + suffix for suffix in ("", *SUFFIXES)]
    found = [folder / name for folder in (weights, weights / "training") for name in names]
    return [folder for folder in found if folder.is_dir()]


def write_pieces(folders: Sequence[Path], out: Path, archive: Path, limit: int) -> list[Path]:
    """Write folders in `out` as pieces of one archive, ARCHIVE.0000, ... of at most `limit` bytes; earlier ones go."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    for old in archive.parent.glob(f"{archive.name}.*"):
        old.unlink()
    with tarfile.open(archive, "w") as tar:
        for folder in folders:
            tar.add(folder, folder.relative_to(out))
    written = []
    with archive.open("rb") as file:
        for number, content in enumerate(iter(lambda: file.read(limit), b"")):
            written.append(archive.with_name(f"{archive.name}.{number:04}"))
            written[-1].write_bytes(content)
    archive.unlink()
    return written


def report(run: Path) -> Iterator[Path]:
    """The small files of a run that show how it went: figures, charts, the newest sheet of samples."""
    yield from (path for path in (run / "stats.jsonl", run / "losses.png", run / "recipe.toml") if path.is_file())
    yield from sorted((run / "samples").glob("*"))[-1:]


def parse() -> argparse.Namespace:
    """Read the command line; without --stage, both stages for --minutes each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="for each of the two stages, without --stage")
    parser.add_argument("--stage", action="append", type=read_stage, help="as above; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--work", type=Path, default=Path("unpacked"), help="folder to unpack into")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds for all stages, which are shortened")
    parser.add_argument("--pieces", type=Path, help="folder for archives of the weights")
    parser.add_argument("--mib", type=int, default=15, help="largest size of a piece")
    options = parser.parse_args()
    options.stage = options.stage or [read_stage(f"{r} {options.minutes}m") for r in ("dcgan-128", "jnet-8x")]
    return options


def main() -> int:
    """Run the stages one after the other; 1 if one of them left no weights."""
    started, options = time.monotonic(), parse()
    work, out = options.work.resolve(), options.out.resolve()
    unpack(Path(__file__).parent, work)
    check_python(work / "site")
    missing = []
    for stage in options.stage:
        left = options.limit - (time.monotonic() - started) - RESERVE
        if left < 1:
            print(f"{stage.name}: not started, --limit is reached.")
            missing.append(stage.name)
            continue
        folders = run_stage(stage, work, out, min(stage.seconds, left))
        if not folders:
            missing.append(stage.name)
        elif options.pieces:
            files = [*folders, *report(out / "runs" / stage.name)]
            pieces = write_pieces(files, out, options.pieces / f"{stage.name}.tar", options.mib * MIB)
            print(f"{len(pieces)} piece(s). Join them with: cat {stage.name}.tar.* | tar x", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
