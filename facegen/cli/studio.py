"""`facegen studio`."""

from __future__ import annotations

import inspect
import os
import webbrowser
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import click

from facegen.cli.options import DEFAULT_PRESET, PATH, device_option, need_packages, server_options
from facegen.cli.printing import say
from facegen.files import find_recipe

if TYPE_CHECKING:
    from facegen.data.curate.curation import Curation


@click.command()
@server_options(port=8643)
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
@click.option("--recipe", default=DEFAULT_PRESET, help="The preset shown first: a shipped recipe, or a TOML file.")
@device_option
@click.option(
    "--curate", "curated", metavar="SET", type=PATH,
    help="A set of faces to keep or drop on the tab Curate, as with facegen data curate.",
)  # fmt: skip
def studio(
    host: str, port: int, token: str | None, no_browser: bool, recipe: str, device: str, curated: Path | None
) -> None:
    """Open a page in the browser that restores photos, draws faces and makes films of them.

    Nothing leaves this machine. The page's files are deleted when the command ends, so download what you want to keep.
    """
    need_packages("studio", "gradio")
    from facegen.web import access_for, address_of, listen, serve

    find_recipe(recipe)  # refuse an unknown name now rather than with the first photo
    access = access_for(host, token, "facegen studio")
    temporary = TemporaryDirectory(prefix="facegen-studio-")
    with listen(host, port) as listener, _opened(curated) as curation, temporary as folder:
        address = address_of(listener, host, token)
        say(f"Open {address}", err=False)
        say("Press Ctrl-C to end; this deletes the page's files.")
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}  # before Gradio is imported
        with patch.object(inspect, "getfile", side_effect=OSError):  # or half the time goes into stub files for editors
            import gradio  # noqa: F401
        from facegen.cli.replay import remake
        from facegen.studio.app import create_app
        from facegen.studio.work import Studio

        if not no_browser:
            webbrowser.open(address)
        with closing(Studio(Path(folder), recipe, device, remake)) as state, suppress(KeyboardInterrupt):
            serve(create_app(state, access, curation), listener)


def _opened(curated: Path | None) -> AbstractContextManager[Curation | None]:
    if curated is None:
        return nullcontext()
    from facegen.data.curate.curation import opened_set

    return opened_set(curated)
