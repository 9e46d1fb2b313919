"""Parse a reward specification, and score answers by its weighted parts.

The parts of a reward, by name:

  model      the score of reward models, see `ModelReward`
  function   a custom function, see `UserFunctionReward`
  regex      a pattern that the answer contains, see `RegexReward`
  format     a pattern or format of the whole answer, see `FormatReward`
  policy     whether a policy's rules are kept, see `ProjectCheckReward`
  claims     share of the answer's claims that its sources support, see `ProjectCheckReward`
  exact      the row's own answer, see `ExactReward`
  length     a bound on the number of words, see `LengthReward`

A specification is a text such as `exact, regex:^Answer*0.5, length<=80`, a list of such parts, or the name of a file. Parts are separated
by commas; a part's name is followed by its argument, and by its weight after a star (1 by default). An argument that contains a comma or
ends like a weight is put in quotes: `regex:'a{1,3}'*0.5`. A file is TOML with tables `[[reward]]`, or JSON with a list, of `part`, `of` and
`weight`; paths in it are relative to its own folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml
from preceptor.registry import OptionsBase, suggest_name
from preceptor.training.recipe import SampledAnswer, TrainingRow, TrainingRun
from preceptor.training.rl.reward_functions import (
    ExactReward,
    FormatReward,
    LengthReward,
    ModelReward,
    RegexReward,
    RewardFunction,
    UserFunctionReward,
    project_check_factory,
)
from preceptor.types import FloatArray, json_digest

REWARD_FUNCTIONS: Mapping[str, Callable[[str, TrainingRun], RewardFunction]] = {
    "model": ModelReward,
    "function": UserFunctionReward,
    "regex": RegexReward,
    "format": FormatReward,
    "policy": project_check_factory("policy"),
    "claims": project_check_factory("claims"),
    "exact": ExactReward,
    "length": LengthReward,
}

SPEC_EXAMPLE = "exact, regex:'^Answer: '*0.5, model:m-1a2b, policy:policy.toml, length<=80"
MAX_FORMAT_WEIGHT = 0.1  # of a format next to other parts: with more, a policy learns the format and stops there
_PART = re.compile(
    r"""\s*(?P<part>\w+)\s*
    (?: :\s*(?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>[^,]*?) ) | (?P<bound>[<>]=\s*\d+) )?
    \s*(?:\*\s*(?P<weight>-?\d+(?:\.\d+)?))?\s*(?:,|$)""",
    re.VERBOSE,
)


class RewardPartSpec(OptionsBase):
    """The specification of one part of a reward."""

    part: str = Field(description="the part's name, see `kinds`")
    of: str = Field("", description="what it is about: a pattern, a model, a file, a bound")
    weight: float = Field(1.0, description="how much it counts")
    digest: str = Field("", description="of the file or model that it is about, so that another one is another run")

    @property
    def name(self) -> str:
        """The part's name in figures and messages."""
        return f"{self.part}{'' if self.of[:1] in ('<', '>', '') else ':'}{self.of}"


