"""The `preceptor` command: errors, exit codes, and the commands that are found by name.

Exit codes: 0 done, 1 the user's input or state is at fault, 2 wrong usage, 3 a gate refused or lacks evidence, 130 interrupted.
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
    "compare": "evaluate",
    "curate": "curation",
    "demo": "project",
    "design-study": "planning",
    "doctor": "project",
    "documents": "documents",
    "evaluate": "evaluate",
    "export": "data",
    "import": "data",
    "init": "project",
    "items": "erasure",
    "judge": "evaluate",
    "learning-curve": "train",
    "lineage": "models",
    "migrate": "migration",
    "models": "models",
    "monitor": "monitoring",
    "people": "annotation",
    "pipeline": "pipeline",
    "plan": "planning",
    "predict": "models",
    "question": "questions",
    "quickstart": "project",
    "release": "release",
    "select": "annotation",
    "serve": "serve",
    "simulate": "annotation",
    "snapshot": "snapshots",
    "status": "annotation",
    "train": "train",
    "verify": "models",
}


class CommandGroup(click.Group):
    """Commands by name; a module is imported when one of its commands is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"preceptor.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command of the arguments; raise UsageError with the closest name for an unknown one."""
        if args and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            advice = f" Did you mean {close[0]!r}?" if close else " See: preceptor --help"
            raise click.UsageError(f"No command is called {args[0]!r}.{advice}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Turn human judgment into a better language model, and prove that it is better."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; show an error once; exit with the code of its outcome."""
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's last flush at exit doesn't fail
        sys.exit(1)
    except OSError as error:  # where no handler closer to the cause knew what was read or written
        _show_error(_system_error(error), as_json="--json" in given)
        sys.exit(1)
    except RecursionError:
        _show_error(UserError("a value is nested too deeply", "flatten it, or store it as text"), as_json="--json" in given)
        sys.exit(1)
    sys.exit(0)


def _system_error(error: OSError) -> UserError:
    """Return what the system refused, for which file, and what helps."""
    from preceptor.formats.durable_files import DISK_FULL_ERRNOS

    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in DISK_FULL_ERRNOS:
        message = "the disk is full, or a quota or a limit on file sizes is reached"
        return UserError(message, "free some space and run the same command again", where=where)
    return UserError(f"the system refuses: {error.strerror or error}", "check the name and the permissions", where=where)


def _missing_package(error: ModuleNotFoundError) -> UserError:
    """Return what to install for an optional package that isn't here; raise the error again for any other module, which is a bug."""
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
