"""`facegen upres`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facegen.cli.options import (
    PATH,
    Scale,
    Size,
    cluster_option,
    connect_cluster,
    given_options,
    make_folder,
    photo_format_option,
    pipeline_options,
)
from facegen.cli.printing import say
from facegen.files import find_recipe, is_folder, is_plain, resolved

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from facegen.cli.summary import Forecast
    from facegen.jobs import Outcome, Task
    from facegen.photo_files import FileUpscaler, OnPart
    from facegen.results import UpresOptions

    Upscale = Callable[[Sequence[Task], FileUpscaler, OnPart], Generator[Outcome, None, None]]

PHOTO_OPTIONS = ("scale", "width", "faces", "face_size_min", "background")
"""Options for whole photos, not for --crop and --aligned."""
PICTURE_OPTIONS = ("crop", "aligned", "mask", "before_after", "explain")
"""Options for pictures; with one of them, clips in folders are skipped."""
SHARED_OPTIONS = ("recipe", "overrides", "size", "mask", "strip", "before_after", "explain", "overwrite")
"""Options that have the same name in `UpresOptions`."""


@click.command()
@click.argument("photos", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, default=Path("out"), help="Folder for the results; or a file, for a single photo.")
@click.option(
    "--scale", type=Scale(),
    help="Enlargement of photos: 2, 1.5.  [default: 2 to 8, so that the largest head becomes 768 px wide]",
)
@click.option("--width", type=Size(65_535), help="Width of the results in pixels, instead of --scale.")
@click.option(
    "--faces", metavar="[all|largest|NUMBERS]", default="all",
    help="Faces to upscale; numbers count from the largest: 1,3. The others are treated as background.",
)
@click.option(
    "--face-size-min", type=click.IntRange(min=0), default=0, metavar="PIXELS",
    help="Treat heads that are smaller than this in the photo as background.",
)
@click.option(
    "--background", type=click.Choice(["lanczos", "tiles", "keep"]), default="lanczos",
    help="How to treat the rest of the photo. lanczos: enlarge it by Lanczos interpolation. tiles: upscale it with the "
    "same network, which takes a minute or two per megapixel without a GPU. keep: leave it unchanged; the photo keeps "
    "its size.",
)
@click.option(
    "--mask", type=PATH, metavar="FILE",
    help="A picture of the photo's shape: where it is white, the photo is only enlarged, with soft edges; where it is "
    "black, the photo is restored. It applies to each of several PHOTOS.",
)
@click.option("--crop", is_flag=True, help="Cut out every head, upright, and upscale it to --size.")
@click.option("--aligned", is_flag=True, help="PHOTOS are square crops of upright heads; upscale each to --size.")
@click.option("--size", type=Size(), default=768, help="Side of the results of --crop and --aligned in pixels.")
@photo_format_option
@click.option("--strip", is_flag=True, help="Do not copy metadata such as camera, place and time (EXIF, XMP).")
@click.option("--before-after", is_flag=True, help="Also write the original and the result side by side.")
@click.option("--explain", is_flag=True, help="Also write which candidate was chosen for each tile, and why.")
@click.option("--overwrite", is_flag=True, help="Make results again, and replace files that facegen did not write.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Number of files to upscale at a time.")
@cluster_option
@pipeline_options
def upres(
    photos: tuple[Path, ...],
    out: Path,
    jobs: int,
    cluster: str | None,
    recipe: str,
    device: str,
    **options: Any,
) -> None:
    """Upscale PHOTOS: files, or folders with everything below them.

    Every face is found, upscaled by the network and put back in its place. The result of photo.jpg at scale 4 is
    out/photo-x4.jpg.

    Video clips (mp4, mov, mkv, webm, avi and others) are upscaled too, to out/NAME-xN.mp4, with their sound.

    Existing results are skipped. After Ctrl-C or a crash, run the same command again to continue.
    """
    from facegen.golden import choose_device
    from facegen.jobs import find_tasks
    from facegen.media.images import CLIP_SUFFIXES, PICTURE_SUFFIXES
    from facegen.photo_files import FileUpscaler

    _refuse_conflicts(options["crop"], options["aligned"])
    clips = _takes_clips(photos)
    if options["mask"] is not None and not is_plain(options["mask"]):
        raise click.UsageError(f"--mask {options['mask']}: no such file; check the path.")
    if out.suffix.lower() in (*PICTURE_SUFFIXES, *CLIP_SUFFIXES) and not is_folder(out):
        tasks = [_named_task(photos, out)]
        options["file_format"], out = _named_format(photos[0], out, options["file_format"]), out.parent
    else:
        tasks = find_tasks(photos, out, clips=clips)
    device = device if cluster else choose_device(device)
    wanted = upres_options(options | {"recipe": recipe}, find_recipe(recipe), device)
    make_folder(out)
    upscaler = FileUpscaler(wanted, inputs=(resolved(task.source) for task in tasks))
    _upscale_all(tasks, upscaler, partial(_on_cluster, cluster) if cluster else partial(_here, jobs))


def upres_options(values: Mapping[str, Any], path: Path, device: str) -> UpresOptions:
    """Convert the parameters of the command; `path` is the recipe's file."""
    from facegen.photo import PhotoOptions
    from facegen.results import UpresOptions

    return UpresOptions(
        recipe_path=path,
        device=device,
        kind="crop" if values["crop"] else "aligned" if values["aligned"] else "photo",
        photo=PhotoOptions(**{name: values[name] for name in PHOTO_OPTIONS}),
        suffix=values["file_format"] and f".{values['file_format']}",
        **{name: values[name] for name in SHARED_OPTIONS},
    )