def parse_reward_spec(given: Any) -> tuple[RewardPartSpec, ...]:
    """Parse the parts that an option names; raises UserError where it can't be read, names an unknown part, one twice, or none."""
    if isinstance(given, str) and Path(given.strip()).suffix in (".toml", ".json") and "," not in given and ":" not in given:
        found = _read_spec_file(Path(given.strip()))
    elif isinstance(given, str):
        found = _parse_text(given)
    elif isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise UserError(f"{given!r} is no reward", f"a text, a list of parts, or the name of a file: {SPEC_EXAMPLE}")
    else:
        found = [part for each in given for part in ([_validate_part(each)] if isinstance(each, Mapping) else _parse_item(each))]
    if not found:
        raise UserError("a reward without a part rewards nothing", SPEC_EXAMPLE)
    names = [part.name for part in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the reward names {twice[0]!r} twice", "once, with the sum of both weights")
    if len(found) > 1 and (heavy := [part for part in found if part.part == "format" and abs(part.weight) > MAX_FORMAT_WEIGHT]):
        raise UserError(
            f"{heavy[0].name!r} has the weight {heavy[0].weight:g}: a form beside a content weighs {MAX_FORMAT_WEIGHT} at most",
            f"{heavy[0].name}*{MAX_FORMAT_WEIGHT}; or regex, where the form is what matters",
        )
    return tuple(found)


RewardSpec = Annotated[tuple[RewardPartSpec, ...], BeforeValidator(parse_reward_spec)]


def _parse_item(given: Any) -> list[RewardPartSpec]:
    if isinstance(given, RewardPartSpec):
        return [given]
    if not isinstance(given, str):
        raise UserError(f"{given!r} is no part of a reward", SPEC_EXAMPLE)
    return _parse_text(given)


def _parse_text(text: str) -> list[RewardPartSpec]:
    found, at = [], 0
    while text[at:].strip():
        match = _PART.match(text, at)
        if match is None:
            raise UserError(f"the reward can't be read from {text[at:].strip()[:40]!r} on", SPEC_EXAMPLE)
        about = next((match[group] for group in ("single", "double", "bare", "bound") if match[group] is not None), "")
        weight = {"weight": float(match["weight"])} if match["weight"] else {}
        found.append(_validate_part({"part": match["part"], "of": about.strip(), **weight}))
        at = match.end()
    return found


def _read_spec_file(path: Path) -> list[RewardPartSpec]:
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
    return [_validate_part(table, path.parent) for table in tables]


def _validate_part(given: Mapping[str, Any], beside: Path | None = None) -> RewardPartSpec:
    part = RewardPartSpec.parse(given, of="a part of the reward")
    if part.part not in REWARD_FUNCTIONS:
        raise UserError(
            f"no part of a reward is called {part.part!r}{suggest_name(part.part, REWARD_FUNCTIONS)}",
            f"known: {', '.join(REWARD_FUNCTIONS)}",
        )
    if not part.weight:
        raise UserError(f"the part {part.name!r} has the weight 0", "leave it out, or give it a weight")
    if part.part == "format" and "weight" not in given:
        part = part.model_copy(update={"weight": MAX_FORMAT_WEIGHT})
    of = str(beside / part.of) if part.part == "policy" and beside is not None else part.of
    return part.model_copy(update={"of": of, "digest": part.digest or _part_digest(part.part, of)})


def _part_digest(part: str, of: str) -> str:
    """Return a digest of the policy, function or model that a part refers to by name: with another one it is another run."""
    if part == "policy":
        return _sha256(of)
    if part == "function" and (source := _find_module_file(of.partition(":")[0])) is not None:
        return _sha256(str(source))
    if part == "model" and (folders := [folder for folder in map(Path, re.split(r"\s*\+\s*", of)) if (folder / "config.json").is_file()]):
        from preceptor.models.atomic_folder import weights_digest

        return json_digest([weights_digest(folder) for folder in folders])
    return ""


def _find_module_file(module: str) -> Path | None:
    """Return the module's file, found as the process that runs the function finds it; None for a module without one."""
    name = Path(*module.split("."))
    places = [Path(root) / name for root in ("", *sys.path)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"the policy's file can't be read: {error.strerror}", "check the path", where=path) from None


@dataclass(frozen=True)
class RewardScores:
    """The rewards of answers.

    total: the weighted sum, (n,). by_part: each part's own score, unweighted, (n,) each. disagreement: how much the parts, or the models of
    one, differ about an answer, in standard deviations, (n,); 0 where there is only one score.
    """

    total: FloatArray
    by_part: Mapping[str, FloatArray]
    disagreement: FloatArray

    def select(self, places: Sequence[int]) -> RewardScores:
        """Return the scores of these answers."""
        rows = list(places)
        return RewardScores(self.total[rows], {name: values[rows] for name, values in self.by_part.items()}, self.disagreement[rows])

    @property
    def means(self) -> dict[str, float]:
        """The mean score of each part, and of all (`reward`)."""
        return {"reward": float(self.total.mean()), **{name: float(values.mean()) for name, values in self.by_part.items()}}


class CompositeReward:
    """Score answers by weighted parts."""

    def __init__(self, parts: Mapping[str, tuple[float, RewardFunction]]) -> None:
        self._parts = parts

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, in the specification's order."""
        return tuple(self._parts)

    def check(self, rows: Sequence[TrainingRow], tokens: int) -> None:
        """Check rows before training.

        Raises UserError for rows whose prompt a part can't read with an answer of `tokens` tokens, or that lack an answer that a part
        needs.
        """
        for _, reward in self._parts.values():
            if isinstance(reward, ModelReward):
                reward.check_prompt_length(rows, tokens)
            if isinstance(reward, ExactReward):
                reward.check_answered(rows)

    def total(self, samples: Sequence[SampledAnswer]) -> FloatArray:
        """Return the weighted sum of the parts, (n,)."""
        return self.score(samples).total

    def by_part(self, samples: Sequence[SampledAnswer]) -> Mapping[str, FloatArray]:
        """Return each part's own score, (n,) each."""
        return self.score(samples).by_part

    def score(self, samples: Sequence[SampledAnswer]) -> RewardScores:
        """Return total, parts and disagreement; raises UserError, with part and answer, for a score that isn't finite."""
        given, voices = {}, []
        for name, (weight, reward) in self._parts.items():
            values, spread = reward.score_with_spread(samples) if isinstance(reward, ModelReward) else (reward.score(samples), None)
            given[name] = check_scores(name, values, samples)
            voices.append(weight * standardize_scores(given[name]))
            if spread is not None:  # the spread of the models of one part counts as disagreement too
                apart = weight * spread / _nonzero_deviation(given[name])
                voices += [voices[-1] + apart, voices[-1] - apart]
        total = np.sum([weight * given[name] for name, (weight, _) in self._parts.items()], axis=0)
        heard = [voice for voice in voices if voice.any()]
        doubt = np.std(heard, axis=0) if len(heard) > 1 else np.zeros(len(samples))
        return RewardScores(np.asarray(total, dtype=np.float64), given, np.asarray(doubt, dtype=np.float64))

    def summary_lines(self) -> list[str]:
        """Return sentences on answers that took too long to score."""
        timed = {
            name: reward.timeouts.timeouts
            for name, (_, reward) in self._parts.items()
            if isinstance(reward, UserFunctionReward | RegexReward | FormatReward)
        }
        return [f"{count:,} answers took {name} too long to score; each earned 0." for name, count in timed.items() if count]


def build_reward(spec: Sequence[RewardPartSpec], run: TrainingRun) -> CompositeReward:
    """Build the reward of a specification.

    Raises UserError where a part can't be built (a missing model, a wrong pattern, no such function).
    """
    return CompositeReward({each.name: (each.weight, REWARD_FUNCTIONS[each.part](each.of, run)) for each in spec})


def check_scores(name: str, values: FloatArray, samples: Sequence[SampledAnswer]) -> FloatArray:
    """Return the scores, one finite number an answer; raises UserError, with the part and the answer, where they aren't."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.shape != (len(samples),):
        raise UserError(f"reward {name} gave scores of shape {scores.shape} for {len(samples)} answers", "one number an answer")
    if (wrong := np.flatnonzero(~np.isfinite(scores))).size:
        first = samples[int(wrong[0])]
        raise UserError(f"reward {name} gave {scores[wrong[0]]:g}", "every answer needs a finite score", where=first.label)
    return scores


def standardize_scores(values: FloatArray) -> FloatArray:
    """Return the values in standard deviations from their mean; all 0 where they are the same."""
    return np.asarray((values - values.mean()) / _nonzero_deviation(values))


def _nonzero_deviation(values: FloatArray) -> float:
    width = float(values.std())
    return width if width > 0 else 1.0
