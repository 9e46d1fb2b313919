"""Who answers in people's place makes a run another run: by what the function says, and not by its name alone."""

from __future__ import annotations

import os
import subprocess
import sys

from preceptor.runs.human_feedback import FeedbackOptions, FeedbackSources


def identity(people):
    return FeedbackSources(FeedbackOptions(people), None).identity


def test_functions_of_one_name_that_answer_otherwise_are_told_apart():
    right, wrong = (lambda kind, asked: {each.id: "yes" for each in asked}), (lambda kind, asked: {each.id: "no" for each in asked})
    assert right.__qualname__ == wrong.__qualname__
    assert identity(right) != identity(wrong)


def test_a_callable_object_is_known_by_its_class():
    class Sure:
        def __call__(self, kind, asked):
            return {each.id: "yes" for each in asked}

    class Unsure:
        def __call__(self, kind, asked):
            return {}

    assert identity(Sure()) == identity(Sure())
    assert identity(Sure()) != identity(Unsure())


def test_nobody_the_projects_people_and_a_function_are_three_things():
    assert (identity(False), identity(True)) == ([], ["people"])
    assert identity(lambda kind, asked: {}) not in ([], ["people"])


def test_a_function_is_the_same_in_another_process():
    """Or no run would go on: a set among its constants has an order of its own in each."""
    told = (
        "from preceptor.runs.human_feedback import FeedbackOptions, FeedbackSources\n"
        "def answer(kind, asked):\n    return {one.id: 'yes' for one in asked if one.id in {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}}\n"
        "said = FeedbackSources(FeedbackOptions(answer), None).identity\n"
    )
    here = {"__name__": "__main__"}
    exec(told, here)
    done = subprocess.run(
        [sys.executable, "-c", f"{told}print(said)"], env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(here["said"])
