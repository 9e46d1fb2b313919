"""What stays light: the command's help, the package, and the packages that a notebook imports. Modules are counted, not seconds."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "sqlalchemy", "scipy", "numpy", "pandas", "pydantic", "rich", "jinja2", "pyarrow"}
EXTRA = {"torch", "transformers", "accelerate", "gguf", "pyarrow", "psycopg", "pandas"}


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh Python has loaded after running some code."""
    watched = f"import sys\n{code}\nprint('\\nloaded', *{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    return set(ran.stdout.splitlines()[-1].split())


def command(*args: str) -> str:
    """Code that runs a command and goes on after it."""
    return f"from preceptor.cli.main import main\ntry:\n    main({list(args)!r})\nexcept SystemExit:\n    pass"


@pytest.mark.parametrize(
    "code",
    ["import preceptor", command("--help"), command("train", "--help"), command("demo", "--help"), command("--version")],
    ids=["import", "help", "train --help", "demo --help", "version"],
)
def test_nothing_heavy_is_loaded(code):
    assert loaded(code) & HEAVY == set()


LIGHT = ("consensus", "statistics", "planning", "questions", "quality", "training", "types", "registry")


@pytest.mark.parametrize("package", LIGHT)
def test_packages_of_numbers_load_neither_tables_nor_torch(package):
    assert loaded(f"import preceptor.{package}") & {"sqlalchemy", "torch", "transformers", "rich", "jinja2", "pandas"} == set()


def test_the_labelling_half_needs_no_extra():
    """A project from items to export, with nothing loaded that an extra installs."""
    code = """
import tempfile
from preceptor import Project
project = Project.create(tempfile.mkdtemp() + "/p")
project.add_question("q", "choice", ["no", "yes"])
project.add_items({"id": f"i-{n}", "text": f"text {n} like no other, {n * n}"} for n in range(60))
project.add_annotator("ann")
for n in range(60):
    project.judge(f"i-{n}", "q", annotator="ann", answer=("no", "yes")[n % 2])
project.snapshot("q")
list(project.export("consensus")), project.status(), project.people()
"""
    assert loaded(code) & EXTRA == set()


def test_a_plain_install_pulls_nothing_that_only_training_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {dependency.split(">")[0].split("[")[0].strip() for dependency in project["dependencies"]}
    assert base == {"click", "jinja2", "numpy", "phonenumbers", "pydantic", "regex", "rich", "scipy", "sqlalchemy"}
    assert any(dependency.startswith("torch") for dependency in project["optional-dependencies"]["train"])
