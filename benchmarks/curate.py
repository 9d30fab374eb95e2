"""How long `facegen data curate` takes to open 10,000 pictures, and how fast it then takes labels.

    python -m benchmarks.curate [--pictures 10000] [--runs 5]

The set is made of hard links to 200 pictures of 768 px, with a manifest as `prepare` and `clean` leave it, and again as
a plain folder. Each run is a fresh process. Prints medians and ranges: from the command to its address and to the first
picture on the screen of a browser that is open already (Playwright and Chromium), the processor time until then, which
depends less on what else runs, and the time of one label, until it is on the disk, and of one picture made anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from facegen.data.clean.judge import DETECTORS
from facegen.data.manifest import DOUBT, MANIFEST, Entry, write_manifest
from facegen.media.images import write_image

if TYPE_CHECKING:
    from playwright.sync_api import Page

COMMAND = (sys.executable, "-m", "facegen", "data", "curate")
SIDE, DIFFERENT, SOME = 768, 200, 50
MEASURES = (*DETECTORS, DOUBT)
SHOWN = "() => [...document.querySelectorAll('.card:not([inert]) img')].some(i => i.complete && i.naturalWidth)"


def make_set(folder: Path, count: int) -> None:
    """Write noise on a gradient, links to it, and a manifest."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, SIDE)[:, None, None]
    for number in range(min(DIFFERENT, count)):
        write_image(folder / f"{number:05}.jpg", (ramp + rng.integers(0, 55, (SIDE, SIDE, 3))).astype(np.uint8))
    for number in range(DIFFERENT, count):
        (folder / f"{number:05}.jpg").hardlink_to(folder / f"{number % DIFFERENT:05}.jpg")
    write_manifest(folder, (_entry(number, rng) for number in range(count)))


def opening(folder: Path, page: Page) -> dict[str, float]:
    """Seconds of one run, and of one label and one picture in it."""
    shutil.rmtree(folder / "labels", ignore_errors=True)
    started = time.perf_counter()
    process = subprocess.Popen([*COMMAND, str(folder), "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    seconds = {"to the address": time.perf_counter() - started}
    page.goto(f"{address}?rater=anna")
    page.wait_for_function(SHOWN, polling=10)
    seconds["to the first picture on the screen"] = time.perf_counter() - started
    seconds["processor time until then"] = _processor_seconds(process.pid)
    seconds |= _answers(address)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    return seconds


def _answers(address: str) -> dict[str, float]:
    """Mean seconds of a label and of a picture, one after the other."""
    with httpx.Client(base_url=address, trust_env=False) as client:
        faces = client.get("/api/faces?rater=anna&start=1000").json()
        keys = [face["key"] for face in faces] * 2
        started = time.perf_counter()
        for number, key in enumerate(keys[:SOME]):
            label = "keep" if number < len(faces) else "drop"
            client.post("/api/labels", json={"rater": "bert", "face": key, "label": label}).raise_for_status()
        labelled = time.perf_counter()
        for face in faces:
            client.get(f"/pictures/{face['key']}?side={SIDE}").raise_for_status()
        ended = time.perf_counter()
    return {"one label": (labelled - started) / SOME, "one picture": (ended - labelled) / len(faces)}


def _processor_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux, proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _entry(number: int, rng: np.random.Generator) -> Entry:
    """With as many measures as `clean` makes."""
    measures = {
        name: round(float(value), 4) for name, value in zip(MEASURES, rng.random(len(MEASURES)) * 1.1, strict=True)
    }
    reasons = ("blurred",) if measures[DOUBT] >= 1 else ()
    points = tuple((round(float(x), 2), round(float(y), 2)) for x, y in rng.random((68, 2)) * SIDE)
    return Entry(
        f"{number:05}.jpg", f"photo{number:05}.jpg", "0" * 64, 1, (500.5, 400.5, 800.25, 1.5), points, SIDE,
        measures["blurred"], "0" * 64, "drop" if reasons else "keep", reasons, measures,
    )  # fmt: skip


def show(title: str, runs: Sequence[dict[str, float]]) -> None:
    """Median and range of each figure."""
    table = Table("what", "median s", "min", "max", title=title)
    for name in runs[0]:
        values = [run[name] for run in runs]
        table.add_row(name, *(f"{value:.3f}" for value in (statistics.median(values), min(values), max(values))))
    Console().print(table)


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        make_set(folder, args.pictures)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        show(f"{args.pictures:,} pictures with a manifest", [opening(folder, page) for _ in range(args.runs)])
        (folder / MANIFEST).unlink()
        show(f"{args.pictures:,} pictures, plain folder", [opening(folder, page) for _ in range(args.runs)])
        browser.close()


if __name__ == "__main__":
    main()
