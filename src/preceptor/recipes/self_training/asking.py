"""What people are asked in a round: a sample of the pseudo-labels, which says how many are right, and the texts most in doubt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import Estimate, FloatArray
from preceptor.recipes.self_training.pseudo import Pseudo
from preceptor.statistics import ppi_mean

FEWEST_AUDITED = 5  # fewer say nothing


@dataclass(frozen=True)
class Picked:
    """Numbers of texts. audited: drawn at random among those with a pseudo-label; doubtful: those that decide most."""

    audited: tuple[int, ...]
    doubtful: tuple[int, ...]


def pick(probabilities: FloatArray, pseudo: Pseudo, budget: int, seed: int, known: Collection[int] = ()) -> Picked:
    """Half of the budget for the audit, half for the texts whose two most probable answers are nearest each other.

    probabilities: calibrated, (texts, answers). known: texts that people have answered by now, of which nobody is asked again.
    """
    random = np.random.default_rng(seed)
    audited = random.permutation(pseudo.texts)[: budget // 2].tolist()
    first_two = np.sort(probabilities, axis=1)[:, -2:]
    margin = first_two[:, 1] - first_two[:, 0]
    margin[[*audited, *known]] = np.inf
    doubtful = np.argsort(margin, kind="stable")[: budget - len(audited)].tolist()
    return Picked(tuple(audited), tuple(each for each in doubtful if np.isfinite(margin[each])))


def right_share(pseudo: Pseudo, said: Mapping[int, Mapping[str, float]], answers: Sequence[str]) -> Estimate | None:
    """The share of right pseudo-labels, from people's answers about the audited texts and the confidence of all (`ppi_mean`).

    said: text number -> people's distribution, of audited texts only. None where they are too few.
    """
    if len(said) < FEWEST_AUDITED:
        return None
    place = {int(text): row for row, text in enumerate(pseudo.texts)}
    seen = [place[text] for text in said]
    first = pseudo.targets.argmax(axis=1)
    human = [said[text].get(answers[first[place[text]]], 0.0) for text in said]
    return ppi_mean(human, pseudo.sure[seen], np.delete(pseudo.sure, seen))
