"""Recipes: what a wrong file or override says, and that every bundled recipe loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from facegen.arrays import RGB, to_tensor
from facegen.errors import RecipeError
from facegen.pipeline import FacePipeline
from facegen.recipe import assignment, load_recipe, override, parse_recipe
from facegen.training.config import JNetRecipe
from facegen.training.start import load_training_recipe

PIPELINES = Path(__file__).parents[1] / "pipelines"
Write = Callable[[str], Path]


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overlap: int = 16
    mode: str = "auto"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seed: int
    tiling: Inner = Inner()
    maybe: Inner | None = None


def test_values_and_defaults(write_toml: Write) -> None:
    recipe = load_recipe(write_toml("seed = 3\n[tiling]\noverlap = 8\n"), Outer)
    assert recipe == Outer(seed=3, tiling=Inner(overlap=8))


def test_typo_names_file_table_and_nearest_key(write_toml: Write) -> None:
    path = write_toml('kind = "jnet"\n[tiles]\nguide_dropot = 0.1\n')
    with pytest.raises(RecipeError) as caught:
        load_training_recipe(path)
    known = "damage, degrade, degraded, guide_dropout, guide_jitter, recolour, zoom_max"
    hint = f'unknown key "guide_dropot"; did you mean "guide_dropout"? Known: {known}.'
    assert str(caught.value) == f"{path}: [tiles] {hint}"


def test_typo_at_the_top_and_in_an_optional_table() -> None:
    with pytest.raises(
        RecipeError, match=r'^x: unknown key "sede"; did you mean "seed"\? Known: maybe, seed, tiling\.$'
    ):
        parse_recipe({"seed": 1, "sede": 2}, Outer, source="x")
    with pytest.raises(RecipeError, match=r'x: \[maybe\] unknown key "overlay"; did you mean "overlap"\?'):
        parse_recipe({"seed": 1, "maybe": {"overlay": 2}}, Outer, source="x")


def test_unknown_key_like_nothing_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r'unknown key "zzz"\. Known: maybe, seed, tiling\.'):
        parse_recipe({"seed": 1, "zzz": 2}, Outer, source="x")


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"tiling": {"overlap": "wide", "sped": 1}}, Outer, source="x")
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[1] for line in lines] == ["seed:", "tiling.overlap:", "[tiling]"]


def test_wrong_type_shows_what_was_given() -> None:
    with pytest.raises(RecipeError, match=r"x: tiling\.overlap: .*valid integer.*, got 'wide'\.$"):
        parse_recipe({"seed": 1, "tiling": {"overlap": "wide"}}, Outer, source="x")


def test_missing_key_shows_no_input() -> None:
    with pytest.raises(RecipeError, match=r"^x: seed: Field required\.$"):
        parse_recipe({}, Outer, source="x")


def test_parts_that_do_not_fit_are_explained_without_a_dump() -> None:
    values = {"kind": "jnet", "generator": {"decoder_widths": [8, 8]}}
    with pytest.raises(RecipeError, match=r"^x: generator: decoder_widths has 2 entries, expected 8\.$"):
        parse_recipe(values, JNetRecipe, source="x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: no such file"):
        load_recipe(tmp_path / "none.toml", Outer)


@pytest.mark.parametrize("content", [b"seed = = 1", b"seed = 1\nseed = 2", b"\xff\xfe", b"just words"])
def test_not_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml: not a readable TOML file"):
        load_recipe(tmp_path / "bad.toml", Outer)


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not a readable TOML file"):
        load_recipe(tmp_path, Outer)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=5", Outer(seed=5)),
        (" seed = 5 ", Outer(seed=5)),
        ("tiling.overlap=2", Outer(seed=1, tiling=Inner(overlap=2))),
        ("maybe.overlap=2", Outer(seed=1, maybe=Inner(overlap=2))),
        ("tiling.mode=fast", Outer(seed=1, tiling=Inner(mode="fast"))),
        ('tiling.mode="a = b"', Outer(seed=1, tiling=Inner(mode="a = b"))),
        ("tiling.mode=a=b", Outer(seed=1, tiling=Inner(mode="a=b"))),
    ],
)
def test_overrides(write_toml: Write, override: str, expected: Outer) -> None:
    assert load_recipe(write_toml("seed = 1"), Outer, [override]) == expected


@pytest.mark.parametrize("value", ["Gesichter 😀", 'a "b" = \\c', "a\nb", 0.5, ["flip"], []])
def test_an_assignment_is_read_back(value: object) -> None:
    values: dict[str, object] = {}
    override(values, assignment("weights.generator", value))
    assert values == {"weights": {"generator": value}}


def test_later_overrides_win(write_toml: Write) -> None:
    assert load_recipe(write_toml("seed = 1"), Outer, ["seed=2", "seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set 'seed': expected key=value"),
        ("=3", "--set '=3': expected key=value"),
        ("seed.deep=3", "--set 'seed.deep=3': 'seed' is a value, not a table"),
        ("tiling.overlay=3", r'\[tiling\] unknown key "overlay"; did you mean "overlap"'),
        ("tiling.overlap=wide", r"tiling\.overlap: .*got 'wide'"),
        ("tiling.overlap=", r"tiling\.overlap: .*got ''"),
        ("tiling=3", r"tiling: .*got 3"),
    ],
)
def test_bad_overrides(write_toml: Write, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_toml("seed = 1"), Outer, [override])


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda path: path.name)
def test_bundled_pipelines_upscale_a_head(path: Path, head: RGB) -> None:
    upscaled = FacePipeline.load(path)(to_tensor(head), 256)
    assert upscaled.landmarks is not None
    assert min(upscaled.image.shape[1:]) >= 256
    assert upscaled.fit > 40


@pytest.mark.parametrize("path", sorted((PIPELINES / "train").glob("*.toml")), ids=lambda path: path.name)
def test_bundled_training_recipes_load(path: Path) -> None:
    recipe = load_training_recipe(path)
    assert recipe.run.images >= 1
    assert load_training_recipe(path, ["run.batch=3"]).run.batch == 3


@pytest.mark.parametrize("kind", ["", "kind = 'gan'", "kind = 3", "kind = ['jnet']", "kind = {}"])
def test_training_recipe_of_no_kind(write_toml: Write, kind: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.toml: kind is .*, expected one of dcgan, jnet"):
        load_training_recipe(write_toml(kind))
