"""Where the shipped recipes and weights lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    bundled = _PACKAGE / "_bundled" / name  # looked for first: site-packages may hold a stranger's "weights"
    return bundled if bundled.is_dir() else _PACKAGE.parent / name


PIPELINES = _shipped("pipelines")
WEIGHTS = _shipped("weights")
