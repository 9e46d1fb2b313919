"""Suites of a report: whose answers, by which judge, and what came out, each suite a section of the report's document.

A suite is named by its file, by the name of a file in the project's folder `suites/`, or is one of those that are built in and need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.answers import Answers, Asked
from preceptor.evaluation.faithfulness import RATES
from preceptor.evaluation.gate import Bound
from preceptor.evaluation.judges import Case, Judge
from preceptor.evaluation.suites import Suite, read_prompts, read_suite
from preceptor.project.judges.judging import Hosting, judge_of
from preceptor.project.judges.training import local_judge
from preceptor.project.suites import answering, choosing, faithfulness, four_ways, measuring
from preceptor.project.suites.scoring import judge_scores
from preceptor.project.suites.subjects import Subject, is_recorded, subject_of
from preceptor.registry import did_you_mean
from preceptor.store import items

if TYPE_CHECKING:
    from preceptor.domain.results import FloatArray
    from preceptor.project.project import Project
    from preceptor.snapshots import Row

FOLDER = "suites"
BUILT_IN = {
    "faithfulness": Suite(kind="faithfulness", name="faithfulness", title="Claims that their sources don't bear out"),
    "four_ways": Suite(kind="four_ways", name="four_ways", title="Tuned, with sources, and both", metrics=("exact_match",)),
}
SUPPORTED = "Do the sources say what the claim says?"
Tell = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class Wishes:
    """How suites are run. judge: its name, where a suite names none. queue: whether people are asked for what is missing.

    tell: by what is being done, what is told (done, of how many).
    """

    judge: str = ""
    hosting: Hosting | None = None
    queue: bool = True
    tell: Tell | None = None

    def progress(self, what: str) -> Callable[[int, int], None] | None:
        return self.tell(what) if self.tell else None


def suite_named(project: Project, name: str) -> Suite:
    """A suite by its file, or by its name; NotFound with those that there are."""
    if name.endswith(".toml"):
        return read_suite(name)
    beside = project.folder / FOLDER / f"{name}.toml"
    if beside.is_file():
        return read_suite(beside)
    if name in BUILT_IN:
        return BUILT_IN[name]
    known = sorted({*BUILT_IN, *(path.stem for path in (project.folder / FOLDER).glob("*.toml"))})
    hint = f"known: {', '.join(known)}; or name a suite's file, which ends with .toml"
    raise NotFound(f"no suite is called {name!r}{did_you_mean(name, known)}", hint)


def suites_named(project: Project, names: Sequence[str]) -> list[Suite]:
    """Suites of different names; UserError where one isn't known."""
    suites = [suite_named(project, name) for name in names]
    called = [suite.name for suite in suites]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UserError(f"two suites are called {twice!r}", "give one another name in its file")
    return suites


def sections(
    project: Project, subject: str | Model, names: Sequence[str], wishes: Wishes, *, rows: Sequence[Row] = ()
) -> dict[str, dict[str, Any]]:
    """What each suite finds, by its name. rows: the test rows, for suites without prompts of their own.

    UserError before anything is written or asked, where a suite isn't known or can't be answered.
    """
    suites = suites_named(project, names)
    digests = [suite.digest for suite in suites]  # a file that is changed while answers are measured is another suite
    if isinstance(subject, str) and is_recorded(subject):
        given = answering.recorded(subject)
        found = {suite.name: _of_recorded(project, suite, given, wishes) for suite in suites}
    else:
        asked = subject_of(project, subject)
        found = {suite.name: _of_subject(project, suite, asked, rows, wishes) for suite in suites}
    for section, name, digest in zip(found.values(), names, digests, strict=True):
        section["made"] |= {"named": str(Path(name).resolve()) if name.endswith(".toml") else name, "suite": digest}
    return found


def _of_recorded(project: Project, suite: Suite, given: Answers, wishes: Wishes) -> dict[str, Any]:
    if suite.kind in ("choices", "four_ways"):
        asks = "looks at what a model finds probable" if suite.kind == "choices" else "asks a model and its base in four ways"
        raise UserError(f"{suite.name!r} {asks}, which no file of answers tells", "name a model instead")
    if suite.prompts is not None:
        given = _answers_to(suite, given)
    return _section(project, suite, given, None, wishes) | _how(suite, given, [], wishes)


