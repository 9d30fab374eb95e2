"""Faces on the page: seeds, neighbours, main directions, and pictures like the command's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from facegen.cli.main import cli
from facegen.media.record import read_record
from facegen.media.video_reader import Clip
from facegen.models.dcgan import DCGANConfig, DCGANGenerator
from facegen.studio.faces import Face, directions, draw, faces_of, fits, moved, neighbours, preview, stages, upscale
from facegen.studio.films import FilmSettings, make
from facegen.studio.work import CancelledError, Job, Studio
from facegen.video.walk import latent_in
from tests.video.films import beep


def job() -> Job:
    return Job(lambda job: None)


def test_faces_are_those_of_their_seeds(studio: Studio) -> None:
    pipeline = studio.pipeline(studio.recipe)
    faces = faces_of(pipeline, (3, 7), 0.8)
    assert [face.seed for face in faces] == [3, 7]
    assert faces[0].z.equal(pipeline.latent(3, 0.8))
    assert draw(pipeline, faces[0]).shape == (128, 128, 3)
    assert preview(pipeline, faces[0]).shape == (768, 768, 3)


def test_neighbours_begin_with_the_face_and_lie_at_their_distance(studio: Studio) -> None:
    face = faces_of(studio.pipeline(studio.recipe), (3,), 1.0)[0]
    near = neighbours(face, 4, 0.5)
    assert near[0] is face
    for other in near[1:]:
        assert other.seed is None
        assert float(other.z.norm()) == pytest.approx(float(face.z.norm()), rel=1e-5)
        assert float(torch.cosine_similarity(face.z, other.z, dim=0)) == pytest.approx(np.cos(np.pi / 4), abs=1e-5)
    assert not near[1].z.equal(near[2].z)
    assert near[1].z.equal(neighbours(face, 4, 0.5)[1].z)


@pytest.mark.parametrize("mapped", [False, True])
def test_the_first_layer_changes_most_along_the_first_direction(mapped: bool) -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(DCGANConfig(z_dim=8, widths=(16, 16, 8, 8, 8, 8), mapped=mapped)).eval()
    if mapped:
        generator.latent_factor = torch.randn(8, 8)
    ways = directions(generator, 8)
    torch.testing.assert_close(ways @ ways.T, torch.eye(8), atol=1e-5, rtol=0)
    with torch.no_grad():
        first = torch.nn.Sequential(*list(generator.stem)[:2])  # without the ReLU: it is linear
        nothing = first(generator.mapped(torch.zeros(1, 8))[:, :, None, None])
        changes = [(first(generator.mapped(way[None])[:, :, None, None]) - nothing).norm() for way in ways]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1.1 * changes[-1]


def test_sliders_in_their_middle_change_nothing(studio: Studio) -> None:
    pipeline = studio.pipeline(studio.recipe)
    face, ways = faces_of(pipeline, (3,), 1.0)[0], directions(pipeline.generator, 2)
    assert moved(face, ways, (0, 0)) is face
    other = moved(face, ways, (2, 0))
    assert other.seed is None
    assert float(other.z.norm()) == pytest.approx(float(face.z.norm()), rel=1e-5)


def test_a_face_of_a_seed_is_what_the_command_writes(studio: Studio, tmp_path: Path) -> None:
    face = faces_of(studio.pipeline(studio.recipe), (5,), 0.7)[0]
    drawn = upscale(studio, job(), studio.recipe, face)
    options = ["--seeds", "5", "--set", "truncation=0.7", "--device", "cpu", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, ["sample", "--recipe", studio.recipe, *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert drawn.path.read_bytes() == (tmp_path / drawn.path.name).read_bytes()


def test_a_moved_face_is_found_again_by_its_record(studio: Studio) -> None:
    pipeline = studio.pipeline(studio.recipe)
    face = neighbours(faces_of(pipeline, (5,), 1.0)[0], 2, 0.3)[1]
    drawn = upscale(studio, job(), studio.recipe, face)
    assert latent_in(pipeline, drawn.path).equal(face.z)
    assert list(stages(drawn)) == ["Face", "128 px", "Guide", "Tiles", "Votes"]


def test_a_preview_and_a_film_go_on_after_they_were_cancelled(studio: Studio) -> None:
    faces, folder = faces_of(studio.pipeline(studio.recipe), (1, 2), 1.0), studio.new_folder()
    sound = beep(folder / "song.wav", 2)
    cut = FilmSettings(0.5, loop=True, audio=sound).preview()

    class Impatient(Job):
        def report(self, share: float, text: str) -> None:
            super().report(share, text)
            self.cancelled = text == "Frame 3 of 12"  # a loop has frames that lead to its first

    with pytest.raises(CancelledError):
        make(studio, Impatient(lambda job: None), studio.recipe, faces, cut, folder / "preview.mp4")
    assert not (folder / "preview.mp4").exists()
    told: list[str] = []

    class Listening(Job):
        def report(self, share: float, text: str) -> None:
            told.append(text)

    film = make(studio, Listening(lambda job: None), studio.recipe, faces, cut, folder / "preview.mp4")
    assert told[0] != "Frame 1 of 12"
    assert told[-1] == "Frame 12 of 12"
    record = read_record(film)
    assert record.argv[:5] == ("video", "--seeds", "1,2", "--seconds", "0.5")
    assert record.argv[-4:] == ("--audio", "song.wav", "--recipe", studio.recipe)
    assert len(record.keyframes) == 2
    assert Clip(film).has_audio


def test_faces_of_another_generator_do_not_fit(studio: Studio) -> None:
    pipeline = studio.pipeline(studio.recipe)
    face = faces_of(pipeline, (1,), 1.0)[0]
    assert fits(pipeline, [face])
    assert not fits(pipeline, [face, Face(torch.zeros(len(face.z) + 1), 1.0)])
