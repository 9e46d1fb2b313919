"""`policy:FILE`: whether the answer keeps a policy's rules. `claims`: how much of what it claims its sources support.

What policies and claims are, the project knows; it gives the run a function for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.sampled import Sampled


class Checked:
    """What the run's check of this name says, in [0, 1]."""

    def __init__(self, name: str, of: str, run: Run) -> None:
        if name not in run.checks:
            raise UserError(f"reward {name}: this run can't check it", "train through a project, which can: project.train(…)")
        self._check = run.checks[name](of)

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return self._check(samples)


def checked(name: str) -> Callable[[str, Run], Checked]:
    """How the reward of this name is made."""
    return lambda of, run: Checked(name, of, run)
