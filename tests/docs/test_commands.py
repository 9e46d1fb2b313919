"""docs/commands.md is what the commands say of themselves, and every command says something."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("generate_commands", ROOT / "docs" / "generate_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    made = generator()
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run: make docs"


def commands() -> list:
    from preceptor.cli.main import cli

    return list(generator().walk(cli))


def test_every_command_and_option_has_help(subtests):
    for path, command in commands():
        with subtests.test(path=path, command=command):
            assert command.help, f"{path} has no help"
            silent = [
                option.name for option in command.params if option.param_type_name == "option" and not (option.help or option.show_default)
            ]
            assert not silent, f"{path}: {silent} have no help"


def test_every_method_and_recipe_is_explained():
    from preceptor.consensus import aggregators
    from preceptor.questions import kinds
    from preceptor.training import recipes

    pages = {"consensus.md": aggregators.names(), "ratings-and-choices.md": kinds.names(), "quickstart.md": recipes.names()}
    for page, names in pages.items():
        text = (ROOT / "docs" / page).read_text(encoding="utf-8").lower()
        assert [name for name in names if name not in text] == [], page
