"""Whether somebody who passed is still as good: their accuracy of late, and an alarm that may be looked at after each answer.

The alarm is a bet against "right at least as often as `least`", spread over when the fall began: a part of the capital is
staked after each gold answer, and the stakes since a true fall grow, however long the person was good before. While they are
as good as `least`, no such bet grows 1/α-fold with probability above α, over the whole stream and at any look (Ville 1939;
betting as in Waudby-Smith & Ramdas 2024, starts as in Shin, Ramdas & Rinaldo 2023, with stakes that sum to one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.guidance.qualification import posterior

FORGETTING = 0.995  # weight of a gold answer against the next one: about the last 200 count
ALTERNATIVES = 8  # accuracies below `least` on which the capital is bet


@dataclass(frozen=True)
class Watch:
    """How somebody stands on gold.

    accuracy: of late, with its interval. alarm: gold answers after which it was shown that they are right less often than
    `least`, None where it isn't. evidence: the highest capital of the bet so far, from 1; the alarm is at 1/`false_alarm`.
    """

    accuracy: Estimate
    least: float
    alarm: int | None
    evidence: float
    false_alarm: float

    @property
    def words(self) -> str:
        """How it stands, in one line."""
        of_late = f"accuracy of late {self.accuracy.value:.0%} ({self.accuracy.low:.0%} to {self.accuracy.high:.0%})"
        if self.alarm is None:
            return of_late
        chance = f"an alarm that {self.false_alarm:.0%} of the people at {self.least:.0%} would ever raise"
        return f"{of_late}; below {self.least:.0%}, as gold answer {self.alarm} showed: {chance}"


def watch(right: Sequence[bool], least: float, *, false_alarm: float = 0.05) -> Watch:
    """Whether somebody's gold answers, in the order in which they came, still show an accuracy of at least `least`.

    false_alarm: chance that somebody who is always that good is ever called worse, over all their answers. After an alarm and
    what was done about it, go on with the answers given since.
    """
    if not 0 < least < 1:
        raise UserError(f"the least accuracy lies between 0 and 1, not at {least!r}", "least=0.7", where="least")
    if not 0 < false_alarm < 1:
        raise UserError(f"a chance of false alarm lies between 0 and 1, not at {false_alarm!r}", "false_alarm=0.05", where="false_alarm")
    answers = np.asarray(right, dtype=np.float64)
    capital = bet(answers[None], least)[0]
    over = np.flatnonzero(capital >= 1 / false_alarm)
    highest = float(capital.max()) if len(capital) else 1.0
    return Watch(_of_late(answers), least, int(over[0]) + 1 if over.size else None, highest, false_alarm)


def bet(right: FloatArray, least: float) -> FloatArray:
    """Capital after each answer, (people, answers) like `right`: from 1, and never growing in the mean for who is at `least`.

    After t answers 1/√(t + 1) of the first capital isn't staked yet. Each stake is spread evenly over accuracies below `least`;
    the odds are those of the answer under that accuracy against those under `least`.
    """
    believed = least * (np.arange(ALTERNATIVES) + 0.5) / ALTERNATIVES
    if_right, if_wrong = believed / least, (1 - believed) / (1 - least)
    kept = 1 / np.sqrt(np.arange(1, right.shape[1] + 2))
    stakes = np.zeros((len(right), ALTERNATIVES))
    capital = np.empty(right.shape)
    for turn in range(right.shape[1]):
        stakes += (kept[turn] - kept[turn + 1]) / ALTERNATIVES
        stakes *= np.where(right[:, turn, None] > 0, if_right, if_wrong)
        capital[:, turn] = kept[turn + 1] + stakes.sum(axis=1)
    return capital


def _of_late(answers: FloatArray) -> Estimate:
    weights = FORGETTING ** np.arange(len(answers))[::-1]
    of_late = posterior(float(weights @ answers), float(weights @ (1 - answers)), n=len(answers))
    return replace(of_late, method=f"beta posterior, forgetting {FORGETTING}")
