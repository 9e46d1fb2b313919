"""Write docs/commands.md from the commands themselves, so that the page can't say anything else than `--help`.

Run: make docs. A test compares the page with what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from pydantic_core import PydanticUndefined

from preceptor.cli.main import cli
from preceptor.consensus import aggregators
from preceptor.registry import OptionsBase
from preceptor.training import recipes

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100
OPENING = """# Commands

Written by `docs/generate_commands.py` from the commands' own help; don't edit it, run `make docs`.

Commands that work on a project take `--project DIR` (default: the current folder). Every command takes `--json`:
one JSON document on stdout and nothing else, with progress and messages on stderr.

| exit code | means |
|---|---|
| 0 | done |
| 1 | your input, or the project's state, is at fault; the message says what, where and what to do |
| 2 | the command was written wrongly |
| 3 | a release gate refused, or lacks evidence |
| 130 | interrupted; the same command continues |
"""


def walk(group: click.Group, path: str = "preceptor") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, in the order of the help."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # the group has just listed it
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")


def help_of(path: str, command: click.Command) -> str:
    """The help text that a terminal shows, at a fixed width."""
    context = click.Context(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["-h", "--help"])
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    return "\n".join(lines).strip()


def options_table(options: type[OptionsBase]) -> str:
    """A Markdown table of the options that `-o` takes."""
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for name, field in options.model_fields.items():
        default = "required" if field.default is PydanticUndefined else "none" if field.default is None else str(field.default)
        rows.append(f"| `{name}` | {default} | {field.description or ''} |")
    return "\n".join(rows)


def page() -> str:
    """The whole page."""
    parts = [OPENING]
    for path, command in walk(cli):
        parts.append(f"{'##' if path.count(' ') == 1 else '###'} {path}\n\n```text\n{help_of(path, command)}\n```\n")
    parts.append("## Options of recipes\n\nFor `preceptor train RECIPE -o KEY=VALUE`, and as keywords of `project.train`.\n")
    parts += [f"### {name}\n\n{options_table(recipes.get(name).Options)}\n" for name in recipes.names()]
    parts.append("## Options of aggregation methods\n\nFor `preceptor aggregate QUESTION --method METHOD -o KEY=VALUE`.\n")
    for name in aggregators.names():
        method: type = aggregators.get(name)
        parts.append(f"### {name}\n\n{options_table(method.Options)}\n")  # type: ignore[attr-defined]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
