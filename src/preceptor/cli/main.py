"""The `preceptor` command: errors, exit codes, and the commands that are found by name.

Exit codes: 0 done, 1 the user's input or state is at fault, 2 wrong usage, 3 a gate refused or lacks evidence,
130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from preceptor import __version__
from preceptor.errors import MissingPackage, MultipleFaults, UserError

COMMANDS = {
    "aggregate": "annotation",
    "alias": "release",
    "calibrate": "monitoring",
    "choose": "train",
    "compare": "evaluate",
    "curate": "curation",
    "cycle": "pipeline",
    "demo": "project",
    "doctor": "project",
    "documents": "documents",
    "evaluate": "evaluate",
    "export": "data",
    "import": "data",
    "init": "project",
    "items": "erasure",
    "judge": "evaluate",
    "lineage": "models",
    "live": "monitoring",
    "migrate": "migration",
    "models": "models",
    "parity": "models",
    "people": "annotation",
    "plan": "planning",
    "predict": "models",
    "prioritise": "annotation",
    "question": "questions",
    "quickstart": "project",
    "release": "release",
    "replay": "annotation",
    "serve": "serve",
    "snapshot": "snapshots",
    "status": "annotation",
    "train": "train",
}


class CommandGroup(click.Group):
    """Commands by name; a module is imported when one of its commands is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"preceptor.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            advice = f" Did you mean {close[0]!r}?" if close else " See: preceptor --help"
            raise click.UsageError(f"No command is called {args[0]!r}.{advice}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Turns human judgment into a better language model, and proves that it did."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; render errors once; exit with the code that says how it went."""
    given = sys.argv[1:] if args is None else args
    try:
        cli.main(given, prog_name="preceptor", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if "--json" in given:
            _print_error_document(error.format_message(), "see the command's --help", "")
        sys.exit(error.exit_code)
    except UserError as error:
        _show_error(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command continues", err=True)
        sys.exit(130)
    except ModuleNotFoundError as error:
        _show_error(_missing_package(error), as_json="--json" in given)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's last flush has somewhere to go
        sys.exit(1)
    except OSError as error:  # where nothing nearer to it knew what was read or written
        _show_error(_system_error(error), as_json="--json" in given)
        sys.exit(1)
    except RecursionError:
        _show_error(UserError("a value is nested too deeply", "flatten it, or store it as text"), as_json="--json" in given)
        sys.exit(1)
    sys.exit(0)


def _system_error(error: OSError) -> UserError:
    """What the system refused, of which file, and what helps."""
    from preceptor.formats.durable_files import DISK_FULL_ERRNOS

    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in DISK_FULL_ERRNOS:
        message = "the disk is full, or a quota or a limit on file sizes is reached"
        return UserError(message, "free some space and run the same command again", where=where)
    return UserError(f"the system refuses: {error.strerror or error}", "check the name and the permissions", where=where)


def _missing_package(error: ModuleNotFoundError) -> UserError:
    """What to install for a package that isn't here; any other module's absence is a fault of ours, and raised."""
    from preceptor.pipeline.diagnostics import OPTIONAL_PACKAGES

    package = (error.name or "").partition(".")[0]
    if package not in OPTIONAL_PACKAGES:
        raise error
    purpose, extra = OPTIONAL_PACKAGES[package]
    return MissingPackage(purpose, extra)


def _show_error(error: UserError, *, as_json: bool) -> None:
    faults = error.faults if isinstance(error, MultipleFaults) else ()
    count = error.count if isinstance(error, MultipleFaults) else 1
    if as_json:
        listed = [{"message": each.message, "hint": each.hint, "where": each.where} for each in faults or [error]]
        _print_error_document(error.message, error.hint, error.where, faults=listed, count=count)
    click.echo(f"error: {_single_line(error)}", err=True)
    for fault in faults:
        click.echo(f"  {_single_line(fault)}", err=True)
    if faults and count > len(faults):
        click.echo(f"  … and {count - len(faults):,} more", err=True)


def _single_line(error: UserError) -> str:
    return " ".join(str(error).split())


def _print_error_document(message: str, hint: str, where: str, **fields: Any) -> None:
    click.echo(json.dumps({"error": {"message": message, "hint": hint, "where": where, **fields}}, ensure_ascii=False))
