"""`facegen publish`."""

from __future__ import annotations

from pathlib import Path

import click

from facegen.cli.options import need_packages
from facegen.cli.printing import print_path, say


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--out",
    default=Path("weights"),
    type=click.Path(path_type=Path),
    help="Folder of weight folders.",
)
@click.option("--recipe", help="Recipe file that the card names.  [default: RUN's own copy]")
@click.option("--best", is_flag=True, help="The checkpoint with the best score, not the newest.")
@click.option("--licence", default=None, help="Terms of use that the card states.")
@click.option("--to-hub", metavar="OWNER/NAME", help="Also upload them to this repository of the Hugging Face hub.")
def publish(
    run: Path, name: str, out: Path, recipe: str | None, best: bool, licence: str | None, to_hub: str | None
) -> None:
    """Turn the averaged weights of a training RUN into a weight folder called NAME.

    A repository that --to-hub has to make is private at first. Log in with `hf auth login` before. Anybody who may read
    it can then use hf:OWNER/NAME wherever facegen takes the name of weights.
    """
    need_packages("lightning_fabric")
    from facegen.training.publish import LICENCE
    from facegen.training.publish import publish as publish_run
    from facegen.training.start import RESOLVED

    recipe_name = recipe or str(run / RESOLVED)
    folders = publish_run(run, name, out, recipe_name=recipe_name, licence=licence or LICENCE, best=best)
    for folder in folders:
        print_path(folder)
    if to_hub is not None:
        from facegen.training.model_card import upload

        say(upload(folders, to_hub), err=False)
