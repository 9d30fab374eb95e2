"""Weights of the hub: a folder of one commit, checked by its card's hash, asked for once, never offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from click.testing import CliRunner

from facegen.arrays import to_rgb
from facegen.cli.main import cli
from facegen.errors import MissingExtraError, WeightsError
from facegen.hub import HubName, hub_name
from facegen.media.images import read_image
from facegen.models.dcgan import DCGANGenerator
from facegen.pipeline import FacePipeline
from facegen.training.publish import README, model_card, upload
from facegen.weights import CARD_FILE, MODEL_FILE, companion, find_weights, load_network, read_card
from tests import tiny
from tests.hub_server import Hub, running

NAME = "hf:owner/faces"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that holds tiny weights as owner/faces, with a second folder in it, and an empty cache."""
    owner = tmp_path / "hub" / "owner"
    owner.mkdir(parents=True)
    faces = tiny.save(tmp_path, tiny.generator()).rename(owner / "faces")
    tiny.save(faces, tiny.upscaler(), "rgb")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with running(tmp_path / "hub") as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        url = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        yield hub


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hf:owner/name", HubName("owner/name", None, "main")),
        ("hf:o.w-n_er/name/folder@v1.0", HubName("o.w-n_er/name", "folder", "v1.0")),
        ("hf:owner/name@refs/pr/1", HubName("owner/name", None, "refs/pr/1")),
    ],
)
def test_names_are_read(name: str, meant: HubName) -> None:
    assert hub_name(name) == meant


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:owner/name/", "hf:owner/../name", "hf:owner/name@", "hf:a b/c"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="expected hf:owner/name"):
        find_weights(name)


def test_weights_are_fetched_once_and_load(hub: Hub) -> None:
    network, card = load_network(NAME, DCGANGenerator)
    assert card.name == "tiny-dcgan"
    assert network.config.z_dim == 8
    asked = len(hub.asked)
    assert asked
    load_network(NAME, DCGANGenerator)
    assert len(hub.asked) == asked


def test_a_folder_and_a_revision_are_found(hub: Hub) -> None:
    assert read_card(find_weights(f"{NAME}/jnet@v1")).kind == "jnet"
    commit = hub.commit("owner/faces")
    assert find_weights(f"{NAME}@{commit}").name == commit


def test_the_commit_stays_until_another_is_named(hub: Hub) -> None:
    first = find_weights(NAME)
    (hub.root / "owner/faces/recipe.toml").write_text("kind = 1")  # a new commit
    assert find_weights(NAME) == first
    assert find_weights(f"{NAME}@v1") != first


def test_offline_takes_what_is_here_and_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="leave --offline away to download it"):
        find_weights(NAME)
    assert hub.asked == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    fetched = find_weights(NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_weights(NAME) == fetched


@pytest.mark.parametrize("name", ["hf:owner/nothing", f"{NAME}@v9", f"{NAME}/nowhere"])
def test_what_is_missing_is_named(hub: Hub, name: str) -> None:
    with pytest.raises(WeightsError, match=f"weights '{name}': .*check name, revision, access and network"):
        find_weights(name)


def test_a_file_that_its_card_does_not_know_is_refused(hub: Hub) -> None:
    with (hub.root / "owner/faces" / MODEL_FILE).open("ab") as file:
        file.write(b"!")
    with pytest.raises(WeightsError, match="its SHA-256 is"):
        load_network(NAME, DCGANGenerator)


def test_a_download_that_breaks_off_leaves_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.cut = 50
    with pytest.raises(WeightsError):
        load_network(NAME, DCGANGenerator)
    hub.cut = 0
    load_network(NAME, DCGANGenerator)


def test_the_command_line_goes_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # put back afterwards
    recipe = tiny.save_all(tmp_path / "tiny")
    words = ["--offline", "sample", "--recipe", str(recipe), "--set", f"weights.generator={NAME}"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert "leave --offline away" in done.stderr
    assert hub.asked == []


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.hub.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'facegen\[hub\]'"):
        find_weights(NAME)


def test_uploaded_weights_come_back(hub: Hub, tmp_path: Path) -> None:
    folders = [tiny.save(tmp_path / "mine", tiny.generator()), tiny.save(tmp_path / "mine", tiny.upscaler(), "rgb")]
    assert upload(folders, "me/new").endswith("me/new")
    assert read_card(find_weights("hf:me/new")) == read_card(folders[0])
    assert read_card(find_weights("hf:me/new/jnet")) == read_card(folders[1])
    assert "weights.upscaler=hf:me/new/jnet" in (hub.root / "me/new/jnet" / README).read_text(encoding="utf-8")


def test_a_discriminator_of_the_same_commit_is_found(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `train --from hf:owner/name` looks for those that were uploaded with a generator."""
    judge = tiny.save(tmp_path / "mine", tiny.discriminator()).rename(tmp_path / "mine" / "tiny-jnet-patchgan")
    upload([tiny.save(tmp_path / "mine", tiny.upscaler(), "rgb"), judge], "me/new")
    found = companion("hf:me/new", "-patchgan")
    assert found is not None
    assert read_card(found).kind == "patchgan"
    assert companion("hf:me/new", "-heads") is None
    assert companion("hf:me/new@v1", "-patchgan") == found
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    assert companion("hf:me/new", "-patchgan") == found
    assert companion("hf:me/new", "-heads") is None  # as the hub has said of that commit
    with pytest.raises(WeightsError, match="leave --offline away to download it"):
        companion("hf:me/new", "-encoder")  # perhaps there: nobody has asked
    assert len(hub.asked) == asked


def test_a_model_card_says_what_the_card_says() -> None:
    card = tiny.card("dcgan", {}, metrics={"FID": "12 (facegen evaluate)"}, sources=("london: 3", "web: 4"))
    text = model_card(card, "hf:me/new")
    assert text.startswith("---\nlibrary_name: facegen\n")
    for part in ("# tiny-dcgan", "weights.generator=hf:me/new", card.licence, card.limits, "- web: 4", "| FID | 12 "):
        assert part in text


def test_a_file_in_a_weight_folder_stands_for_it(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path, tiny.generator())
    assert find_weights(str(folder / MODEL_FILE)) == find_weights(str(folder / CARD_FILE)) == folder


def test_a_face_is_drawn_with_weights_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path / "tiny")
    options = {"--recipe": recipe, "--size": 64, "--set": f"weights.generator={NAME}", "--out": tmp_path / "out"}
    done = CliRunner().invoke(cli, ["sample", *(str(word) for option in options.items() for word in option)])
    assert done.exit_code == 0, done.output
    assert read_image(next((tmp_path / "out").glob("*.png"))).rgb.std() > 0


def test_a_pipeline_is_loaded_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    recipe = tiny.save_all(tmp_path / "tiny")
    pipeline = FacePipeline.from_pretrained(NAME, f"{NAME}/jnet", path=recipe)
    assert pipeline.recipe.weights.generator == NAME
    assert pipeline.recipe.weights.upscaler == f"{NAME}/jnet"
    assert bytes_of(pipeline) == bytes_of(FacePipeline.load(recipe))
    heads = Path("weights/training/dcgan-128-heads").resolve()
    with pytest.raises(WeightsError, match="hold a heads, but a pipeline is of dcgan, jnet, patchgan"):
        FacePipeline.from_pretrained(str(heads), path=recipe)


def bytes_of(pipeline: FacePipeline) -> bytes:
    return to_rgb(pipeline.sample(1, 256).image).tobytes()
