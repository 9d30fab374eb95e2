"""Model cards for the Hugging Face hub, written from card.toml, and the upload of weight folders with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facegen.files import write_text
from facegen.hub import PREFIX, hub_name, upload_folder
from facegen.weights import Card, Kind, read_card

README = "README.md"
USES: dict[Kind, str] = {
    "dcgan": "facegen sample --seeds 0-3 --set weights.generator={name}",
    "jnet": "facegen upres photo.jpg --set weights.upscaler={name}",
    "srgan": "facegen compare portraits --models {name}",
    "unet": "facegen compare portraits --models {name}",
}
"""The command that uses weights of a kind; weights of other kinds belong to a generator's."""
TITLES: dict[Kind, str] = {
    "dcgan": "draws faces",
    "jnet": "upscales faces 8x",
    "patchgan": "scores upscaled tiles",
    "encoder": "finds the latents of faces",
    "srgan": "upscales pictures",
    "unet": "upscales pictures",
}


def upload(folders: Sequence[Path], repo: str) -> str:
    """Upload weight folders, the first to the root of a repository, the others to folders of their names in it.

    Returns:
        the address of the repository.
    Raises:
        WeightsError: if `repo` is not a valid name, or the hub refuses.
    """
    hub_name(f"{PREFIX}{repo}")
    address = ""
    for number, folder in enumerate(folders):
        path = folder.name if number else ""
        write_text(folder / README, model_card(read_card(folder), f"{PREFIX}{repo}" + (f"/{path}" if path else "")))
        address = upload_folder(folder, repo, path)
    return address


def model_card(card: Card, name: str) -> str:
    """Write the Markdown of a model card, with the header that the hub reads.

    Args:
        name: the weights' name on the hub, as in hf:owner/name.
    """
    use = USES.get(card.kind)
    usage = f"```sh\n{use.format(name=name)}\n```" if use else "It goes with the network it was trained with."
    header = ["---", "library_name: facegen", "license: other", "license_name: see-below", "tags: [face, gan]", "---"]
    parts = [
        "\n".join(header),
        f"# {card.name}",
        f"A {card.kind} of facegen: {TITLES.get(card.kind, 'needed for training only')}.",
        usage,
        f"## Licence\n\n{card.licence}",
        f"## Limits\n\n{card.limits}",
        f"## Training\n\n{card.images_seen:,} images seen, by the recipe `{card.recipe}`. Pictures by source:\n\n"
        + "\n".join(f"- {source}" for source in card.sources),
    ]
    if card.metrics:
        rows = "\n".join(f"| {key} | {value} |" for key, value in card.metrics.items())
        parts.append(f"## Figures\n\n| measure | value |\n|---|---|\n{rows}")
    return "\n\n".join([*parts, f"SHA-256 of model.safetensors: `{card.sha256}`"]) + "\n"
