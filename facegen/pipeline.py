"""FacePipeline: face -> landmarks -> guide -> tiles -> candidates -> choice -> blend -> consistency -> picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import to_picture, to_tensor
from facegen.candidates import check_alike, list_candidates, make_candidates
from facegen.competition import Pool, Upscaled, compete
from facegen.errors import RecipeError, ShapeError, UsageError, WeightsError
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode, paint_guide
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.files import PIPELINES
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.ops.blending import blend
from facegen.ops.calming import calm
from facegen.ops.consistency import ROUNDING, back_project, downsample_area, resample
from facegen.ops.scoring import Discriminator
from facegen.ops.tiling import plan_tiles
from facegen.precision import autocast
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.weights import load_network

__all__ = ["DEFAULT_RECIPE", "FacePipeline", "Upscaled", "resample"]
Made = TypeVar("Made")
DEFAULT_RECIPE = PIPELINES / "portrait.toml"
PLAIN_OVERLAP = 8
"""Low-res pixels that tiles overlap by at most where nothing competes."""
JUDGED_SCALE = 8
"""Every `PatchDiscriminator` joins its low-res input after three stride-2 convolutions."""


class FacePipeline:
    """The whole flow on one set of networks. Every picture is made by itself, so the others of a run never change it.

    Where a GPU's memory is too small for a picture, its tiles are upscaled fewer at a time; where it is too small for
    one of them, the pipeline moves to the processor, with a RuntimeWarning, and stays there.

    Raises:
        RecipeError: if the tiles overlap by a whole tile, or more candidates are asked for than there are.
        WeightsError: if the networks were not made for each other.
    """

    def __init__(
        self,
        recipe: PipelineRecipe,
        *,
        generator: DCGANGenerator,
        upscalers: Mapping[str, JNet],
        guide: GuideMode,
        discriminator: PatchDiscriminator | None = None,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.guide = recipe, guide
        self.generator, self.upscalers, self.discriminator = generator, dict(upscalers), discriminator
        check_alike(upscalers)
        self.config: JNetConfig = next(iter(upscalers.values())).config
        self._wanted = list_candidates(recipe.candidates, tuple(upscalers))
        self._check_parts()
        self.to(device)

    def to(self, device: str) -> None:
        """Move the networks to a device."""
        self.device = device
        self.generator.to(device)
        for upscaler in self.upscalers.values():
            upscaler.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.discriminator is not None:
            self.discriminator.to(device)

    def _check_parts(self) -> None:
        """Check that the networks fit each other and the recipe."""
        net, overlap, judge = self.config, self.recipe.tiles.overlap, self.discriminator
        if overlap >= net.tile:
            raise RecipeError(
                f"tiles.overlap: {overlap}, expected less than {net.tile}, the side of the J-net's tiles."
            )
        if net.in_channels != 3 + GUIDE_CHANNELS[self.guide]:
            raise WeightsError(
                f"upscaler: the J-net takes {net.in_channels} channels, but RGB and guide {self.guide!r} are "
                f"{3 + GUIDE_CHANNELS[self.guide]}; correct the guide in the card of its weights."
            )
        if judge is not None and (judge.config.condition_channels != net.in_channels or net.scale != JUDGED_SCALE):
            raise WeightsError(
                f"discriminator: judges {JUDGED_SCALE}x tiles by {judge.config.condition_channels} channels, but the "
                f"J-net makes {net.scale}x ones from {net.in_channels}; take the discriminator it was trained against."
            )

    @classmethod
    def load(cls, path: Path = DEFAULT_RECIPE, overrides: Iterable[str] = (), *, device: str = "cpu") -> FacePipeline:
        """Read a recipe and the weights it names.

        Raises:
            RecipeError: if the recipe is wrong; names the file and the key.
            WeightsError: if weights are missing, damaged, or do not fit each other.
        """
        recipe = load_recipe(path, PipelineRecipe, overrides)
        generator, _ = load_network(recipe.weights.generator, DCGANGenerator)
        upscalers, cards = zip(*(load_network(name, JNet) for name in recipe.weights.upscalers), strict=True)
        judge = None
        if recipe.choice.scorers.get("discriminator"):
            judge, _ = load_network(recipe.weights.discriminator, PatchDiscriminator)
        try:
            return cls(
                recipe,
                generator=generator,
                upscalers=dict(zip(recipe.weights.upscalers, upscalers, strict=True)),
                guide=cards[0].guide or "none",
                discriminator=judge,
                device=device,
            )
        except (RecipeError, WeightsError) as error:
            raise type(error)(f"{path}: {error}") from None

    @property
    def scale(self) -> int:
        """How many times the upscaler enlarges."""
        return self.config.scale

    def latent(self, seed: int, truncation: float | None = None) -> Tensor:
        """z of a seed: (z_dim,), normal, cut off at 2 x truncation (the recipe's) deviations; the same on every device.

        By the inverse of the normal distribution, so that a lower truncation draws the same face, only more typical.
        """
        rng = torch.Generator().manual_seed(seed)
        uniform = torch.rand(self.generator.config.z_dim, generator=rng, dtype=torch.float64) * 2 - 1
        bound = 2 * (self.recipe.truncation if truncation is None else truncation)
        z = math.sqrt(2) * torch.erfinv(uniform * math.erf(bound / math.sqrt(2)))
        return z.clamp(-bound, bound).float()

    def draw(self, z: Tensor) -> Tensor:
        """Stage 1: (z_dim,) -> face (3, 128, 128) in [0, 1]."""
        with torch.inference_mode(), step("facegen.draw"), autocast(self.recipe.precision, self.device):
            return self.generator.draw(z[None].to(self.device))[0]

    def sample(self, seed: int, size: int = 768) -> Upscaled:
        """A face from a seed; see `__call__`."""
        return self(self.draw(self.latent(seed)), size)

    def __call__(self, head: Tensor, size: int = 768) -> Upscaled:
        """Upscale an aligned head.

        Args:
            head: (3, S, S) in [0, 1], in the FFHQ frame; any S.
            size: side wanted; the image's is the next multiple of the scale, and at least that of one upscaled tile.
        Raises:
            ShapeError: if the head is not square.
            UsageError: if the size is not positive.
        """
        if head.ndim != 3 or head.shape[0] != 3 or head.shape[1] != head.shape[2] or not head.numel():
            raise ShapeError(f"FacePipeline: head has shape {tuple(head.shape)}, expected (3, S, S).")
        side = self.low_res_side(size)
        with step("facegen.landmarks"):
            landmarks = landmarks_in_head(to_picture(head)).scaled(side / head.shape[1])
        return self.upscale(head, (side, side), landmarks)

    def low_res_side(self, size: int) -> int:
        """Low-res pixels needed for `size` high-res ones."""
        if size < 1:
            raise UsageError(f"size is {size}, expected a positive number of pixels.")
        return max(math.ceil(size / self.scale), self.config.tile)

    def upscale(self, picture: Tensor, low_res_size: tuple[int, int], landmarks: Landmarks | None) -> Upscaled:
        """Stage 2: shrink or stretch a picture to the low-res size and upscale it.

        Args:
            picture: (3, H, W) in [0, 1].
            low_res_size: (h, w), each at least the tile's side; the image is s times as large.
            landmarks: of its one aligned face, in low-res pixels; None gives the empty guide.
        """
        return self.within_memory(lambda: self.settle(self.make_pool(picture, low_res_size, landmarks)))

    def upscale_plain(self, picture: Tensor) -> Tensor:
        """Stage 2 for what is no face: no guide, no competition, the first candidate of every tile.

        Args:
            picture: (3, h, w) in [0, 1], each side at least the tile's.
        Returns:
            (3, s*h, s*w) in [0, 1].
        """
        return self.within_memory(lambda: self._plain(picture))

    @torch.inference_mode()
    def _plain(self, picture: Tensor) -> Tensor:
        picture = picture.to(self.device)
        size = (picture.shape[-2], picture.shape[-1])
        plan = plan_tiles(*size, tile=self.config.tile, overlap=min(self.recipe.tiles.overlap, PLAIN_OVERLAP))
        stack = torch.cat([picture, self._guide(size, None)])
        with autocast(self.recipe.precision, self.device):
            candidates = make_candidates(stack, plan, self._wanted[:1], self.upscalers, self.recipe.batch)
        blended = calm(blend(candidates[:, 0], plan).clamp_(0, 1), self.recipe.calm)
        return back_project(blended, picture, self.recipe.fidelity, slack=ROUNDING)

    def within_memory(self, work: Callable[[], Made]) -> Made:
        """Do work on the pipeline; once more on the processor where the device's memory is too small even for a tile.

        The pipeline stays on the processor then, and a RuntimeWarning tells of it.
        """
        try:
            return work()
        except torch.OutOfMemoryError:
            reason = f"{self.device}: out of memory, even for one tile at a time; going on with the processor, slowly."
        warnings.warn(reason, RuntimeWarning, stacklevel=3)
        self.to("cpu")
        return work()

    @torch.inference_mode()
    def make_pool(self, picture: Tensor, low_res_size: tuple[int, int], landmarks: Landmarks | None) -> Pool:
        """The candidates that `upscale`, which has the same arguments, chooses from.

        Raises:
            torch.OutOfMemoryError: if the device's memory is too small for one tile.
        """
        picture = picture.to(self.device)
        with step("facegen.guide"):
            low_res = resample(picture, low_res_size)  # (3, h, w)
            stack = torch.cat([low_res, self._guide(low_res_size, landmarks)])  # (3+G, h, w)
        plan = plan_tiles(*low_res_size, tile=self.config.tile, overlap=self.recipe.tiles.overlap)
        with step("facegen.candidates"), autocast(self.recipe.precision, self.device):
            candidates = make_candidates(stack, plan, self._wanted, self.upscalers, self.recipe.batch)
        return Pool(
            stack=stack,
            reference=self._reference(picture, low_res),
            plan=plan,
            candidates=candidates,
            names=tuple(candidate.name for candidate in self._wanted),
            landmarks=landmarks,
        )

    @torch.inference_mode()
    def settle(self, pool: Pool) -> Upscaled:
        """Choose, blend and hold to the input as the recipe says."""
        return compete(pool, self.recipe.choice, self.recipe.fidelity, self.recipe.calm, self._judge)

    def _guide(self, size: tuple[int, int], landmarks: Landmarks | None) -> Tensor:
        """(G, h, w) in [0, 1]; empty without landmarks."""
        if landmarks is None:
            return torch.zeros(self.config.in_channels - 3, *size, device=self.device)
        return to_tensor(paint_guide(landmarks.points, size[0], self.guide)).to(self.device)

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
        """The picture at the low-res size, or at as many times that as it has pixels for and the scale a divisor."""
        height, width = low_res.shape[-2:]
        for n in range(self.scale, 1, -1):
            fits = n * height <= picture.shape[-2] and n * width <= picture.shape[-1]
            if self.scale % n == 0 and fits:
                return downsample_area(picture, (n * height, n * width))
        return low_res
