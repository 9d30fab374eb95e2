"""`facegen sign`: a photo, its result, and the credentials of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.arrays import RGB
from facegen.media.images import resize, write_image
from facegen.media.signatures import omitted_from
from tests.cli.conftest import Facegen

pytest.importorskip("c2pa")
from facegen.credentials import read_identity, sign
from tests.test_credentials import actions, manifests, save_usual_identity


def test_a_photos_own_credentials_stay_in_those_of_its_result(
    facegen: Facegen, tiny_recipe: Path, tmp_path: Path, head: RGB
) -> None:
    identity = save_usual_identity(tmp_path)
    photo = write_image(tmp_path / "photo.jpg", resize(head, (96, 96)))
    sign(photo, read_identity(identity), None)
    result = facegen("upres", photo, "--scale", 2, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    assert "left out: content credentials" in result.stderr
    made = tmp_path / "out" / "photo-x2.jpg"
    assert omitted_from(made) == []
    signed = facegen("sign", made, "--identity", identity, "--source", photo)
    assert signed.exit_code == 0, signed.stderr
    assert signed.stdout == f"{made}\n"
    state, [new, old] = manifests(made)
    assert state == "Valid"
    assert actions(new) == ["c2pa.opened", "c2pa.edited"]
    assert [one["title"] for one in new["ingredients"]] == ["photo.jpg"]
    assert actions(old) == ["c2pa.created"]
    again = facegen("upres", photo, "--scale", 2, "--recipe", tiny_recipe, "--out", tmp_path / "out")
    assert "done already" in again.stderr
    own = facegen("sign", write_image(tmp_path / "own.png", head), made, "--identity", identity, "--source", photo)
    assert own.exit_code == 1
    assert "own.png: has no facegen record" in own.stderr
    assert "1 done, 1 failed" in own.stderr
