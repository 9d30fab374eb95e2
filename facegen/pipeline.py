"""FacePipeline: face -> landmarks -> guide -> tiles -> candidates -> choice -> blend -> consistency -> picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.profiler import record_function as step

from facegen.errors import ShapeError, UsageError
from facegen.guide import GuideMode, paint_guide
from facegen.landmarks import Landmarks, landmarks_in_head
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.ops.blending import blend
from facegen.ops.choice import choose, gather
from facegen.ops.consistency import back_project, downsample_area
from facegen.ops.scoring import Discriminator, ScoreContext, score
from facegen.ops.tiling import TilePlan, plan_tiles, split
from facegen.ops.variants import VARIANTS, apply_variant, undo_variant
from facegen.paths import PIPELINES
from facegen.precision import Precision, autocast
from facegen.recipe import load_recipe
from facegen.tensors import to_picture, to_tensor
from facegen.weights import load_network

DEFAULT_RECIPE = PIPELINES / "portrait.toml"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightNames(_Table):
    """Names of shipped weights, or paths of weight folders."""

    generator: str = "dcgan-128"
    upscaler: str = "jnet-8x"
    discriminator: str = "jnet-8x-patchgan"
    """Loaded only if a scorer asks for it."""


class TileOptions(_Table):
    """Geometry in low-res pixels; the tile's side is the J-net's."""

    overlap: int = Field(default=16, ge=0)


class CandidateOptions(_Table):
    """What each tile is shown as."""

    variants: Literal["none", "flip", "varied"] = "flip"


class ChoiceOptions(_Table):
    """How one candidate per tile is picked."""

    scorers: dict[str, float] = {"laplacian": 1.0}
    """Scorer -> weight; see facegen.ops.scoring.SCORERS."""
    agreement: float = Field(default=1.0, ge=0)
    """Weight of agreeing with the neighbours in the overlap."""


class PipelineRecipe(_Table):
    """pipelines/*.toml"""

    kind: Literal["pipeline"]
    truncation: float = Field(default=1.0, gt=0)
    """Latents are drawn from a normal distribution cut off at this many deviations times two; lower is more typical."""
    fidelity: float = Field(default=1.0, ge=0, le=1)
    """How far the result must agree with its input when shrunk again: 1 fully, 0 not at all."""
    batch: int = Field(default=10, ge=1)
    """Tiles per network call."""
    precision: Precision = "auto"
    weights: WeightNames = WeightNames()
    tiles: TileOptions = TileOptions()
    candidates: CandidateOptions = CandidateOptions()
    choice: ChoiceOptions = ChoiceOptions()


@dataclass(frozen=True)
class Raised:
    """A raised picture and what it was made from."""

    image: Tensor
    """(3, s*h, s*w) in [0, 1]."""
    stack: Tensor
    """(3+G, h, w) in [0, 1]: the low-res picture and its guide."""
    reference: Tensor
    """(3, r*h, r*w), what the image was made to agree with; the low-res picture itself if r is 1."""
    plan: TilePlan
    candidates: Tensor
    """(T, K, 3, s*tile, s*tile)."""
    chosen: Tensor
    """(T,) index of the candidate that won."""
    landmarks: Landmarks | None
    """In low-res pixels; None where no face was looked for."""


class FacePipeline:
    """The whole flow on one set of networks. Every picture is made by itself, so batches never change it."""

    def __init__(
        self,
        recipe: PipelineRecipe,
        *,
        generator: DCGANGenerator,
        upscaler: JNet,
        guide: GuideMode,
        discriminator: PatchDiscriminator | None = None,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.guide, self.device = recipe, guide, device
        self.config: JNetConfig = upscaler.config
        self.generator = generator.to(device)
        self.upscaler = upscaler.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(device) if discriminator is not None else None

    @classmethod
    def load(cls, path: Path = DEFAULT_RECIPE, overrides: Iterable[str] = (), *, device: str = "cpu") -> FacePipeline:
        """Read a recipe and the weights it names.

        Raises:
            RecipeError: if the recipe is wrong.
            WeightsError: if weights are missing or damaged.
        """
        recipe = load_recipe(path, PipelineRecipe, overrides)
        generator, _ = load_network(recipe.weights.generator, DCGANGenerator)
        upscaler, card = load_network(recipe.weights.upscaler, JNet)
        judge = None
        if recipe.choice.scorers.get("discriminator"):
            judge, _ = load_network(recipe.weights.discriminator, PatchDiscriminator)
        return cls(
            recipe,
            generator=generator,
            upscaler=upscaler,
            guide=card.guide or "none",
            discriminator=judge,
            device=device,
        )

    @property
    def scale(self) -> int:
        """How many times the upscaler enlarges."""
        return self.config.scale

    def latent(self, seed: int) -> Tensor:
        """z of a seed: (z_dim,), normal, cut off at 2 x truncation deviations; the same on every device."""
        rng = torch.Generator().manual_seed(seed)
        bound = 2 * self.recipe.truncation
        z = torch.empty(self.generator.config.z_dim)
        return torch.nn.init.trunc_normal_(z, std=1.0, a=-bound, b=bound, generator=rng)

    def draw(self, z: Tensor) -> Tensor:
        """Stage 1: (z_dim,) -> face (3, 128, 128) in [0, 1]."""
        with torch.inference_mode(), step("facegen.draw"), autocast(self.recipe.precision, self.device):
            return self.generator.draw(z[None].to(self.device))[0]

    def sample(self, seed: int, size: int = 768) -> Raised:
        """A face from a seed; see `__call__`."""
        return self(self.draw(self.latent(seed)), size)

    def __call__(self, head: Tensor, size: int = 768) -> Raised:
        """Raise an aligned head.

        Args:
            head: (3, S, S) in [0, 1], in the FFHQ frame; any S.
            size: side wanted; the image is the next multiple of the scale, at least one tile.
        Raises:
            ShapeError: if the head is not square.
            UsageError: if the size is not positive.
        """
        if head.ndim != 3 or head.shape[0] != 3 or head.shape[1] != head.shape[2]:
            raise ShapeError(f"FacePipeline: head has shape {tuple(head.shape)}, expected (3, S, S).")
        side = self.low_res_side(size)
        with step("facegen.landmarks"):
            landmarks = landmarks_in_head(to_picture(head)).scaled(side / head.shape[1])
        return self.raise_picture(head, (side, side), landmarks)

    def low_res_side(self, size: int) -> int:
        """Low-res pixels needed for `size` high-res ones."""
        if size < 1:
            raise UsageError(f"size is {size}, expected a positive number of pixels.")
        return max(math.ceil(size / self.scale), self.config.tile)

    @torch.inference_mode()
    def raise_picture(self, picture: Tensor, low_res_size: tuple[int, int], landmarks: Landmarks | None) -> Raised:
        """Stage 2: shrink or stretch a picture to the low-res size and raise it.

        Args:
            picture: (3, H, W) in [0, 1].
            low_res_size: (h, w), each at least the tile's side; the image is s times as large.
            landmarks: of its one aligned face, in low-res pixels; None gives the empty guide.
        """
        picture = picture.to(self.device)
        with step("facegen.guide"):
            low_res = resample(picture, low_res_size)  # (3, h, w)
            stack = torch.cat([low_res, self._guide(low_res_size, landmarks)])  # (3+G, h, w)
        plan = plan_tiles(*low_res_size, tile=self.config.tile, overlap=self.recipe.tiles.overlap)
        tiles = split(stack, plan)  # (T, 3+G, t, t)
        with step("facegen.candidates"):
            candidates = self._candidates(tiles)  # (T, K, 3, s*t, s*t)
        with step("facegen.choice"):
            scores = score(candidates, ScoreContext(tiles, self._judge), self.recipe.choice.scorers)  # (T, K)
            chosen = choose(candidates, scores, plan, self.recipe.choice.agreement)  # (T,)
        with step("facegen.blend"):
            blended = blend(gather(candidates, chosen), plan)  # (3, s*h, s*w)
        with step("facegen.consistency"):
            reference = self._reference(picture, low_res)
            image = back_project(blended, reference, self.recipe.fidelity)
        return Raised(image, stack, reference, plan, candidates, chosen, landmarks)

    def _guide(self, size: tuple[int, int], landmarks: Landmarks | None) -> Tensor:
        """(G, h, w) in [0, 1]; empty without landmarks."""
        if landmarks is None:
            return torch.zeros(self.config.in_channels - 3, *size, device=self.device)
        return to_tensor(paint_guide(landmarks.points, size[0], self.guide)).to(self.device)

    def _candidates(self, tiles: Tensor) -> Tensor:
        """Every variant of every tile through the upscaler: (T, 3+G, t, t) -> (T, K, 3, s*t, s*t) in [0, 1]."""
        variants = VARIANTS[self.recipe.candidates.variants]
        shown = torch.cat([apply_variant(tiles, variant) for variant in variants])  # (K*T, 3+G, t, t)
        with autocast(self.recipe.precision, self.device):
            shown = shown.contiguous(memory_format=torch.channels_last)
            raised = torch.cat([self.upscaler(chunk) for chunk in torch.split(shown, self.recipe.batch)])
        by_variant = raised.float().view(len(variants), len(tiles), *raised.shape[1:])  # (K, T, 3, s*t, s*t)
        undone = [undo_variant(images, variant) for images, variant in zip(by_variant, variants, strict=True)]
        return torch.stack(undone, dim=1).clamp(0, 1)

    @property
    def _judge(self) -> Discriminator | None:
        discriminator = self.discriminator
        if discriminator is None:
            return None

        def judge(images: Tensor, stack: Tensor) -> Tensor:
            with autocast(self.recipe.precision, self.device):
                logits: Tensor = discriminator(images, stack)
            return logits.float().mean(dim=(1, 2, 3))

        return judge

    def _reference(self, picture: Tensor, low_res: Tensor) -> Tensor:
        """The finest shrunken copy of the picture that the image can be held to: nothing the user gave is lost."""
        height, width = low_res.shape[-2:]
        factor = self.scale
        while factor > 1 and (factor * height > picture.shape[-2] or factor * width > picture.shape[-1]):
            factor //= 2
        return low_res if factor == 1 else downsample_area(picture, (factor * height, factor * width))


def resample(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) to (3, h, w): by area where it shrinks, bicubic where it grows; clamped to [0, 1]."""
    if size[0] <= picture.shape[-2] and size[1] <= picture.shape[-1]:
        return downsample_area(picture, size)
    return F.interpolate(picture[None], size=size, mode="bicubic", align_corners=False)[0].clamp(0, 1)
