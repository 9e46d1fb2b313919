"""What a run is rewarded by, as an option says it: `exact, regex:^Answer*0.5, length<=80`; a list of such parts; or a file of them.

Parts are separated by commas; behind a part's name stands what it is about, and its weight behind a star (1 without). In quotes
may stand what has a comma or ends like a weight: `regex:'a{1,3}'*0.5`. A file is TOML with tables `[[reward]]`, or JSON with a
list, of `part`, `of` and `weight`; the paths in it are from its own folder on.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml
from preceptor.recipes.rewarding.kinds import KINDS
from preceptor.registry import OptionsBase, did_you_mean

EXAMPLE = "exact, regex:'^Answer: '*0.5, model:m-1a2b, policy:policy.toml, length<=80"
MOST_FOR_FORM = 0.1  # weight of a form beside a content: more, and a policy learns the form and stops there
_PART = re.compile(
    r"""\s*(?P<part>\w+)\s*
    (?: :\s*(?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>[^,]*?) ) | (?P<bound>[<>]=\s*\d+) )?
    \s*(?:\*\s*(?P<weight>-?\d+(?:\.\d+)?))?\s*(?:,|$)""",
    re.VERBOSE,
)


class PartSpec(OptionsBase):
    """One part of a reward."""

    part: str = Field(description="the part's name, see `kinds`")
    of: str = Field("", description="what it is about: a pattern, a model, a file, a bound")
    weight: float = Field(1.0, description="how much it counts")
    digest: str = Field("", description="of the file or model that it is about, so that another one is another run")

    @property
    def name(self) -> str:
        """The part as figures and messages call it."""
        return f"{self.part}{'' if self.of[:1] in ('<', '>', '') else ':'}{self.of}"


def read_spec(given: Any) -> tuple[PartSpec, ...]:
    """The parts that an option names; UserError where it can't be read, names an unknown part, one twice, or none."""
    if isinstance(given, str) and Path(given.strip()).suffix in (".toml", ".json") and "," not in given and ":" not in given:
        found = _of_file(Path(given.strip()))
    elif isinstance(given, str):
        found = _of_text(given)
    elif isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise UserError(f"{given!r} is no reward", f"a text, a list of parts, or the name of a file: {EXAMPLE}")
    else:
        found = [part for each in given for part in ([_part(each)] if isinstance(each, Mapping) else _of_item(each))]
    if not found:
        raise UserError("a reward without a part rewards nothing", EXAMPLE)
    names = [part.name for part in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the reward names {twice[0]!r} twice", "once, with the sum of both weights")
    if len(found) > 1 and (heavy := [part for part in found if part.part == "format" and abs(part.weight) > MOST_FOR_FORM]):
        raise UserError(
            f"{heavy[0].name!r} has the weight {heavy[0].weight:g}: a form beside a content weighs {MOST_FOR_FORM} at most",
            f"{heavy[0].name}*{MOST_FOR_FORM}; or regex, where the form is what matters",
        )
    return tuple(found)


RewardSpec = Annotated[tuple[PartSpec, ...], BeforeValidator(read_spec)]


def _of_item(given: Any) -> list[PartSpec]:
    if isinstance(given, PartSpec):
        return [given]
    if not isinstance(given, str):
        raise UserError(f"{given!r} is no part of a reward", EXAMPLE)
    return _of_text(given)


def _of_text(text: str) -> list[PartSpec]:
    found, at = [], 0
    while text[at:].strip():
        match = _PART.match(text, at)
        if match is None:
            raise UserError(f"the reward can't be read from {text[at:].strip()[:40]!r} on", EXAMPLE)
        about = next((match[group] for group in ("single", "double", "bare", "bound") if match[group] is not None), "")
        weight = {"weight": float(match["weight"])} if match["weight"] else {}
        found.append(_part({"part": match["part"], "of": about.strip(), **weight}))
        at = match.end()
    return found


def _of_file(path: Path) -> list[PartSpec]:
    try:
        text = path.read_text(encoding="utf-8")
        read = parse_toml(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise UserError(f"the reward's file can't be read: {error.strerror}", "check the path", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"the reward's file can't be read: {error}", "mend the line", where=str(path)) from None
    tables = read.get("reward") if isinstance(read, Mapping) else read
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise UserError("the file holds no list of rewards", '[[reward]] with part = "exact"', where=str(path))
    return [_part(table, path.parent) for table in tables]


def _part(given: Mapping[str, Any], beside: Path | None = None) -> PartSpec:
    part = PartSpec.parse(given, of="a part of the reward")
    if part.part not in KINDS:
        raise UserError(f"no part of a reward is called {part.part!r}{did_you_mean(part.part, KINDS)}", f"known: {', '.join(KINDS)}")
    if not part.weight:
        raise UserError(f"the part {part.name!r} has the weight 0", "leave it out, or give it a weight")
    if part.part == "format" and "weight" not in given:
        part = part.model_copy(update={"weight": MOST_FOR_FORM})
    of = str(beside / part.of) if part.part == "policy" and beside is not None else part.of
    return part.model_copy(update={"of": of, "digest": part.digest or _digest(part.part, of)})


def _digest(part: str, of: str) -> str:
    """Of what lies elsewhere under the name that a part gives: with another policy, function or model in its place it is another run."""
    if part == "policy":
        return _sha256(of)
    if part == "function" and (source := _source(of.partition(":")[0])) is not None:
        return _sha256(str(source))
    if part == "model" and (folders := [folder for folder in map(Path, re.split(r"\s*\+\s*", of)) if (folder / "config.json").is_file()]):
        from preceptor.models.saving import weights_digest

        return digest_of([weights_digest(folder) for folder in folders])
    return ""


def _source(module: str) -> Path | None:
    """The module's file, found as the process finds it in which the function runs; None for one that has none."""
    name = Path(*module.split("."))
    places = [Path(root) / name for root in ("", *sys.path)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"the policy's file can't be read: {error.strerror}", "check the path", where=path) from None
