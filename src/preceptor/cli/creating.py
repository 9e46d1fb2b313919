"""The command that makes a project: init."""

from __future__ import annotations

from typing import Any

import click

from preceptor.cli.output import emitting


@click.command("init")
@click.argument("folder", metavar="DIR")
@emitting
def init_command(folder: str) -> Any:
    """Make a new project in DIR."""
    from preceptor.project import Project

    project = Project.create(folder)
    project.close()
    return {"project": str(project.folder)}, f"made {project.folder}; next: preceptor question add FILE, preceptor import FILE"
