"""Embeddings of a real face."""

import numpy as np
from numpy.typing import NDArray

from facegen.arrays import RGB
from facegen.faces.identity import CHANGED, SAME_PERSON, identity, identity_change, identity_distance
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import resize


def embedded(rgb: RGB) -> NDArray[np.float64]:
    return identity(rgb, landmarks_in_head(rgb))


def test_same_face_is_near_and_something_else_is_not(head: RGB) -> None:
    face = embedded(head)
    assert face.shape == (128,)
    assert identity_distance(face, face) == 0
    enlarged = embedded(resize(resize(head, (96, 96)), (384, 384)))
    assert 0 < identity_distance(face, enlarged) < 0.3
    noise = np.random.default_rng(0).integers(0, 256, head.shape, dtype=np.uint8)
    assert identity_distance(face, embedded(noise)) > SAME_PERSON


def test_enlarging_a_face_changes_nobody_and_another_face_shows(head: RGB) -> None:
    small = resize(head, (64, 64))
    landmarks = landmarks_in_head(small)
    same = identity_change(small, resize(small, (512, 512)), landmarks)
    other = identity_change(small, resize(np.ascontiguousarray(255 - head[::-1]), (512, 512)), landmarks)
    assert same is not None
    assert other is not None
    assert same < CHANGED / 2 < CHANGED < other
    assert identity_change(small, small, None) is None