def _answers_to(suite: Suite, given: Answers) -> Answers:
    """Recorded answers to a suite's own prompts, known by their ids; UserError where one is missing."""
    assert suite.prompts is not None
    asked = read_prompts(suite.prompts, group=suite.group)
    said = dict(zip((each.id for each in given.asked), given.texts, strict=True))
    missing = [each.id for each in asked if each.id not in said]
    if missing:
        message = f"{given.subject} has no answer to {len(missing)} of {len(asked)} prompts of {suite.name!r} (first: {missing[0]!r})"
        raise UserError(message, "record an answer to each prompt, under its id")
    return answering.answers_of(given.subject, asked, [said[each.id] for each in asked], given.sampling)


def _of_subject(project: Project, suite: Suite, subject: Subject, rows: Sequence[Row], wishes: Wishes) -> dict[str, Any]:
    if suite.kind == "choices":
        return choosing.section(suite, subject)
    asked = _prompts(project, suite, subject, rows)
    if suite.kind == "four_ways":
        made = {"subject": subject.name, "sampling": {"max_tokens": suite.max_tokens, "temperature": 0.0, "seed": 0}}
        return four_ways.section(project, suite, subject, asked, wishes.progress) | {"made": made}
    progress = wishes.progress(f"{suite.name}: answers")
    answers, unread = answering.written(project, subject, asked, max_tokens=suite.max_tokens, progress=progress)
    return _section(project, suite, answers, subject, wishes) | _how(suite, answers, unread, wishes)


def _prompts(project: Project, suite: Suite, subject: Subject, rows: Sequence[Row]) -> list[Asked]:
    if suite.prompts is not None:
        return read_prompts(suite.prompts, group=suite.group)
    if not rows:
        raise UserError(f"the suite {suite.name!r} has no prompts, and {subject.name} no test rows", 'prompts = "FILE" in the suite')
    with project.database.reading() as connection:
        known = items.metadata(connection, [row.id for row in rows])
    asked = answering.asked_of_rows(rows, known)
    if suite.kind == "faithfulness" and not any(each.sources for each in asked):
        return [replace(each, sources=(each.prompt,)) for each in asked]  # what is asked about stands in the question
    return asked


def _section(project: Project, suite: Suite, answers: Answers, subject: Subject | None, wishes: Wishes) -> dict[str, Any]:
    judge = suite.judge or wishes.judge
    if suite.kind == "faithfulness":
        checker = judge_of(project, judge, SUPPORTED, wishes.hosting) if judge else local_judge(project)
        progress = wishes.progress(f"{suite.name}: judging")
        bounds = _bounds(project, suite)
        return faithfulness.run(project, answers, checker, queue=wishes.queue, bounds=bounds, progress=progress) | {"title": suite.title}
    if suite.kind == "policy":
        judge_for = cache(lambda question: _Kept(project, judge_of(project, judge, question, wishes.hosting)))
        return measuring.policy(suite, answers, judge_for if judge else None)
    if suite.kind == "knowing":
        return measuring.knowing(suite, answers, subject)
    return measuring.task(suite, answers)


def _bounds(project: Project, suite: Suite) -> list[Bound]:
    """What the gate asks of a faithfulness suite, by the figures' bare names; its audit ends when that is decided."""
    bounds = [Bound.parse(text) for text in project.config.gate.bounds]
    own = (f"suites.{suite.name}.figures.", f"{suite.name}.")
    named = [replace(bound, figure=bound.figure.removeprefix(own[0]).removeprefix(own[1])) for bound in bounds]
    return [bound for bound in named if bound.figure in RATES]


def _how(suite: Suite, answers: Answers, unread: Sequence[str], wishes: Wishes) -> dict[str, Any]:
    """What it takes to make the section again, and the prompts that couldn't be asked."""
    about = {"answers": answers.digest, "subject": answers.subject, "sampling": dict(answers.sampling)}
    about["judge"] = suite.judge or wishes.judge
    return {"made": about} | ({"unread": {"prompts": len(unread), "first": list(unread[:5])}} if unread else {})


@dataclass(frozen=True)
class _Kept:
    """A judge whose scores are kept in the project."""

    project: Project
    judge: Judge

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def digest(self) -> str:
        return self.judge.digest

    def scores(self, cases: Sequence[Case]) -> FloatArray:
        return judge_scores(self.project, self.judge, cases) if cases else np.zeros(0)
