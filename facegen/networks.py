"""Load the networks of a recipe, and check that they fit each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from facegen.errors import RecipeError, WeightsError
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.models.latents import LatentRating
from facegen.recipe import PipelineRecipe, assignment
from facegen.weights import Kind, find_weights, load_network, rating_of, read_card

ROLES: dict[Kind, str] = {"dcgan": "generator", "jnet": "upscaler", "patchgan": "discriminator"}
"""Kind of weights -> their key in a pipeline recipe's [weights]."""
DISCRIMINATOR_SCALE = 8
"""Every `PatchDiscriminator` joins its low-res input after three stride-2 convolutions."""


class Networks(TypedDict):
    """The networks of a recipe, on the CPU, and the guide that the upscaler takes."""

    generator: DCGANGenerator
    rating: LatentRating | None
    """The generator's rating; None if it has none, or the recipe rejects no latents."""
    upscaler: JNet
    guide: GuideMode
    discriminator: PatchDiscriminator | None
    """None if no scorer needs it."""


def role_overrides(names: Iterable[str]) -> tuple[str, ...]:
    """Write the overrides that put weights, named as for `find_weights`, into a recipe: "weights.generator=...".

    Raises:
        WeightsError: if they are missing, or of a kind that a pipeline does not use.
    """
    found = {}
    for name in names:
        kind = read_card(find_weights(name)).kind
        if kind not in ROLES:
            raise WeightsError(f"weights {name!r}: hold a {kind}, but a pipeline is of {', '.join(ROLES)}.")
        found[ROLES[kind]] = name
    return tuple(assignment(f"weights.{role}", name) for role, name in found.items())


def load_networks(recipe: PipelineRecipe) -> Networks:
    """Load the weights that a recipe names.

    Raises:
        WeightsError: if weights are missing or damaged.
    """
    generator, _ = load_network(recipe.weights.generator, DCGANGenerator)
    rated = rating_of(recipe)
    rating = None if rated is None else load_network(str(rated), LatentRating)[0]
    upscaler, card = load_network(recipe.weights.upscaler, JNet)
    discriminator = None
    if recipe.choice.scorers.get("discriminator"):
        discriminator, _ = load_network(recipe.weights.discriminator, PatchDiscriminator)
    guide = card.guide or "none"
    return Networks(generator=generator, rating=rating, upscaler=upscaler, guide=guide, discriminator=discriminator)


def check_networks(
    recipe: PipelineRecipe, *, upscaler: JNetConfig, guide: GuideMode, discriminator: PatchDiscriminator | None
) -> None:
    """Check that networks fit each other and the recipe.

    Raises:
        RecipeError: if the side of the tiles is not a multiple of the J-net's, their overlap is not less than that, or
            the recipe has a strength that the J-net does not take.
        WeightsError: if the networks were not made for each other.
    """
    tiles, side = recipe.tiles, upscaler.tile
    if tiles.side % side:
        raise RecipeError(f"tiles.side: {tiles.side}, expected a multiple of {side}, the side of the J-net's tiles.")
    if tiles.overlap >= side:
        raise RecipeError(f"tiles.overlap: {tiles.overlap}, expected less than {side}, the side of the J-net's tiles.")
    if recipe.strength and not upscaler.strength:
        raise RecipeError(
            f"strength: {recipe.strength}, but the weights {recipe.weights.upscaler} know no damage; leave it out, or "
            "take weights that do, such as jnet-8x-restore."
        )
    planes = upscaler.in_channels - upscaler.strength
    if planes != 3 + GUIDE_CHANNELS[guide]:
        raise WeightsError(
            f"upscaler: the J-net takes {planes} channels, but RGB and guide {guide!r} are "
            f"{3 + GUIDE_CHANNELS[guide]}; correct the guide in the card of its weights."
        )
    channels = None if discriminator is None else discriminator.config.condition_channels
    if channels is not None and (channels != planes or upscaler.scale != DISCRIMINATOR_SCALE):
        raise WeightsError(
            f"discriminator: takes {DISCRIMINATOR_SCALE}x tiles and {channels} channels, but the J-net makes "
            f"{upscaler.scale}x ones from {planes}; take the discriminator it was trained against."
        )
