"""Every option that takes a number says in one line which numbers it takes."""

from __future__ import annotations

from collections.abc import Iterator

import click

from preceptor.cli.main import cli


def numeric_options() -> Iterator[tuple[str, str, type]]:
    """(command, option, type of its numbers) of every option of every command that takes numbers."""

    def walk(command: click.Command, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), context, f"{path} {name}".strip())
        else:
            yield path, command

    for path, command in walk(cli, click.Context(cli), ""):
        for parameter in command.params:
            if isinstance(parameter.type, click.types.FloatParamType):
                yield path, parameter.opts[0], float
            elif isinstance(parameter.type, click.types.IntParamType):
                yield path, parameter.opts[0], int


OPTIONS = list(numeric_options())
NUMBERS = {float: ("nan", "inf", "-inf", "1e308", "-1e308"), int: (str(10**12), str(10**30), str(-(10**12)), "nan", "9" * 5000)}


def command_line(command: str, option: str, value: str) -> list[str]:
    """The command with every argument and required option filled, and this number last."""
    context, found = click.Context(cli), cli
    for name in command.split():
        found = found.get_command(context, name)
    arguments: list[str] = []
    for parameter in found.params:
        if parameter.required or (isinstance(parameter, click.Argument) and parameter.nargs != -1):
            choice = parameter.type.choices[0] if isinstance(parameter.type, click.Choice) else "x"
            arguments += [choice] if isinstance(parameter, click.Argument) else [parameter.opts[0], choice]
    return [*command.split(), *arguments, option, value]


def test_there_are_such_options():
    assert len(OPTIONS) > 40
    assert {"--days", "--seed", "--max-cost", "--target"} <= {option for _, option, _ in OPTIONS}


def test_numbers_without_end_are_refused_before_anything_is_done(project, run, monkeypatch, subtests):
    """`live --days nan` ended in a traceback, and `prioritise --seed -1` too."""
    project.close()
    monkeypatch.chdir(project.folder)
    before = files_of(project.folder)
    for command, option, kind in OPTIONS:
        with subtests.test(command=command, option=option):
            for value in NUMBERS[kind]:
                ran = run(*command_line(command, option, value))
                assert ran.code == 2, (value, ran)
                assert option in ran.err
                assert "Traceback" not in ran.err
            assert files_of(project.folder) == before


def files_of(folder):
    return sorted(path.name for path in folder.rglob("*") if "preceptor.db" not in path.name)


def test_negative_numbers_end_in_a_line(project, run, monkeypatch, subtests):
    project.close()
    monkeypatch.chdir(project.folder)
    for command, option, _ in OPTIONS:
        with subtests.test(command=command, option=option):
            ran = run(*command_line(command, option, "-1"))
            assert ran.code in (1, 2), ran
            assert "error: " in ran.err.lower()
