"""`facegen sign`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import PATH, for_each
from facegen.cli.printing import print_path


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@click.option(
    "--identity", required=True, type=PATH, metavar="FILE",
    help="A PEM file: your private key, then its certificate chain.",
)
@click.option(
    "--source", type=PATH,
    help="The photo that a picture was made from.  [default: the recorded name, next to the picture or in this folder]",
)
def sign(pictures: tuple[Path, ...], identity: Path, source: Path | None) -> None:
    """Write content credentials (C2PA) into PICTURES that facegen made: which networks made them, from which photo.

    They include the credentials of the photo. Pixels and record stay the same, but the file changes, so facegen replay
    then reports other bytes. Nothing is sent anywhere.
    """
    from facegen.cli.replay import recorded_input
    from facegen.credentials import read_identity
    from facegen.credentials import sign as sign_one
    from facegen.media.record import read_record

    signer = read_identity(identity)

    def work(picture: Path) -> None:
        sign_one(picture, signer, recorded_input(read_record(picture).source, picture, "source", source))
        print_path(picture)

    for_each(pictures, work)
