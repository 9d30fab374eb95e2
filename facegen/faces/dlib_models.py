"""Load dlib's detector and models from the packages that contain them, in a background thread."""

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
    """Return the path of a model of dlib without importing its package, which would need pkg_resources.

    Raises:
        MissingExtraError: if the package is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"dlib's model {name} is not installed: pip install face_recognition_models")
    return Path(spec.origin).parent / "models" / name


def load_model(kind: Callable[[str], Any], name: str) -> Any:
    """Load a model of dlib by its name; on Windows, dlib can open a path that is not ASCII only relatively."""
    path = model_path(name)
    if str(path).isascii():
        return kind(str(path))
    with chdir(path.parent):
        return kind(path.name)


def face_detector() -> Any:
    """Return this thread's copy of dlib's detector, which is not thread-safe."""
    if not hasattr(_OF_THREAD, "detector"):
        _OF_THREAD.detector = pickle.loads(begin_to_load().detector.result())  # a new one takes dlib 0.4 s
    return _OF_THREAD.detector


def landmark_model() -> Any:
    """Return dlib's landmark model, which all threads share."""
    return begin_to_load().landmarks.result()


class Loading(NamedTuple):
    """The models that are being loaded."""

    detector: Future[bytes]
    """Pickled."""
    landmarks: Future[Any]


@cache
def begin_to_load() -> Loading:
    """Start to load both models in a daemon thread, which takes 0.8 s."""
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
