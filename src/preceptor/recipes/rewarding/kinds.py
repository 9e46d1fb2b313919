"""The parts that a reward can be made of, by name.

model      what reward models say, see `by_model`
function   a function of one's own, see `by_function`
regex      a pattern that the answer has, see `by_pattern`
format     a form that all of the answer has
policy     a policy's rules, kept, see `by_check`
claims     what the answer claims, supported by its sources
exact      the row's own answer, see `by_target`
length     words, see `by_length`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.by_check import checked
from preceptor.recipes.rewarding.by_function import ByFunction
from preceptor.recipes.rewarding.by_length import Within
from preceptor.recipes.rewarding.by_model import ByModel
from preceptor.recipes.rewarding.by_pattern import Formed, Found
from preceptor.recipes.rewarding.by_target import Exact
from preceptor.recipes.rewarding.sampled import Reward

KINDS: Mapping[str, Callable[[str, Run], Reward]] = {
    "model": ByModel,
    "function": ByFunction,
    "regex": Found,
    "format": Formed,
    "policy": checked("policy"),
    "claims": checked("claims"),
    "exact": Exact,
    "length": Within,
}
