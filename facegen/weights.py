"""Find, load and save weights: folders of model.safetensors and card.toml, checked by hash before use.

Networks that only training needs are in the subfolder `training/`, which is not in the wheel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import tomli_w
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from facegen.errors import RecipeError, WeightsError, one_line, suggest
from facegen.faces.guide import GuideMode
from facegen.files import WEIGHTS, is_plain, refuse_special, replacing
from facegen.hub import PREFIX, fetch_companion, fetch_folder
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.models.discriminators import PatchConfig, PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.models.latents import EncoderConfig, LatentEncoder, LatentRating, RatingConfig
from facegen.models.projected import ProjectedConfig, ProjectedHeads
from facegen.models.srgan import SRGANConfig, SRGANDiscriminator, SRGANDiscriminatorConfig, SRGANGenerator
from facegen.models.unet import GridConfig, GridDiscriminator, UNet, UNetConfig
from facegen.recipe import PipelineRecipe, load_recipe, parse_recipe

Kind = Literal[
    "dcgan", "jnet", "patchgan", "heads", "encoder", "rating", "srgan", "srgan-discriminator", "unet",
    "unet-discriminator",
]  # fmt: skip
MODELS: dict[Kind, tuple[type[BaseModel], type[nn.Module]]] = {
    "dcgan": (DCGANConfig, DCGANGenerator),
    "jnet": (JNetConfig, JNet),
    "patchgan": (PatchConfig, PatchDiscriminator),
    "heads": (ProjectedConfig, ProjectedHeads),
    "encoder": (EncoderConfig, LatentEncoder),
    "rating": (RatingConfig, LatentRating),
    "srgan": (SRGANConfig, SRGANGenerator),
    "srgan-discriminator": (SRGANDiscriminatorConfig, SRGANDiscriminator),
    "unet": (UNetConfig, UNet),
    "unet-discriminator": (GridConfig, GridDiscriminator),
}
MODEL_FILE, CARD_FILE, RECIPE_FILE = "model.safetensors", "card.toml", "recipe.toml"
TRAINING = "training"
"""Subfolder of the discriminators, which only training needs."""
DISCRIMINATOR_SUFFIXES = ("-patchgan", "-heads", "-discriminator")
RATING_SUFFIX = "-rating"
Network = TypeVar("Network", bound=nn.Module)


class Card(BaseModel):
    """The network, origin and terms of use of a weight file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    sha256: str
    """SHA-256 of model.safetensors."""
    config: dict[str, Any]
    """The network's config."""
    guide: GuideMode | None = None
    """The kind of guide in a J-net's input."""
    recipe: str
    """The recipe that trained it."""
    images_seen: int
    sources: tuple[str, ...]
    """The number of training pictures of each source, "name: count"; a source is the part of a file name before the
    last underscore."""
    licence: str
    limits: str
    metrics: dict[str, float | str] = {}
    """Figures, each with the command that measures it."""


def weight_folders() -> list[Path]:
    """List the shipped weight folders by name."""
    cards = (*WEIGHTS.glob(f"*/{CARD_FILE}"), *WEIGHTS.glob(f"{TRAINING}/*/{CARD_FILE}"))
    return sorted((card.parent for card in cards), key=lambda folder: folder.name)


def find_weights(name: str) -> Path:
    """Find a weight folder.

    Args:
        name: a name of shipped weights, the path of a folder or of a file in it, or "hf:owner/name@revision" on the
            Hugging Face hub; see `facegen.hub`.
    Raises:
        WeightsError: if there is no such folder; lists the shipped ones.
    """
    if name.startswith(PREFIX):
        return fetch_folder(name, needed=(CARD_FILE, MODEL_FILE), extra=(RECIPE_FILE,))
    if Path(name).name in (CARD_FILE, MODEL_FILE):
        name = str(Path(name).parent)
    for folder in (WEIGHTS / name, WEIGHTS / TRAINING / name, Path(name)):
        if is_plain(folder / CARD_FILE):
            return folder
    known = [folder.name for folder in weight_folders()]
    text = f"weights {name!r}: neither shipped nor a folder with a {CARD_FILE}" + suggest(name, known, "'")
    if name.endswith(DISCRIMINATOR_SUFFIXES):
        text += f" Discriminators are in the repository only, in weights/{TRAINING}/; give the path of such a folder."
    raise WeightsError(text)


