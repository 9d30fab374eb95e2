"""Publish a run as weight folders: the averaged generator, and the networks that were trained with it; upload them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from facegen.errors import TrainingError, UsageError, one_line
from facegen.files import write_text
from facegen.hub import PREFIX, hub_name, upload_folder
from facegen.models.dcgan import calibrate_batchnorm
from facegen.models.latents import EncoderConfig
from facegen.training.checkpoints import BEST, checkpoints, read_checkpoint
from facegen.training.config import DCGANRecipe, JNetRecipe, SRGANRecipe
from facegen.training.start import RESOLVED, SOURCES, AnyRecipe, resolved_recipe
from facegen.weights import CARD_FILE, DISCRIMINATOR_SUFFIXES, MODELS, TRAINING, Card, Kind, read_card, save_weights

LICENCE = "Not stated: as the training pictures allow. The 68-point landmark model excludes commercial use."
"""The card's default terms, which hold for any pictures."""
FOR_TRAINING = "For training only: facegen train --from loads it with the generator it was trained with."
UPSCALES = "Invents detail: what it adds is plausible, not evidence. Best on pictures reduced as in its training."
LIMITS: dict[Kind, str] = {
    "dcgan": "Draws aligned 128 px heads like those it was trained on. It may resemble real people by chance.",
    "jnet": "Invents detail: what it adds is plausible, not evidence. Best on upright heads of 64 to 128 px.",
    "patchgan": "Scores tiles of the J-net it was trained with, and no others.",
    "encoder": "Finds the latents of aligned heads for the generator it was trained with, and for no other.",
    "heads": FOR_TRAINING,
    "srgan": UPSCALES,
    "unet": UPSCALES,
    "srgan-discriminator": FOR_TRAINING,
    "unet-discriminator": FOR_TRAINING,
}
STAND_IN = "EfficientNet-Lite0's features stood in for VGG19's in its feature loss."
CALIBRATION_LATENTS = 512

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

Found = tuple[Kind, str, Any]
"""Kind, suffix of the name, network with its weights."""


def publish(
    run: Path, name: str, out: Path, *, recipe_name: str, licence: str = LICENCE, best: bool = False
) -> list[Path]:
    """Write weight folders from a run's newest checkpoint: the weights, the card, and the resolved recipe.

    Args:
        run: a run folder.
        name: name of the weights; discriminators go to training/NAME-patchgan, NAME-heads or NAME-discriminator.
        out: the folder of the weight folders.
        recipe_name: the recipe file that the card names.
        best: take the checkpoint with the best score while training instead of the newest.
    Returns:
        the folders written.
    Raises:
        TrainingError: if the run has no usable checkpoint.
        UsageError: if the name is not allowed, or a folder holds weights of another recipe file.
    """
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UsageError(f"name {name!r}: expected letters, digits, '.', '_', '+' or '-'; --out chooses the folder.")
    recipe = resolved_recipe(run)
    networks, images_seen = _loaded(recipe, _checkpoint(run, best))
    sources = _sources(run)
    folders = [_folder(out, name, suffix, recipe_name) for _, suffix, _ in networks]
    for folder, (kind, suffix, network) in zip(folders, networks, strict=True):
        card = Card(
            name=name + suffix,
            kind=kind,
            sha256="",
            config=network.config.model_dump(mode="json"),
            guide=recipe.guide if isinstance(recipe, JNetRecipe) else None,
            recipe=recipe_name,
            images_seen=images_seen,
            sources=sources,
            licence=licence,
            limits=_limits(kind, recipe),
        )
        save_weights(folder, network, card)
        (folder / RESOLVED).write_bytes((run / RESOLVED).read_bytes())
    return folders


def _folder(out: Path, name: str, suffix: str, recipe_name: str) -> Path:
    """Return the folder for weights; UsageError if it holds weights of another recipe file."""
    folder = (out / TRAINING if suffix in DISCRIMINATOR_SUFFIXES else out) / (name + suffix)
    if (folder / CARD_FILE).is_file() and (other := read_card(folder).recipe) != recipe_name:
        raise UsageError(f"{folder}: holds weights of {other}; choose another name or --out, or remove them.")
    return folder


def _limits(kind: Kind, recipe: AnyRecipe) -> str:
    stood_in = kind == "srgan" and isinstance(recipe, SRGANRecipe) and recipe.loss.feature and not recipe.loss.vgg19
    return f"{LIMITS[kind]} {STAND_IN}" if stood_in else LIMITS[kind]


def _sources(run: Path) -> tuple[str, ...]:
    try:
        counts = tomllib.loads((run / SOURCES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{run / SOURCES}: cannot be read ({error}); resuming the run writes it again.") from None
    return tuple(f"{source}: {count}" for source, count in sorted(counts.items()))


def _checkpoint(run: Path, best: bool) -> Path:
    found = [run / "checkpoints" / BEST] if best else checkpoints(run)[-1:]
    if not found or not found[0].is_file():
        raise TrainingError(f"{run}: there is no {'best ' if best else ''}checkpoint to publish yet.")
    return found[0]


def _loaded(recipe: AnyRecipe, checkpoint: Path) -> tuple[list[Found], int]:
    """Load the networks to publish from a checkpoint; also return the images seen."""
    found: list[Found] = []
    try:
        state = read_checkpoint(checkpoint)
        for kind, suffix, config, module in _parts(recipe):
            network = MODELS[kind][1](config)
            network.load_state_dict(state["modules"][module])
            found.append((kind, suffix, network))
        images_seen = state["images"]
    except (ValueError, RuntimeError, KeyError) as error:
        raise TrainingError(f"{checkpoint}: damaged, or not of the run's recipe ({one_line(error)}).") from None
    if isinstance(recipe, DCGANRecipe):
        rng = torch.Generator().manual_seed(0)
        calibrate_batchnorm(found[0][2], torch.randn(CALIBRATION_LATENTS, recipe.generator.z_dim, generator=rng))
    return found, images_seen


def _parts(recipe: AnyRecipe) -> Iterator[tuple[Kind, str, BaseModel, str]]:
    """Kind, suffix of the name, config and module of each network to publish; the generator comes first."""
    yield recipe.kind, "", recipe.generator, "average"
    if isinstance(recipe, JNetRecipe):
        yield "patchgan", "-patchgan", recipe.discriminator, "discriminator"
        if recipe.loss.projected.used:
            yield "heads", "-heads", recipe.projected, "heads"
    elif isinstance(recipe, DCGANRecipe):
        if recipe.loss.reconstruction:
            yield "encoder", "-encoder", EncoderConfig(z_dim=recipe.generator.z_dim), "encoder"
        if recipe.plain is None:
            yield "heads", "-heads", recipe.discriminator, "heads"
    elif recipe.loss.adversarial.used:
        kind: Kind = "srgan-discriminator" if recipe.kind == "srgan" else "unet-discriminator"
        yield kind, "-discriminator", recipe.discriminator, "discriminator"


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