def _named_task(photos: Sequence[Path], out: Path) -> Task:
    """Return the task of a single photo whose result is the file `out`."""
    from facegen.jobs import Task

    if len(photos) > 1 or is_folder(photos[0]):
        raise click.UsageError(f"--out {out} names a file, which is for a single photo; name a folder.")
    return Task(photos[0], out.with_suffix(""), out)


def _named_format(photo: Path, out: Path, wanted: str | None) -> str | None:
    """Take the format of a result from its file name; refuse a suffix that contradicts --format or the photo."""
    from facegen.media.images import WRITABLE
    from facegen.media.video_reader import is_clip
    from facegen.results import CLIP_SUFFIX, OWN_SUFFIX

    suffix = out.suffix.lower()
    known = [CLIP_SUFFIX] if is_clip(photo) else WRITABLE
    if suffix not in known:
        raise click.UsageError(f"--out {out}: a file's suffix must be one of {', '.join(sorted(known))}.")
    if is_clip(photo):
        return wanted
    named = OWN_SUFFIX.get(suffix, suffix).removeprefix(".")
    if wanted not in (None, named):
        raise click.UsageError(f"--out {out} and --format {wanted} contradict each other; leave one of them out.")
    return named


def _refuse_conflicts(crop: bool, aligned: bool) -> None:
    """Refuse options, from the command line or a file of settings, that contradict each other."""
    given = given_options()
    if crop and aligned:
        raise click.UsageError("--crop and --aligned exclude each other: an aligned picture has no head to cut out.")
    if "cluster" in given and "jobs" in given:
        raise click.UsageError("--cluster and --jobs exclude each other: a cluster has a process for each processor.")
    if "size" in given and not (crop or aligned):
        raise click.UsageError("--size is for --crop and --aligned; for whole photos, give --scale.")
    for name in (*PHOTO_OPTIONS, "mask") if crop or aligned else ():
        if name in given:
            flags = f"{given[name]} is for whole photos; with {'--crop' if crop else '--aligned'}"
            raise click.UsageError(f"{flags}, give --size." if name in ("scale", "width") else f"{flags}, omit it.")
    if "scale" in given and "width" in given:
        raise click.UsageError("--scale and --width exclude each other; leave one of them out.")
    params = click.get_current_context().params
    scale, width = params["scale"], params["width"]
    if params["background"] == "keep" and (width or scale not in (None, 1)):
        name = "--width" if width else "--scale"
        raise click.UsageError(f"--background keep keeps the photo's size; omit {name}, or choose lanczos.")


