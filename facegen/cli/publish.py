"""`facegen publish`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import PATH, need_packages
from facegen.cli.printing import print_path, say


@click.command()
@click.argument("run", type=PATH)
@click.argument("name")
@click.option("--out", type=PATH, default=Path("weights"), help="Folder of weight folders.")
@click.option("--recipe", help="Recipe file that the card names.  [default: the copy in RUN]")
@click.option("--best", is_flag=True, help="Publish the checkpoint with the best score instead of the newest.")
@click.option("--licence", help="Terms of use that the card states.")
@click.option("--to-hub", metavar="OWNER/NAME", help="Also upload them to this repository of the Hugging Face hub.")
def publish(
    run: Path, name: str, out: Path, recipe: str | None, best: bool, licence: str | None, to_hub: str | None
) -> None:
    """Turn the averaged weights of a training RUN into a weight folder called NAME.

    Before you use --to-hub, log in with `hf auth login`. A repository that it creates is private. Whoever may read the
    repository can give hf:OWNER/NAME wherever facegen takes the name of weights.
    """
    need_packages("train", "lightning_fabric")
    from facegen.training.publish import LICENCE, upload
    from facegen.training.publish import publish as publish_run
    from facegen.training.start import RESOLVED

    recipe_name = recipe or str(run / RESOLVED)
    folders = publish_run(run, name, out, recipe_name=recipe_name, licence=licence or LICENCE, best=best)
    for folder in folders:
        print_path(folder)
    if to_hub is not None:
        say(upload(folders, to_hub), err=False)
