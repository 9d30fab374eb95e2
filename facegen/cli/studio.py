"""`facegen studio`."""

from __future__ import annotations

import inspect
import os
import webbrowser
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click

from facegen.cli.printing import say
from facegen.errors import MissingExtraError


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on; another needs --token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8643, help="Port; 0 takes a free one.")
@click.option(
    "--token", default=None, envvar="FACEGEN_TOKEN", show_envvar=True, help="Word without which nobody is let in."
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
@click.option("--recipe", default="portrait", help="Name of a recipe in pipelines/, or a TOML file.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps.")
def studio(host: str, port: int, token: str | None, no_browser: bool, recipe: str, device: str) -> None:
    """Open a page in the browser that restores photos, draws faces and makes films of them.

    Nothing leaves this machine. The page's files are deleted when it ends, so download what you keep.
    """
    if find_spec("gradio") is None:
        raise MissingExtraError("facegen studio needs more packages; pip install 'facegen[studio]'")
    from facegen.cli.options import recipe_path
    from facegen.web import access_for, address_of, listen, serve

    recipe_path(recipe)  # refuses a wrong name now rather than with the first photo
    access = access_for(host, token, "facegen studio")
    with listen(host, port) as listener, TemporaryDirectory(prefix="facegen-studio-") as folder:
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
            serve(create_app(work, access), listener)
