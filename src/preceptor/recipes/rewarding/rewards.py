"""A reward made of weighted parts: what answers earn, in all and by part, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Row, Run
from preceptor.recipes.rewarding.by_function import ByFunction
from preceptor.recipes.rewarding.by_model import ByModel
from preceptor.recipes.rewarding.by_pattern import Formed, Found
from preceptor.recipes.rewarding.by_target import Exact
from preceptor.recipes.rewarding.kinds import KINDS
from preceptor.recipes.rewarding.sampled import Reward, Sampled
from preceptor.recipes.rewarding.spec import PartSpec


@dataclass(frozen=True)
class Scored:
    """What answers earned. total: the weighted sum, (n,). by_part: each part's own score, unweighted, (n,) each.

    doubt: how much the parts, or the models of one, differ about an answer, in standard deviations, (n,); 0 where there is
    but one voice.
    """

    total: FloatArray
    by_part: Mapping[str, FloatArray]
    doubt: FloatArray

    def take(self, places: Sequence[int]) -> Scored:
        """What these answers earned."""
        rows = list(places)
        return Scored(self.total[rows], {name: values[rows] for name, values in self.by_part.items()}, self.doubt[rows])

    @property
    def means(self) -> dict[str, float]:
        """The mean score of each part, and of all (`reward`)."""
        return {"reward": float(self.total.mean()), **{name: float(values.mean()) for name, values in self.by_part.items()}}


class Rewards:
    """Parts with their weights."""

    def __init__(self, parts: Mapping[str, tuple[float, Reward]]) -> None:
        self._parts = parts

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, in the spec's order."""
        return tuple(self._parts)

    def check(self, rows: Sequence[Row], tokens: int) -> None:
        """UserError for rows of which a part can't read the prompt with an answer of so many tokens, or needs an answer they lack."""
        for _, reward in self._parts.values():
            if isinstance(reward, ByModel):
                reward.check_room(rows, tokens)
            if isinstance(reward, Exact):
                reward.check_answered(rows)

    def total(self, samples: Sequence[Sampled]) -> FloatArray:
        """The weighted sum of the parts, (n,)."""
        return self.look(samples).total

    def by_part(self, samples: Sequence[Sampled]) -> Mapping[str, FloatArray]:
        """Each part's own score, (n,) each."""
        return self.look(samples).by_part

    def look(self, samples: Sequence[Sampled]) -> Scored:
        """All of it at once; UserError, with part and answer, for a score that is no number."""
        given, voices = {}, []
        for name, (weight, reward) in self._parts.items():
            values, spread = reward.with_doubt(samples) if isinstance(reward, ByModel) else (reward.score(samples), None)
            given[name] = checked_scores(name, values, samples)
            voices.append(weight * standardised(given[name]))
            if spread is not None:  # what the models of one part say apart from each other counts as voices too
                apart = weight * spread / _width(given[name])
                voices += [voices[-1] + apart, voices[-1] - apart]
        total = np.sum([weight * given[name] for name, (weight, _) in self._parts.items()], axis=0)
        heard = [voice for voice in voices if voice.any()]
        doubt = np.std(heard, axis=0) if len(heard) > 1 else np.zeros(len(samples))
        return Scored(np.asarray(total, dtype=np.float64), given, np.asarray(doubt, dtype=np.float64))

    def words(self) -> list[str]:
        """What of the rewards should be known, in plain sentences."""
        timed = {name: reward.late.count for name, (_, reward) in self._parts.items() if isinstance(reward, ByFunction | Found | Formed)}
        return [f"{count:,} answers took {name} too long to score; each earned 0." for name, count in timed.items() if count]


def parts(spec: Sequence[PartSpec], run: Run) -> Rewards:
    """The reward that a spec describes; UserError where a part can't be made (a missing model, a wrong pattern, no such function)."""
    return Rewards({each.name: (each.weight, KINDS[each.part](each.of, run)) for each in spec})


def checked_scores(name: str, values: FloatArray, samples: Sequence[Sampled]) -> FloatArray:
    """The scores, one finite number an answer; UserError, with the part and the answer, where they aren't."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.shape != (len(samples),):
        raise UserError(f"reward {name} gave scores of shape {scores.shape} for {len(samples)} answers", "one number an answer")
    if (wrong := np.flatnonzero(~np.isfinite(scores))).size:
        first = samples[int(wrong[0])]
        raise UserError(f"reward {name} gave {scores[wrong[0]]:g}", "every answer needs a finite score", where=first.shown)
    return scores


def standardised(values: FloatArray) -> FloatArray:
    """Values in standard deviations from their mean; all 0 where they are the same."""
    return np.asarray((values - values.mean()) / _width(values))


def _width(values: FloatArray) -> float:
    width = float(values.std())
    return width if width > 0 else 1.0
