"""What is installed, and whether it works: the checks behind `facegen doctor`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from facegen import __version__
from facegen.errors import FacegenError
from facegen.precision import bf16_is_fast, resolve, resolve_device
from facegen.weights import MODELS, load_network, read_card, weight_folders

PACKAGES = ("torch", "dlib-bin", "opencv-python-headless", "numpy", "pillow", "scikit-image")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    found: str
    ok: bool = True


def checks() -> list[Check]:
    """Everything, in the order printed."""
    return [
        *_versions(),
        *_machine(),
        *_weights(),
        _attempt("landmark model", _landmarks),
        _attempt("self-test", _sample),
    ]


def _versions() -> Iterator[Check]:
    yield Check("facegen", __version__)
    yield Check("python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Check(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(package, "not installed under this name")


def _machine() -> Iterator[Check]:
    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    yield Check("device", f"{device} ({name})")
    yield Check("threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors")
    yield Check("precision", f"{resolve('auto')}; bfloat16 faster here: {'yes' if bf16_is_fast() else 'no'}")


def _weights() -> Iterator[Check]:
    folders = weight_folders()
    if not folders:
        yield Check("weights", "none found", ok=False)
    for folder in folders:
        yield _attempt(f"weights {folder.name}", partial(_loaded, folder))


def _loaded(folder: Path) -> str:
    _, model = MODELS[read_card(folder).kind]
    _, card = load_network(str(folder.resolve()), model)
    return f"{card.kind}, {card.images_seen:,} images seen, sha256 {card.sha256[:16]}"


def _landmarks() -> str:
    import numpy as np

    from facegen.faces.landmarks import landmarks_in_head

    points = landmarks_in_head(np.zeros((128, 128, 3), np.uint8)).points
    return f"{len(points)} points"


def _sample() -> str:
    from facegen.pipeline import FacePipeline

    started = time.perf_counter()
    upscaled = FacePipeline.load().sample(seed=0, size=256)
    if not torch.isfinite(upscaled.image).all():
        raise FacegenError("the sample has pixels that are not numbers; try --set precision=fp32 with sample.")
    seconds = time.perf_counter() - started
    return f"a {upscaled.image.shape[-1]} px sample from seed 0 in {seconds:.1f} s, weights and landmark model loaded"


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, check())
    except FacegenError as error:
        return Check(name, str(error), ok=False)
    except Exception as error:  # whatever error a broken installation gives is what is to be reported
        return Check(name, f"{type(error).__name__}: {error}", ok=False)
