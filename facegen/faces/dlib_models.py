"""dlib's detector and models: found in the packages that carry them, and loaded while other threads run."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import chdir
from functools import cache
from pathlib import Path
from threading import Thread, local
from typing import Any, NamedTuple

from facegen.errors import MissingExtraError

PREDICTOR = "shape_predictor_68_face_landmarks.dat"
_OF_THREAD = local()


def model_path(name: str) -> Path:
    """Where dlib's model of this name lies; its package is located, not imported, as it needs pkg_resources.

    Raises:
        MissingExtraError: if the package that carries the models is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"dlib's model {name} is not installed: pip install face_recognition_models")
    return Path(spec.origin).parent / "models" / name


def load_model(kind: Callable[[str], Any], name: str) -> Any:
    """Load dlib's model of this name.

    On Windows, dlib opens no path with letters beyond ASCII, but any file of the working folder.
    """
    path = model_path(name)
    if str(path).isascii():
        return kind(str(path))
    with chdir(path.parent):
        return kind(path.name)


def face_detector() -> Any:
    """dlib's detector, which keeps what it works on in itself: each thread has its own."""
    if not hasattr(_OF_THREAD, "detector"):
        _OF_THREAD.detector = pickle.loads(begin_to_load().detector.result())  # dlib takes 0.4 s to make another
    return _OF_THREAD.detector


def landmark_model() -> Any:
    """The landmark model, which all threads share."""
    return begin_to_load().landmarks.result()


class Loading(NamedTuple):
    """The models that are being loaded."""

    detector: Future[bytes]
    """Pickled."""
    landmarks: Future[Any]


@cache
def begin_to_load() -> Loading:
    """Load both on a thread of their own, 0.8 s of a processor; it does not keep the program from ending."""
    loading = Loading(Future(), Future())

    def load() -> None:
        for future, make in zip(loading, (_pickled_detector, _landmark_model), strict=True):
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)

    Thread(target=load, daemon=True).start()
    return loading


def _pickled_detector() -> bytes:
    import dlib

    return pickle.dumps(dlib.get_frontal_face_detector())


def _landmark_model() -> Any:
    import dlib

    return load_model(dlib.shape_predictor, PREDICTOR)
