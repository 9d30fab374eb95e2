"""`facegen help`: a command's options with its page, and pages by name."""

from __future__ import annotations

import pytest

from facegen.cli.help import PAGE_OF, pages
from facegen.cli.main import COMMANDS
from tests.cli.conftest import Facegen


def test_help_alone_lists_every_command_and_page(facegen: Facegen) -> None:
    output = facegen("help").output
    for name in (*COMMANDS, *pages()):
        assert f"  {name} " in output


def test_a_command_is_shown_with_its_page(facegen: Facegen) -> None:
    output = facegen("help", "train").output
    assert output.startswith("Usage: ")
    assert "--dry-run" in output
    assert pages()["training"].read_text(encoding="utf-8").rstrip() in output


def test_a_command_without_a_page_is_shown_alone(facegen: Facegen) -> None:
    assert facegen("help", "doctor").output.rstrip() == facegen("doctor", "--help").output.rstrip()


def test_a_page_is_shown_by_its_name(facegen: Facegen) -> None:
    assert facegen("help", "install").output.startswith("# Install facegen")


def test_an_unknown_topic_is_refused_with_the_nearest(facegen: Facegen) -> None:
    result = facegen("help", "instal")
    assert result.exit_code == 2
    assert "did you mean 'install'?" in result.stderr


@pytest.mark.parametrize(("command", "page"), PAGE_OF.items())
def test_pages_of_commands_exist(command: str, page: str) -> None:
    assert command in COMMANDS
    assert page in pages()
