"""Remedies against forgetting, each a change of what is trained (`Task`) or how (`Plan`).

slower    a third of the learning rate
l2sp      weights are pulled back to where they began (Li et al. 2018); not AdamW's decay, which pulls them to zero
replay    general texts are trained on among the task's rows
kl        on general texts the model follows its base's whole distribution, not the text alone
distil    answers are rewritten by the base itself, and kept where they still say the same (Yang et al. 2024)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from preceptor.errors import UserError
from preceptor.recipes.examples import Examples
from preceptor.recipes.general import as_examples
from preceptor.recipes.knowing import Knowledge
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.rewriting import rewritten

SLOWER = 1 / 3
SHARE = 0.25  # of the tokens, and of the loss, that general texts get

Remedy = Callable[[Task, Plan, Knowledge], tuple[Task, Plan]]


def slower(task: Task, plan: Plan, knowledge: Knowledge) -> tuple[Task, Plan]:
    """A third of the learning rate."""
    return task, replace(plan, learning_rate=plan.learning_rate * SLOWER)


def pulled(task: Task, plan: Plan, knowledge: Knowledge) -> tuple[Task, Plan]:
    """Pulled back to the base at each step."""
    return task, replace(plan, pull=True)


def replayed(task: Task, plan: Plan, knowledge: Knowledge) -> tuple[Task, Plan]:
    """General texts among the rows."""
    return replace(task, train=task.train.followed_by(general_rows(task, knowledge))), plan


def anchored(task: Task, plan: Plan, knowledge: Knowledge) -> tuple[Task, Plan]:
    """General texts among the rows, on which the base is followed."""
    general = knowledge.teaches.following(task.new_model(), general_rows(task, knowledge), 1.0)
    return replace(task, train=task.train.followed_by(general)), plan


def distilled(task: Task, plan: Plan, knowledge: Knowledge) -> tuple[Task, Plan]:
    """Answers in the base's own words, where these still say the same."""
    return replace(task, train=rewritten(task, knowledge.tokenizer)), plan


REMEDIES: Mapping[str, Remedy] = {"slower": slower, "l2sp": pulled, "replay": replayed, "kl": anchored, "distil": distilled}


def general_rows(task: Task, knowledge: Knowledge) -> Examples:
    """So many general texts that they are `SHARE` of all tokens, and count for as much of the loss at most."""
    found = as_examples(knowledge.general.replay, knowledge.tokenizer, max_tokens=task.max_tokens)
    if not len(found):
        raise UserError("there is no general text to train on again", "name some that fit max_tokens: [general] replay in preceptor.toml")
    room = SHARE / (1 - SHARE) * sum(task.train.lengths)
    taken = found.take(range(max(1, int(np.searchsorted(np.cumsum(found.lengths), room)))))
    most = SHARE / (1 - SHARE) * float(task.train.mass.sum())
    return replace(taken, weights=taken.weights * min(1.0, most / float(taken.mass.sum())))
