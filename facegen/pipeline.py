"""Upscale a face: landmarks -> guide -> tiles -> candidates -> choice -> blend -> back-projection -> picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.profiler import record_function as step

from facegen.arrays import to_rgb
from facegen.candidates import (
    Candidates,
    Progress,
    Upscaled,
    concatenate,
    make_candidates,
    network_input,
    select,
    wanted_variants,
)
from facegen.errors import RecipeError, ShapeError, UsageError, WeightsError
from facegen.faces.guide import GuideMode
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.files import PIPELINES, find_recipe
from facegen.models.dcgan import DCGANGenerator
from facegen.models.discriminators import PatchDiscriminator
from facegen.models.jnet import JNet, JNetConfig
from facegen.models.latents import LatentRating, draw_latent
from facegen.networks import check_networks, load_networks, role_overrides
from facegen.ops.blending import blend
from facegen.ops.choice import gather
from facegen.ops.color import in_tone
from facegen.ops.consistency import ROUNDING, back_project, finest_reference, resample
from facegen.ops.strength import strength_of, undamaged, without_damage
from facegen.ops.tiling import TilePlan, plan_tiles
from facegen.ops.variants import Variant
from facegen.recipe import PipelineRecipe, load_recipe
from facegen.runtime import autocast, falls_back_to_cpu, in_batches, is_gpu, runner

DEFAULT_RECIPE = PIPELINES / "portrait.toml"
PLAIN_OVERLAP = 8
"""Largest overlap, in low-res pixels, of tiles with one candidate each."""
GPU_FACES = 16
"""Faces that a GPU draws or upscales at a time: Python needs as long to start work on one as on several."""
GPU_BATCH = 50
"""Tiles of the J-net's tile size that a GPU takes at a time: the two variants of a 768 px face."""
DRAWN_SIDE = 96
"""Largest low-res side of a face drawn by stage 1: the network learned detail at that size, and draws a lattice and
ripples along hair at larger ones."""
AGAIN_SIDE = 384
"""Low-res side of a face that is upscaled again: half of its 768 px, which is sharp to the pixel."""

Extend = Callable[[Candidates], Candidates]
"""Changes the candidates, or adds a bonus to their scores."""


