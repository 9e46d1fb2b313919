"""Read and write `run.toml`: what a model was made from, every choice resolved; `preceptor train --repeat run.toml` repeats it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml, to_toml
from preceptor.registry import OptionsBase, suggest_name
from preceptor.training.recipe import recipes

RUN_FILE = "run.toml"
_HEADER = "# What this model was made from, with what measuring settled. Again: preceptor train --repeat run.toml"


class RunFile(OptionsBase):
    """A run that can be repeated.

    snapshot: its digest, or a name. base_weights: digest of the base's weights, if known. general: digest of the general texts by which
    forgetting was measured, if any. options: of the recipe.
    """

    recipe: str
    snapshot: str
    base: str
    base_weights: str = ""
    seed: int = 0
    general: str = ""
    options: dict[str, Any] = Field({}, description="of the recipe")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raises UserError, with the line, for what can't be read or isn't known."""
        try:
            text = path.read_text(encoding="utf-8")
            values = parse_toml(text)
        except OSError as error:
            raise UserError(f"can't be read: {error.strerror}", "give a model's run.toml, or its id", where=str(path)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"can't be read: {error}", "mend the line", where=str(path)) from None
        _refuse_unknown(values, cls.model_fields, "key", path, text)
        made = cls.parse(values, of=str(path))
        try:
            options = recipes.get(made.recipe).Options
        except UserError as error:
            raise UserError(error.message, error.hint, where=f"{path}:{find_line(text, 'recipe')}") from None
        _refuse_unknown(made.options, options.model_fields, f"option of {made.recipe}", path, text)
        options.parse(made.options, of=str(path))
        return made

    def to_text(self) -> str:
        """Return the file's text, in the order of the fields; what isn't set is left out."""
        lines = [_HEADER, ""]
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "options"}
        lines += [f"{name} = {to_toml(value)}" for name, value in values.items() if value != ""]
        return "\n".join([*lines, "", "[options]", *(f"{name} = {to_toml(value)}" for name, value in self.options.items()), ""])


def write_run_file(folder: Path, manifest: Mapping[str, Any], max_tokens: int) -> None:
    """Write the run file into a model's folder, from its manifest.

    max_tokens: the limit at which rows were truncated or left out.
    """
    options = {name: value for name, value in manifest["options"].items() if value is not None}
    if "learning_rate" in manifest["options"] and (rate := manifest.get("settled_rate")):
        options["learning_rate"] = rate
    options |= {name: value for name, value in (("dtype", manifest["dtype"]), ("max_tokens", max_tokens)) if name in options}
    names = ("recipe", "snapshot", "base", "base_weights", "seed", "general")
    found = RunFile.parse({**{name: manifest[name] for name in names if name in manifest}, "options": options}, of="the run's file")
    (folder / RUN_FILE).write_text(found.to_text(), encoding="utf-8")


def find_line(text: str, key: str) -> int:
    """Return the number of the line that sets a key."""
    found = re.search(rf"^\s*\[?[\"']?{re.escape(key)}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.end()) + 1 if found else 1


def _refuse_unknown(found: Mapping[str, Any], known: Collection[str], what: str, path: Path, text: str) -> None:
    for key in found:
        if key not in known:
            message = f"no {what} is called {key!r}{suggest_name(key, known)}"
            raise UserError(message, f"known: {', '.join(known)}", where=f"{path}:{find_line(text, key)}")
