"""`facegen studio`."""

from __future__ import annotations

import inspect
import os
import webbrowser
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import click

from facegen.cli.options import device_option, recipe_path
from facegen.cli.printing import say
from facegen.errors import MissingExtraError

if TYPE_CHECKING:
    from facegen.data.curate.curation import Curation


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on; another needs --token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8643, help="Port; 0 takes a free one.")
@click.option(
    "--token", default=None, envvar="FACEGEN_TOKEN", show_envvar=True, help="Word without which nobody is let in."
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
@click.option("--recipe", default="portrait", help="Name of a recipe in pipelines/, or a TOML file.")
@device_option
@click.option(
    "--curate", "curated", metavar="SET", type=click.Path(path_type=Path),
    help="A set to look through on the tab Curate, as facegen data curate does.",
)  # fmt: skip
def studio(
    host: str, port: int, token: str | None, no_browser: bool, recipe: str, device: str, curated: Path | None
) -> None:
    """Open a page in the browser that restores photos, draws faces and makes films of them.

    Nothing leaves this machine. The page's files are deleted when it ends, so download what you keep.
    """
    if find_spec("gradio") is None:
        raise MissingExtraError("facegen studio needs more packages; pip install 'facegen[studio]'")
    from facegen.web import access_for, address_of, listen, serve

    recipe_path(recipe)  # refuses a wrong name now rather than with the first photo
    access = access_for(host, token, "facegen studio")
    temporary = TemporaryDirectory(prefix="facegen-studio-")
    with listen(host, port) as listener, _opened(curated) as curation, temporary as folder:
        address = address_of(listener, host, token)
        say(f"Open {address}", err=False)
        say("Ctrl-C ends it, and deletes its files.")
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}  # read when it is imported
        with patch.object(inspect, "getfile", side_effect=OSError):  # else it writes stubs for editors: half the time
            import gradio  # noqa: F401
        from facegen.cli.replay import remake
        from facegen.studio.app import create_app
        from facegen.studio.work import Studio

        if not no_browser:
            webbrowser.open(address)
        with closing(Studio(Path(folder), recipe, device, remake)) as work, suppress(KeyboardInterrupt):
            serve(create_app(work, access, curation), listener)


def _opened(curated: Path | None) -> AbstractContextManager[Curation | None]:
    if curated is None:
        return nullcontext()
    from facegen.data.curate.curation import opened_set

    return opened_set(curated)
