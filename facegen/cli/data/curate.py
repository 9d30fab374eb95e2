"""`facegen data curate`."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import click

from facegen.errors import MissingExtraError


@click.command()
@click.argument("folder", metavar="SET", type=click.Path(path_type=Path))
@click.option("--rater", default=None, metavar="NAME", help="Who labels.  [default: the page asks]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs --token.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8642, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--token", default=None, envvar="FACEGEN_TOKEN", show_envvar=True, help="Word without which nobody is let in."
)
@click.option("--export", "only_export", is_flag=True, help="Write the labels into the manifest, and open no page.")
def curate(folder: Path, rater: str | None, host: str, port: int, token: str | None, only_export: bool) -> None:
    """Judge the faces of SET by eye, on a web page for a phone, a tablet or a keyboard: keep or drop.

    SET is a folder made by `facegen data prepare`, or any folder of face crops. Labels are kept in SET/labels, one file
    for each rater, and are on the disk after every swipe. --export, or a button on the page, writes what most raters
    say into SET/manifest.csv.
    """
    if only_export:
        _export(folder)
        return
    if not all(map(find_spec, ("fastapi", "uvicorn"))):
        raise MissingExtraError("facegen data curate needs a web server; pip install 'facegen[data]'")
    from facegen.data.curate.curation import Curation
    from facegen.data.curate.guard import access_for
    from facegen.data.curate.labels import FOLDER, log_path
    from facegen.data.curate.server import address_of, create_app, listen, serve
    from facegen.files import sole_process

    access = access_for(host, token)
    if rater is not None:
        log_path(folder, rater)  # refuses a wrong name now rather than at the first swipe
    with listen(host, port) as listener:
        curation = Curation(folder)
        taken = f"{folder}: facegen data curate runs on it already; use its page, or end it first."
        with sole_process(folder / FOLDER, taken):
            click.echo(f"Open {address_of(listener, host, token)}")
            click.echo("Ctrl-C ends it; every label is on the disk already.", err=True)
            with suppress(KeyboardInterrupt):
                serve(create_app(curation, access, rater), listener)
    for name, progress in curation.summary().raters.items():
        click.echo(f"{name}: {progress.keep} keep, {progress.drop} drop of {progress.total}")


def _export(folder: Path) -> None:
    from facegen.data.curate.curation import export

    written = export(folder)
    click.echo(f"{folder / written.manifest}: {written.keep} keep, {written.drop} drop, {written.ties} ties, "
               f"{written.unlabelled} unlabelled")  # fmt: skip
