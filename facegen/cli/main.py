"""The `facegen` command. It imports only the subcommand that runs, so that help and errors appear at once."""

from __future__ import annotations

import codecs
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from facegen import __version__
from facegen.cli.printing import say, say_error
from facegen.errors import FacegenError, did_you_mean, printable, show_warnings_plainly

COMMANDS = {
    "sample": "Draw faces.",
    "upres": "Upscale photos, face crops and video clips.",
    "video": "Make a film that moves from face to face.",
    "grid-walk": "Make a film of many faces in a grid, all moving.",
    "project": "Find the drawn face that is nearest to a photo.",
    "studio": "Restore photos, draw faces and make films on a web page.",
    "inspect": "Show how a picture was made, and measure it.",
    "replay": "Make a picture again from the record in its file.",
    "sign": "Write content credentials (C2PA) into pictures.",
    "data": "Make a training set from photos: prepare, clean, curate, stats.",
    "train": "Train a network on your own pictures.",
    "evaluate": "Measure networks on pictures held out of training.",
    "compare": "Compare upscalers side by side on the same pictures.",
    "publish": "Turn a training run into a weight folder.",
    "rate": "Learn which latents give poor faces, to avoid them.",
    "export": "Write networks in formats that other programs can run.",
    "doctor": "Check the installation.",
    "licences": "List the licences of weights, models and libraries.",
    "help": "Explain a command, or show a page of the documentation.",
}
OTHER_WORDS = {
    "upres": ("upscale", "upsample", "restore", "enhance", "enlarge", "superres"),
    "sample": ("generate", "draw", "face", "faces"),
    "video": ("film", "walk", "interpolate"),
    "evaluate": ("measure", "metrics", "test"),
    "inspect": ("info", "show"),
}
"""Command -> other words that users try for it."""
MODULES = {"grid_walk": "video"}
"""Command -> its module, where their names differ."""


# PyTorch's threads sleep while they wait: spinning is a twentieth faster on idle cores, and five times slower on cores
# that other processes use too. PyTorch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class Commands(click.Group):
    """Imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"facegen.cli.{MODULES.get(name, name)}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; the error about an unknown one suggests the command that was probably meant."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-") and not ctx.resilient_parsing:
            wanted = next((name for name, words in OTHER_WORDS.items() if word in words), None)
            hint = f"; use facegen {wanted}." if wanted else did_you_mean(word, COMMANDS)
            ctx.fail(f"No such command {word!r}{hint} All are listed by facegen --help.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; print a FacegenError on stderr, and exit with its status, or with 130 after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except FacegenError as error:
            say_error(error)
            ctx.exit(error.exit_status)
        except KeyboardInterrupt:
            say("", "Stopped.")
            ctx.exit(130)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.ClickException as error:
            error.message = printable(error.message)  # type: ignore[misc] # "final", but every class formats it
            raise


def _install_completion(context: click.Context, _: click.Parameter, shell: str | None) -> None:
    if shell is None or context.resilient_parsing:
        return
    from facegen.cli.completion import install_completion

    try:
        written = install_completion(context.command, shell, Path.home())
    except FacegenError as error:
        say_error(error)
        context.exit(error.exit_status)
    say(f"Written: {', '.join(map(str, written))}. Start a new shell to use it.", err=False)
    context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="facegen")
@click.option(
    "--offline", is_flag=True, help="Do not use the network; weights of the Hugging Face hub must be on this machine."
)
@click.option(
    "--install-completion", metavar="[bash|zsh|fish]", is_flag=False, flag_value="auto", expose_value=False,
    is_eager=True, callback=_install_completion, help="Let the TAB key complete commands from now on, and exit.",
)
def cli(offline: bool) -> None:
    """Draw high-resolution faces, or upscale the faces in your photos."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # before the library is imported; see facegen.hub
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="facegen")


def _encode_anyway(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keep the bytes of file names that are not text, and escape characters that the encoding lacks."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error("facegen", _encode_anyway)


def main() -> None:
    """Run the command line."""
    show_warnings_plainly()
    cli()