class FacePipeline:
    """Draws and upscales faces with the networks of a recipe; a picture never depends on the others of a run.

    If a GPU's memory is too small, the network gets fewer tiles at a time; if it is too small for one, the pipeline
    moves to the CPU with a RuntimeWarning, and stays there.

    `progress`, if set, is called after every batch of tiles. An exception from it cancels the picture, and the pipeline
    stays usable.

    Raises:
        RecipeError: if the recipe's tiles or strength do not fit the J-net, or it wants more candidates than variants.
        WeightsError: if the networks were not made for each other.
    """

    def __init__(
        self,
        recipe: PipelineRecipe,
        *,
        generator: DCGANGenerator,
        rating: LatentRating | None = None,
        upscaler: JNet,
        guide: GuideMode,
        discriminator: PatchDiscriminator | None = None,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.guide = recipe, guide
        self.generator, self.rating, self.upscaler, self.discriminator = generator, rating, upscaler, discriminator
        self.config: JNetConfig = upscaler.config
        self.progress: Progress | None = None
        self._variants = wanted_variants(recipe.candidates)
        check_networks(recipe, upscaler=self.config, guide=guide, discriminator=discriminator)
        self.to(device)

    def to(self, device: str) -> None:
        """Move the networks to a device."""
        self.device = device
        self.generator.to(device)
        self.upscaler.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run = runner(self.upscaler, self.recipe.precision, device)
        if self.discriminator is not None:
            self.discriminator.to(device)

    @classmethod
    def load(
        cls, path: Path | str = DEFAULT_RECIPE, overrides: Iterable[str] = (), *, device: str = "cpu"
    ) -> FacePipeline:
        """Load a recipe and its weights.

        Args:
            path: a TOML file, or the name of a shipped recipe, such as "fast".
            overrides: see `load_recipe`.
        Raises:
            RecipeError: if the recipe is wrong; names the file and the key.
            WeightsError: if weights are missing, damaged, or do not fit each other.
        """
        path = find_recipe(path)
        recipe = load_recipe(path, PipelineRecipe, overrides)
        networks = load_networks(recipe)
        try:
            return cls(recipe, **networks, device=device)
        except (RecipeError, WeightsError) as error:
            raise type(error)(f"{path}: {error}") from None

    @classmethod
    def from_pretrained(cls, *names: str, path: Path | str = DEFAULT_RECIPE, device: str = "cpu") -> FacePipeline:
        """Load a recipe with other weights for some of its networks; see `load`.

        Args:
            names: weights of the hub ("hf:owner/name"), shipped ones, or folders; their cards say what they replace.
        """
        return cls.load(path, role_overrides(names), device=device)

    @property
    def scale(self) -> int:
        """Enlargement of the upscaler."""
        return self.config.scale

    @property
    def drawn_size(self) -> int:
        """Largest side to which a drawn face is upscaled in one pass: 768 px at 8x."""
        return self.scale * max(DRAWN_SIDE, self.config.tile)

    @property
    def finest_size(self) -> int:
        """Side of a face upscaled by `again`: 3072 px at 8x."""
        return self.scale * AGAIN_SIDE

    def latent(self, seed: int, truncation: float | None = None, rejection: float | None = None) -> Tensor:
        """Draw the latent of a seed, (z_dim,), the same on every device; see `draw_latent`.

        Args:
            truncation, rejection: None takes the recipe's; without a rating of the generator no latent is rejected.
        """
        truncation = self.recipe.truncation if truncation is None else truncation
        rejection = self.recipe.rejection if rejection is None else rejection
        return draw_latent(seed, self.generator.config.z_dim, truncation, self.rating, rejection)

    def draw(self, z: Tensor) -> Tensor:
        """Draw faces (stage 1): (z_dim,) -> (3, 128, 128) in [0, 1], or (N, z_dim) -> (N, 3, 128, 128).

        Raises:
            WeightsError: if a face has only one colour, or values that are not finite.
        """
        draw, gpu = self.generator.draw, is_gpu(self.device)
        latents = z.to(self.device).reshape(-1, z.shape[-1], 1, 1)
        with torch.inference_mode(), step("facegen.draw"), autocast(self.recipe.precision, self.device):
            batches = in_batches(lambda x: draw(x.flatten(1)), latents, GPU_FACES if gpu else 1, full=gpu)
            faces = torch.cat([drawn for _, drawn in batches])
            if not bool(((faces.amax((1, 2, 3)) - faces.amin((1, 2, 3))) * 255 > 1).all()):  # false for NaN too
                reason = "drew one flat colour, or values that are not finite; get other weights."
                raise WeightsError(f"generator {self.recipe.weights.generator}: {reason}")
        return faces.reshape(*z.shape[:-1], *faces.shape[1:])

    def sample(self, seed: int, size: int = 768) -> Upscaled:
        """Draw the face of a seed and upscale it; see `upscale_drawn`."""
        (upscaled,) = self.upscale_drawn(self.draw(self.latent(seed))[None], ["find"], size)
        return upscaled

    def upscale_drawn(
        self, faces: Tensor, landmarks: Sequence[Landmarks | Literal["find"]], size: int
    ) -> list[Upscaled]:
        """Upscale drawn faces, (B, 3, 128, 128), to `size`, or in two passes to `finest_size` if it is over
        `drawn_size`; see `__call__`.
        """
        upscaled = self.together(faces, landmarks, min(size, self.drawn_size), drawn=True)
        return upscaled if size <= self.drawn_size else [self.again(face) for face in upscaled]

    def again(self, upscaled: Upscaled) -> Upscaled:
        """Upscale an upscaled face again, to `finest_size`; the result agrees with it at `AGAIN_SIDE`."""
        landmarks = upscaled.landmarks and upscaled.landmarks.scaled(AGAIN_SIDE / upscaled.stack.shape[-1])
        return self(resample(upscaled.image, (AGAIN_SIDE, AGAIN_SIDE)), self.finest_size, landmarks=landmarks)

    def __call__(
        self,
        picture: Tensor,
        size: int = 768,
        *,
        landmarks: Landmarks | Literal["find"] | None = "find",
        drawn: bool = False,
        count: int | None = None,
        extend: Extend | None = None,
    ) -> Upscaled:
        """Upscale an aligned head, or, without landmarks, any picture.

        Args:
            picture: (3, H, W) in [0, 1]; a head is square, in the FFHQ frame.
            size: shorter side wanted, in pixels; the image's is the next multiple of the scale, and at least one
                upscaled tile.
            landmarks: of the head, in pixels of the picture; "find" detects them; None is a picture without a face,
                whose guide is empty.
            drawn: the picture is a face that stage 1 drew; its faults are repaired, see the recipe's `drawn_strength`.
            count: candidates per tile, the first of the recipe's; None makes all.
            extend: changes the candidates before the choice; films use it to prefer the previous frame's choice.
        Raises:
            ShapeError: if the picture is not (3, H, W), or a head is not square.
            UsageError: if the size is not positive.
        """
        _check_picture(picture, square=landmarks is not None)
        (upscaled,) = self.together(picture[None], [landmarks], size, drawn=drawn, count=count, extend=extend)
        return upscaled

    @falls_back_to_cpu
    @torch.inference_mode()
    def together(
        self,
        pictures: Tensor,
        landmarks: Sequence[Landmarks | Literal["find"] | None],
        size: int = 768,
        *,
        drawn: bool = False,
        count: int | None = None,
        extend: Extend | None = None,
    ) -> list[Upscaled]:
        """Upscale pictures of one size, (B, 3, H, W), each as `__call__` would; faster on a GPU."""
        made = self._candidates(pictures.to(self.device), landmarks, size, drawn, count)
        return self._finished([extend(one) for one in made] if extend else made)

    def _candidates(
        self,
        pictures: Tensor,
        landmarks: Sequence[Landmarks | Literal["find"] | None],
        size: int,
        drawn: bool,
        count: int | None,
    ) -> list[Candidates]:
        """Make the candidates of every tile of pictures, (B, 3, H, W)."""
        # 1. The pictures at the low-res size, (B, 3, h, w).
        factor = self.low_res_side(size) / min(pictures.shape[2:])
        low_res = resample(pictures, (round(pictures.shape[2] * factor), round(pictures.shape[3] * factor)))
        # 2. Their landmarks, in low-res pixels, and the guides painted from them, (B, G, h, w).
        faces = [landmarks_in_head(to_rgb(x)) if y == "find" else y for x, y in zip(pictures, landmarks, strict=True)]
        faces = [face and face.scaled(low_res.shape[3] / pictures.shape[3]) for face in faces]
        strengths = [strength_of(picture, self._strength(drawn)) for picture in low_res]
        stacks = network_input(low_res, faces, strengths, self.guide, with_strength=self.config.strength)
        # 3. The tiles, in low-res pixels.
        plan = self.plan(*low_res.shape[2:])
        # 4. The candidates of each tile, (B, T, K, 3, s*t, s*t).
        variants = self._variants[:count]
        images = self._upscale_tiles(stacks, plan, variants)
        names = tuple(variant.name for variant in variants)
        references = finest_reference(pictures, low_res, self.scale)
        return [
            Candidates(
                stack=stack, reference=reference, landmarks=face, strength=strength, plan=plan, images=made, names=names
            )
            for stack, reference, face, strength, made in zip(stacks, references, faces, strengths, images, strict=True)
        ]

    def _finished(self, candidates: list[Candidates]) -> list[Upscaled]:
        """Choose and blend the candidates of pictures of one size, and back-project the results."""
        plan, strengths = candidates[0].plan, [one.strength for one in candidates]
        # 5. The scores, (B, T, K), and the chosen candidate of each tile, (B, T).
        scores, chosen = select(candidates, self.recipe.choice, self.discriminator and self._discriminator_score)
        # 6. The chosen tiles of each picture, blended: (B, 3, s*h, s*w).
        tiles = gather(concatenate([one.images for one in candidates]), chosen.flatten())  # (B*T, 3, s*t, s*t)
        images = blend(tiles.view(len(candidates), len(plan), *tiles.shape[1:]).transpose(0, 1), plan).clamp_(0, 1)
        low_res = torch.stack([one.stack[:3] for one in candidates])
        images = torch.stack(list(map(in_tone, images, low_res)))
        # 7. Back-projection, so that every picture agrees with its input when it is shrunk.
        references = undamaged(images, torch.stack([one.reference for one in candidates]), low_res, strengths)
        images = back_project(images, references, self.recipe.fidelity, slack=ROUNDING)
        return [one.upscaled(*made) for one, *made in zip(candidates, images, references, scores, chosen, strict=True)]

    def _strength(self, drawn: bool) -> float | Literal["auto"]:
        """Return the strength that the recipe states for drawn faces or for photos."""
        if drawn:
            return self.recipe.drawn_strength if self.config.strength else 0
        return self.recipe.strength

    @falls_back_to_cpu
    @torch.inference_mode()
    def upscale_plain(self, picture: Tensor) -> Tensor:
        """Upscale a picture without a face: no guide, the first candidate of every tile.

        Args:
            picture: (3, h, w) in [0, 1], each side at least the tile's.
        Returns:
            (3, s*h, s*w) in [0, 1].
        """
        picture = picture.to(self.device)
        plan = self.plan(*picture.shape[1:], most=PLAIN_OVERLAP)
        strength = strength_of(picture, self.recipe.strength)
        stacks = network_input(picture[None], [None], [strength], self.guide, with_strength=self.config.strength)
        images = self._upscale_tiles(stacks, plan, self._variants[:1])
        image = in_tone(blend(images[0, :, 0], plan).clamp_(0, 1), picture)
        reference = without_damage(image, picture, strength)
        return back_project(image, reference, self.recipe.fidelity, slack=ROUNDING)

    def plan(self, height: int, width: int, *, most: int | None = None) -> TilePlan:
        """Plan the recipe's tiles for a low-res picture, or the largest tiles the network takes that fit into it.

        Args:
            height, width: at least the side of the network's tiles.
            most: upper limit of the overlap.
        """
        unit, overlap = self.config.tile, self.recipe.tiles.overlap
        side = min(self.recipe.tiles.side or unit, min(height, width) // unit * unit)
        return plan_tiles(height, width, tile=side, overlap=overlap if most is None else min(overlap, most))

    def low_res_side(self, size: int) -> int:
        """Return the low-res side needed for a high-res side of `size` pixels.

        Raises:
            UsageError: if the size is not positive.
        """
        if size < 1:
            raise UsageError(f"size is {size}, expected a positive number of pixels.")
        return max(math.ceil(size / self.scale), self.config.tile)

    def _upscale_tiles(self, stacks: Tensor, plan: TilePlan, variants: tuple[Variant, ...]) -> Tensor:
        """Upscale every variant of every tile: (B, T, K, 3, s*tile, s*tile) float16 in [0, 1]."""
        gpu = is_gpu(self.device)
        batch = max(self.recipe.batch, gpu * GPU_BATCH) * self.config.tile**2 // plan.tile**2 or 1
        images = make_candidates(
            self._run, stacks, plan, variants, scale=self.scale, batch=batch, full=gpu, progress=self.progress,
        )  # fmt: skip
        if images.amax().isnan():
            raise WeightsError("upscaler: made values that are not finite; get other weights.")
        return images

    def _discriminator_score(self, images: Tensor, stack: Tensor) -> Tensor:
        """Rate (N, 3, h, w) images made from an (N, C, t, t) stack by their (N,) mean logits."""
        assert self.discriminator is not None
        with autocast(self.recipe.precision, self.device):
            logits: Tensor = self.discriminator(images, stack[:, : self.discriminator.config.condition_channels])
        return logits.float().mean(dim=(1, 2, 3))


def _check_picture(picture: Tensor, *, square: bool) -> None:
    fits = picture.ndim == 3 and picture.shape[0] == 3 and picture.numel() > 0
    if not fits or (square and picture.shape[1] != picture.shape[2]):
        wanted = "(3, S, S)" if square else "(3, H, W)"
        raise ShapeError(f"FacePipeline: picture has shape {tuple(picture.shape)}, expected {wanted}.")
