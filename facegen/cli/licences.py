"""`facegen licences`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import click

from facegen.cli.printing import cells, console

MODELS = {
    "dlib's 68 landmarks": "Not for commercial products: trained on iBUG 300-W (face_recognition_models; dlib-models).",
    "dlib's face recognition": "CC0, public domain (face_recognition_models; dlib-models).",
    "YuNet": "MIT (facegen/faces/yunet/LICENSE).",
}
"""Third-party model in facegen or in a package it needs -> its licence."""
NOT_STATED = "not stated"


@click.command()
def licences() -> None:
    """List the licences of weights, models and libraries."""
    from rich.table import Table

    from facegen import __version__
    from facegen.weights import read_card, weight_folders

    table = Table("", "version", "licence", box=None, pad_edge=False)
    table.add_row("facegen", __version__, "MIT")
    for title, rows in (
        ("Weights", [(folder.name, "", read_card(folder).licence) for folder in weight_folders()]),
        ("Models", [(name, "", licence) for name, licence in MODELS.items()]),
        ("Libraries", [(found.name, found.version, licence_of(found)) for found in libraries()]),
    ):
        table.add_section()
        table.add_row(f"[bold]{title}[/]")
        for row in rows:
            table.add_row(*cells(*row))
    console().print(table)


def libraries() -> list[Distribution]:
    """Return the installed packages that facegen and its extras need, directly or not, sorted by name."""
    todo, found = [("facegen", "")], dict[str, Distribution]()
    seen = set(todo)
    while todo:
        name, extra = todo.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:  # an extra that is not installed
            continue
        if name != "facegen":
            found[name] = package
        new = set(_needed(package, _extras(package) if name == "facegen" else [extra])) - seen
        todo += new
        seen |= new
    return [found[name] for name in sorted(found, key=str.casefold)]


def _extras(package: Distribution) -> list[str]:
    return ["", *(extra for extra in package.metadata.get_all("Provides-Extra") or [] if extra != "dev")]


def _needed(package: Distribution, extras: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the extra of each package that a package with these extras needs."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for requirement in map(Requirement, package.requires or []):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            for extra in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), extra


def licence_of(package: Distribution) -> str:
    """Read a package's licence: its SPDX expression, else its classifiers, else the first line of its text."""
    stated = package.metadata
    if "License-Expression" in stated:
        return stated["License-Expression"]
    classifiers = [line.split(" :: ")[-1] for line in stated.get_all("Classifier") or [] if line.startswith("License")]
    if classifiers or "License" not in stated:
        return ", ".join(classifiers) or NOT_STATED
    text = stated["License"].strip().partition("\n")[0]
    return NOT_STATED if text == "UNKNOWN" else text  # which old packages state