def companion(name: str, suffix: str) -> Path | None:
    """Find a network that was published with the weights `name`, as NAME + `suffix`; return None if there is none.

    Raises:
        WeightsError: as for `find_weights`.
    """
    folder = find_weights(name)
    if name.startswith(PREFIX):
        return fetch_companion(name, read_card(folder).name + suffix, needed=(CARD_FILE, MODEL_FILE))
    places = (folder.with_name(TRAINING) / (folder.name + suffix), folder.with_name(folder.name + suffix))
    return next((place for place in places if (place / CARD_FILE).is_file()), None)


def rating_of(recipe: PipelineRecipe) -> Path | None:
    """Find the rating of a recipe's generator; return None if it has none, or the recipe rejects no latents.

    Raises:
        WeightsError: as for `find_weights`.
    """
    return companion(recipe.weights.generator, RATING_SUFFIX) if recipe.rejection else None


def read_card(folder: Path) -> Card:
    """Read a folder's card.

    Raises:
        WeightsError: if it is missing or wrong.
    """
    try:
        return load_recipe(folder / CARD_FILE, Card)
    except RecipeError as error:
        raise WeightsError(str(error)) from None


def sha256_of_weights(name: str) -> str:
    """Return the SHA-256 of weights that their card states; the card is read again only if it has changed."""
    folder = find_weights(name)
    return _sha256_in(folder, (folder / CARD_FILE).stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256_in(folder: Path, _changed: int) -> str:
    return read_card(folder).sha256


def load_network(name: str, network: type[Network]) -> tuple[Network, Card]:
    """Load a network with its published weights, in eval mode and without gradients.

    Args:
        name: as for `find_weights`.
        network: its class, which the card must name.
    Raises:
        WeightsError: if the weights are missing, damaged (hash), or for another network.
    """
    folder = find_weights(name)
    card = read_card(folder)
    config_class, model_class = MODELS[card.kind]
    if model_class is not network:
        raise WeightsError(f"{folder}: holds a {card.kind}, expected weights for a {network.__name__}.")
    data = _checked_model(folder, card)
    try:
        model = network(parse_recipe(card.config, config_class, source=f"{folder / CARD_FILE} [config]"))
        state = _single(load_safetensors(data))
        model.load_state_dict(state)
    except RecipeError as error:
        raise WeightsError(str(error)) from None
    except (SafetensorError, RuntimeError) as error:
        reason = one_line(error, 300)
        raise WeightsError(f"{folder / MODEL_FILE}: does not fit the config in its card: {reason}") from None
    if lost := [key for key, value in state.items() if not torch.isfinite(value).all()]:
        raise WeightsError(f"{folder / MODEL_FILE}: {lost[0]} holds values that are not finite; get other weights.")
    return model.eval().requires_grad_(False), card


def _single(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    halved = {key: (value.half() if value.is_floating_point() else value).contiguous() for key, value in state.items()}
    lost = [key for key, value in halved.items() if not torch.isfinite(value).all()]
    if lost:
        raise WeightsError(f"{', '.join(lost)}: holds values that are not finite in half precision; not saved.")
    return halved


def _checked_model(folder: Path, card: Card) -> bytes:
    """Read the weight file, and check it against the hash in its card.

    Raises:
        WeightsError: if it cannot be read, or its hash differs.
    """
    try:
        refuse_special(folder / MODEL_FILE, WeightsError)
        data = (folder / MODEL_FILE).read_bytes()
    except OSError as error:
        raise WeightsError(f"{folder / MODEL_FILE}: cannot be read ({error.strerror}); get the file again.") from None
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise WeightsError(
            f"{folder / MODEL_FILE}: its SHA-256 is {found}, but the card says {card.sha256}: the file is "
            "damaged or was replaced; get it again, or publish your own with facegen publish."
        )
    return data


def save_weights(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write model.safetensors (half precision) and card.toml, each completely or not at all.

    Returns:
        the card as written, with the file's hash.
    Raises:
        WeightsError: if a value is not finite, or the folder cannot be written.
    """
    data = save_safetensors(_half(network.state_dict()))
    card = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    text = tomli_w.dumps(card.model_dump(mode="json", exclude_none=True))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / MODEL_FILE, data)
        _replace(folder / CARD_FILE, text.encode())
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be written ({error.strerror}); choose another folder.") from None
    return card


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
