"""Draw faces from latents, upscale them, and write them with their records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facegen.arrays import RGB, to_rgb
from facegen.candidates import Upscaled
from facegen.faces.landmarks import Landmarks, landmarks_in_head
from facegen.media.images import resize, write_image
from facegen.media.record import record_text
from facegen.pipeline import GPU_FACES, FacePipeline
from facegen.runtime import is_gpu, side_stream
from facegen.threads import Submit, at_once, in_order, threads


@dataclass(frozen=True)
class Order:
    """A face to draw and write."""

    z: Tensor
    """(z_dim,) latent."""
    path: Path
    options: Mapping[str, Any]
    """Options of the command that determine the picture, for its record; "size" is its side."""


@dataclass(frozen=True)
class Drawn:
    """A face that has been drawn and written."""

    path: Path
    picture: RGB
    """(size, size, 3), as written."""
    face: Tensor
    """(3, 128, 128) in [0, 1], as the generator drew it."""
    upscaled: Upscaled


def write_drawn(pipeline: FacePipeline, order: Order, command: str, source: Path | None = None) -> Drawn:
    """Draw one face, upscale it and write it; see `write_all`."""
    (drawn,) = write_all(pipeline, [order], order.options["size"], command, source)
    return drawn.result()


def write_all(
    pipeline: FacePipeline, orders: Iterable[Order], size: int, command: str, source: Path | None = None
) -> Iterator[Future[Drawn]]:
    """Draw faces, upscale them to `size`, and write them; a face does not depend on the others.

    A GPU upscales several at a time, or one if they are larger than `drawn_size`, while other threads find the
    landmarks of the next faces and write those that are done.

    Args:
        size: side of all faces, in pixels.
        command: the command, for the records.
        source: the photo for which the latents were found.
    Yields:
        for each order, in order, a finished future with the face or its error.
    """
    gpu, remaining = is_gpu(pipeline.device), iter(orders)
    pool: AbstractContextManager[Submit] = threads(torch.get_num_threads()) if gpu else nullcontext(at_once)
    batch = GPU_FACES if gpu and size <= pipeline.drawn_size else 1
    with pool as submit:
        maker = _Maker(pipeline, size, command, source, submit)
        batches = iter(lambda: list(islice(remaining, batch)), [])
        faces = (face for made in in_order(map(maker.begin, batches), int(gpu)) for face in made)
        yield from in_order((partial(_finished, face) for face in faces), batch if gpu else 0)


def _finished(face: Future[Drawn]) -> Future[Drawn]:
    """Wait for a face without raising its error."""
    face.exception()
    return face


@dataclass(frozen=True)
class _Maker:
    """Makes files from latents."""

    pipeline: FacePipeline
    size: int
    command: str
    source: Path | None
    submit: Submit

    def begin(self, orders: list[Order]) -> Callable[[], list[Future[Any]]]:
        """Draw faces and start to detect their landmarks; return a function that upscales and starts to write them."""
        drawn = at_once(lambda: self.pipeline.draw(torch.stack([order.z for order in orders])))
        if drawn.exception():
            return lambda: [drawn] * len(orders)
        landmarks = [self.submit(partial(landmarks_in_head, rgb)) for rgb in to_rgb(drawn.result())]
        return partial(self._upscale, orders, drawn.result(), landmarks)

    def _upscale(self, orders: list[Order], faces: Tensor, landmarks: list[Future[Landmarks]]) -> list[Future[Any]]:
        done = at_once(lambda: self.pipeline.upscale_drawn(faces, [one.result() for one in landmarks], self.size))
        if done.exception():
            return [done] * len(orders)
        rows = zip(orders, faces, done.result(), strict=True)
        return [self.submit(partial(self._write, *row, side_stream(self.pipeline.device))) for row in rows]

    def _write(self, order: Order, face: Tensor, upscaled: Upscaled, stream: AbstractContextManager[object]) -> Drawn:
        with stream:
            picture = resize(to_rgb(upscaled.image), (self.size, self.size))
            text = record_text(
                self.pipeline, self.command, order.options, upscaled=[upscaled], source=self.source, z=order.z
            )
            text["fit"] = f"{upscaled.fit:.1f} dB"
        return Drawn(write_image(order.path, picture, text=text, label="generated"), picture, face, upscaled)
