"""`facegen upres`."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from facegen.cli.options import Size, format_option, make_folder, pipeline_options, recipe_path

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from facegen.jobs import Outcome, Task
    from facegen.photo_files import FileUpscaler, OnPart

PHOTOS_ALONE = ("scale", "faces", "face_size_min", "background")
"""Options for whole photos."""
PICTURES_ALONE = ("crop", "aligned", "before_after", "explain")
"""Options for pictures; clips in folders are passed over then."""


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to write to."
)
@click.option(
    "--scale",
    type=click.IntRange(1, 8),
    default=None,
    help="Enlarge photos this many times; if left away, so that the largest head comes to 768 px (2 to 8 times).",
)
@click.option(
    "--faces",
    type=click.Choice(["all", "largest"]),
    default="all",
    show_default=True,
    help="Which faces are upscaled as such; the others count as background.",
)
@click.option(
    "--face-size-min",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Heads whose side in the photo is less than so many pixels count as background.",
)
@click.option(
    "--background",
    type=click.Choice(["lanczos", "tiles", "keep"]),
    default="lanczos",
    show_default=True,
    help="The rest of the photo: enlarged by Lanczos interpolation (lanczos); upscaled by the same network without a "
    "guide, a minute or two a megapixel without a GPU (tiles); or unchanged, at the photo's own size (keep).",
)
@click.option("--crop", is_flag=True, help="Write each head alone, aligned, at --size.")
@click.option("--aligned", is_flag=True, help="The pictures are aligned head crops already; upscale them to --size.")
@click.option(
    "--size", type=Size(), default=768, show_default=True, help="Side of the heads that --crop and --aligned write."
)
@format_option
@click.option(
    "--strip", is_flag=True, help="Leave away what a photo tells of itself (EXIF and XMP: camera, place, time)."
)
@click.option("--before-after", is_flag=True, help="Write each picture, enlarged plainly, beside its result too.")
@click.option("--explain", is_flag=True, help="Write which candidate won each tile of each head, and by how much.")
@click.option(
    "--overwrite", is_flag=True, help="Make again what is done, and replace files that facegen did not write."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Pictures upscaled at a time.")
@pipeline_options
def upres(
    photos: tuple[Path, ...],
    out: Path,
    crop: bool,
    aligned: bool,
    file_format: str,
    jobs: int,
    recipe: str,
    device: str,
    **options: Any,
) -> None:
    """Upscale PHOTOS (files or folders): every face is found, aligned, upscaled and pasted back.

    Clips among them (mp4, mov, mkv, webm, avi ...) are upscaled frame by frame, with heads followed, to NAME-xN.mp4
    with their own times and sound, whatever --format says.

    What is done already is not done again: after Ctrl-C or a crash, the same command goes on. Results have 8 bits a
    sample; pictures of 16 are rounded to 8.
    """
    from facegen.jobs import find_tasks
    from facegen.photo import PhotoOptions
    from facegen.photo_files import FileUpscaler, UpresOptions
    from facegen.precision import resolve_device

    _refuse_conflicts(crop, aligned)
    tasks = find_tasks(photos, out, clips=_takes_clips(photos))
    photo = PhotoOptions(**{name: options.pop(name) for name in PHOTOS_ALONE})
    wanted = UpresOptions(
        recipe=recipe,
        recipe_path=recipe_path(recipe),
        device=resolve_device(device),
        kind="crop" if crop else "aligned" if aligned else "photo",
        photo=photo,
        suffix=f".{file_format}",
        **options,
    )
    make_folder(out)
    _upscale_all(tasks, FileUpscaler(wanted, inputs=(task.source.resolve() for task in tasks)), jobs)


def _refuse_conflicts(crop: bool, aligned: bool) -> None:
    """Refuse options that were given for another kind of picture than is asked for."""
    context = click.get_current_context()
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if crop and aligned:
        raise click.UsageError("--crop and --aligned exclude each other: an aligned picture has no head to cut out.")
    if "size" in given and not (crop or aligned):
        raise click.UsageError("--size is for --crop and --aligned; for whole photos, give --scale.")
    for name in PHOTOS_ALONE if crop or aligned else ():
        if name in given:
            flags = f"--{name.replace('_', '-')} is for whole photos; with {'--crop' if crop else '--aligned'}"
            raise click.UsageError(f"{flags}, give --size." if name == "scale" else f"{flags}, leave it away.")
    if crop and "before_after" in given:
        raise click.UsageError("--before-after is for whole pictures; with --crop, leave it away.")
    if context.params["background"] == "keep" and context.params["scale"] not in (None, 1):
        raise click.UsageError("--background keep keeps the photo's size; leave --scale away, or choose lanczos.")


def _takes_clips(photos: Sequence[Path]) -> bool:
    """Whether the options are for clips, too; refuses them if a clip is among what was named."""
    from facegen.media.video_reader import is_clip

    given = [name for name in PICTURES_ALONE if click.get_current_context().params[name]]
    for path in photos if given else ():
        if is_clip(path):
            flag = f"--{given[0].replace('_', '-')}"
            raise click.UsageError(f"{flag} is for pictures, and {path} is a clip; leave {flag} away for it.")
    return not given


def _upscale_all(tasks: Sequence[Task], upscaler: FileUpscaler, jobs: int) -> None:
    """Tell of each picture as it comes, and of all at the end; exit 1 if any failed."""
    outcomes: dict[Path, Outcome] = {}
    try:
        with closing(_outcomes(tasks, upscaler, jobs)) as coming:
            for outcome in coming:
                outcomes[outcome.source] = outcome
                _tell(outcome, alone=len(tasks) == 1)
    except KeyboardInterrupt:
        done = sum(not outcome.error for outcome in outcomes.values())
        click.echo(f"\nStopped: {done} of {len(tasks)} are done. To go on, run the same command again.", err=True)
        sys.exit(130)
    _report([outcomes[task.source] for task in tasks])


def _outcomes(tasks: Sequence[Task], upscaler: FileUpscaler, jobs: int) -> Generator[Outcome, None, None]:
    """What is done already, then what is upscaled, with the time left on a terminal."""
    from facegen.cli.summary import error_console, time_left
    from facegen.finished import DoneBefore
    from facegen.jobs import run

    done_before = DoneBefore(upscaler.options)
    todo: list[Task] = []
    for task in tasks:
        outcome = done_before(task)
        if outcome is None:
            todo.append(task)
        else:
            yield outcome
    if not todo:
        return
    jobs = min(jobs, len(todo))
    if jobs == 1:
        upscaler.load()  # what is wrong with the networks is no picture's fault
    with time_left(error_console()) as progress, closing(run(todo, upscaler, jobs)) as coming:
        if jobs == 1:
            upscaler.on_part = _parts_in(progress)
        yield from progress.track(coming, len(todo), description="pictures")


def _parts_in(progress: Progress) -> OnPart:
    """What shows the frames of each clip, and the blocks of each photo, on a line of its own, with the time left."""
    from facegen.media.video_reader import is_clip

    lines: dict[Path, TaskID] = {}

    def show(source: Path, done: int, of: int | None) -> None:
        if source not in lines:
            parts = "frames" if is_clip(source) else "background"
            lines[source] = progress.add_task(f"{source.name}: {parts}", total=of)
        progress.update(lines[source], completed=done, visible=done != of)

    return show


def _tell(outcome: Outcome, alone: bool) -> None:
    """Print what was written, and what went wrong; of a picture that is alone, what a table would say of others."""
    for path in outcome.written:
        click.echo(path)
    if outcome.error:
        click.echo(f"{outcome.trace}Error: {outcome.error}", err=True)
    elif alone and (outcome.note or outcome.done_already):
        click.echo(f"{outcome.source}: {outcome.note or 'done already'}.", err=True)


def _report(outcomes: Sequence[Outcome]) -> None:
    from facegen.cli.summary import error_console, summary, totals

    if len(outcomes) > 1:
        error_console().print(summary(outcomes))
        click.echo(totals(outcomes), err=True)
    if any(outcome.error for outcome in outcomes):
        sys.exit(1)