def _takes_clips(photos: Sequence[Path]) -> bool:
    """Return True if the options allow clips; refuse a clip that is named together with options for pictures."""
    from facegen.media.video_reader import is_clip

    given = [name for name in PICTURE_OPTIONS if click.get_current_context().params[name]]
    for path in photos if given else ():
        if is_clip(path):
            flag = f"--{given[0].replace('_', '-')}"
            raise click.UsageError(f"{flag} is for pictures, and {path} is a clip; omit {flag}.")
    return not given


def _upscale_all(tasks: Sequence[Task], upscaler: FileUpscaler, upscale: Upscale) -> None:
    """Report each picture when it is done, and all at the end; exit with 1 if any failed, with 130 after Ctrl-C."""
    from facegen.cli.summary import report, report_all

    outcomes: dict[Path, Outcome] = {}
    clips: dict[Path, Forecast] = {}
    try:
        with closing(_outcomes(tasks, upscaler, upscale, clips)) as coming:
            for outcome in coming:
                outcomes[outcome.source] = outcome
                report(outcome, alone=len(tasks) == 1)
    except KeyboardInterrupt:
        done = sum(not outcome.error for outcome in outcomes.values())
        begun = [(source, clip.done) for source, clip in clips.items() if source not in outcomes]
        kept = "".join(f", and {frames} frames of {source.name}" for source, frames in begun)
        say("", f"Stopped: {done} of {len(tasks)} are done{kept}. To continue, run the same command again.")
        sys.exit(130)
    report_all([outcomes[task.source] for task in tasks])


def _outcomes(
    tasks: Sequence[Task], upscaler: FileUpscaler, upscale: Upscale, clips: dict[Path, Forecast]
) -> Generator[Outcome, None, None]:
    """Yield the files that are done already, then upscale the others; a terminal shows the time left."""
    from facegen.cli.summary import time_left
    from facegen.results import DoneBefore

    done_before = DoneBefore(upscaler.options)
    todo: list[Task] = []
    for task in tasks:
        if outcome := done_before(task):
            yield outcome
        else:
            todo.append(task)
    if not todo:
        return
    with time_left() as progress, closing(upscale(todo, upscaler, _parts_in(progress, clips))) as coming:
        yield from progress.track(coming, len(todo), description="pictures")


def _here(jobs: int, todo: Sequence[Task], upscaler: FileUpscaler, on_part: OnPart) -> Generator[Outcome, None, None]:
    """Upscale on this machine."""
    from facegen.jobs import Processes, run

    jobs = min(jobs, len(todo))
    if jobs == 1:
        _ = upscaler.pipeline  # load it now: an error is not the fault of a picture
        upscaler.on_part = on_part
    return run(todo, upscaler, Processes(jobs))


def _on_cluster(
    address: str, todo: Sequence[Task], upscaler: FileUpscaler, on_part: OnPart
) -> Generator[Outcome, None, None]:
    """Upscale on the machines of a cluster; they share the pictures, then the frames of each clip."""
    from facegen.jobs import attempt, share
    from facegen.media.video_reader import is_clip
    from facegen.photo_files import FileUpscaler
    from facegen.video.sharing import Shared

    with connect_cluster(address) as cluster:
        options = replace(upscaler.options, device=cluster.device)
        with cluster.pool(FileUpscaler(options, upscaler.inputs)) as pool:
            yield from share((task for task in todo if not is_clip(task.source)), pool)
            here = FileUpscaler(options, upscaler.inputs, on_part, Shared(pool))
            yield from (attempt(here, task) for task in todo if is_clip(task.source))


def _parts_in(progress: Progress, clips: dict[Path, Forecast]) -> OnPart:
    """Show a progress line for the frames of each clip, and for each face and the background of each photo."""
    from facegen.cli.summary import Forecast
    from facegen.media.video_reader import is_clip

    lines: dict[tuple[Path, str], TaskID] = {}

    def show(source: Path, part: str, done: int, of: int | None) -> None:
        if is_clip(source):
            clips.setdefault(source, Forecast(source.name))(done, of)
        if (source, part) not in lines:
            lines[source, part] = progress.add_task(f"{source.name}: {part}", total=of)
        progress.update(lines[source, part], completed=done, visible=done != of)

    return show
