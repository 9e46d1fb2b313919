"""Run evaluation suites on a model or on recorded answers.

A suite is named by its file, by the name of a file in the project's folder `suites/`, or is built in. Each suite becomes a section of the
report's document.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.documents.claim_judge import load_claim_judge
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.faithfulness import HALLUCINATION_RATES
from preceptor.evaluation.judges import CaseJudge, JudgeCase
from preceptor.evaluation.metrics.metric import named_metrics
from preceptor.evaluation.policies.policy import policy_section, read_policy
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt, read_prompts
from preceptor.evaluation.release_bounds import ReleaseBound
from preceptor.evaluation.suites import EvaluationSuite, generation_section, read_suite, selective_prediction_section
from preceptor.evaluation.suites.generation import measure_metrics
from preceptor.registry import suggest_name
from preceptor.runs import claim_audit, rag_ablation, suite_answers
from preceptor.runs.general_eval_data import read_multiple_choice
from preceptor.runs.named_judges import JudgeHosting, load_rubric_judge, score_cases
from preceptor.runs.suite_answers import SuiteSubject, find_subject, is_answers_file
from preceptor.statistics import estimate_mean
from preceptor.storage import items
from preceptor.types import FloatArray, Model

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshot_rows import SnapshotRow


def build_multiple_choice_section(suite: EvaluationSuite, subject: SuiteSubject) -> dict[str, Any]:
    """Build a report's section on multiple-choice questions, by the option that the model makes most probable.

    figures: `accuracy`, and `above_chance`, how far it is above guessing. Raises UserError where a row is no multiple-choice question.
    """
    from preceptor.models.capability_probes import grade_multiple_choice
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.models.loading import load_causal

    assert suite.prompts is not None
    asked = list(read_multiple_choice(suite.prompts))
    if not asked:
        raise UserError("there are no questions", "fill the file", where=str(suite.prompts))
    chat, model = ChatTokenizer(subject.folder), load_causal(subject.folder)
    right = grade_multiple_choice(model, chat.tokenizer, asked, max_tokens=chat.limit)
    del model
    gc.collect()
    chance = np.array([each.chance for each in asked])
    figures = {"accuracy": estimate_mean(right), "above_chance": estimate_mean(right - chance)}
    wrong = [each for each, yes in zip(asked, right, strict=True) if not yes]
    return {
        "kind": "multiple_choice",
        "title": suite.title,
        "summary": [
            f"Of {len(asked):,} questions with options {int(right.sum()):,} are answered right; guessing gets {chance.mean():.0%}."
        ],
        "figures": figures,
        "rows": len(asked),
        "provenance": {"subject": subject.name},
        "examples": [{"id": each.id, "prompt": each.question, "text": "", "reference": each.options[each.answer]} for each in wrong[:10]],
    }


_CONFIDENCE_FIELD = "confidence"  # metadata of a recorded answer: the model's confidence
_CONFIDENCE_HINT = 'a "confidence" beside each answer, from 0 to 1 or a log-probability'


def build_generation_section(suite: EvaluationSuite, answers: ModelAnswers) -> dict[str, Any]:
    """Build a report's section of metrics of generated answers."""
    return generation_section(answers, named_metrics(suite.metrics), title=suite.title, slices=suite.slices)


def build_policy_section(suite: EvaluationSuite, answers: ModelAnswers, judge_for: Callable[[str], CaseJudge] | None) -> dict[str, Any]:
    """Build a report's section of a policy's violations. judge_for: loads the judge of a rule's question; None where no judge is named."""
    assert suite.policy is not None
    section = policy_section(answers, read_policy(suite.policy), title=suite.title, judge_for=judge_for, slices=suite.slices)
    judged = [name for name, rule in section["rules"].items() if rule["kind"] == "judge"]
    if judged:
        section["summary"].append(
            f"A judge decides {', '.join(judged)}. How far it agrees with people isn't measured here: take what it flags for what people "
            "should look at, and measure it (docs/judges.md) before a release rests on it."
        )
    return section


def build_selective_section(suite: EvaluationSuite, answers: ModelAnswers, subject: SuiteSubject | None) -> dict[str, Any]:
    """Build a report's section on selective prediction: the error rate of the first metric by confidence.

    subject: the model, whose log-probabilities are its confidence; None: the confidence that was recorded with the answers. Raises
    UserError for a metric without values per answer, and for recorded answers without confidence.
    """
    metrics = named_metrics(suite.metrics)
    name, found = next(iter(measure_metrics(answers, metrics).items()))
    if found.figure is not None:
        raise UserError(f"{name} is a figure of all answers together, and says of none whether it is right", 'metrics = ["exact_match"]')
    sure = _recorded_confidence(answers) if subject is None else _model_confidence(answers, subject)
    return selective_prediction_section(
        answers, found.columns[:, 0], sure, title=suite.title, coverages=suite.coverages, slices=suite.slices
    )


def _recorded_confidence(answers: ModelAnswers) -> FloatArray:
    sure = [each.metadata.get(_CONFIDENCE_FIELD) for each in answers.prompts]
    if lacking := [each.id for each, value in zip(answers.prompts, sure, strict=True) if not isinstance(value, int | float)]:
        raise UserError(f"the answer to {lacking[0]!r} doesn't say how sure its model was", _CONFIDENCE_HINT)
    return np.array(sure, dtype=np.float64)


def _model_confidence(answers: ModelAnswers, subject: SuiteSubject) -> FloatArray:
    """Return the mean log-probability of each answer's tokens, in nats; an empty answer gets less than all others."""
    from preceptor.generation import LocalProvider

    provider = LocalProvider(subject.folder)
    said = {
        each.id: [*each.turns, {"role": "assistant", "content": text}]
        for each, text in zip(answers.prompts, answers.texts, strict=True)
        if text.strip()
    }
    found = provider.score_rows(said).log_probabilities
    values = [float(np.mean(found[each.id])) if each.id in found else np.nan for each in answers.prompts]
    lowest = np.nanmin(values) if not np.isnan(values).all() else 0.0
    return np.where(np.isnan(values), lowest - 1.0, values)


_SUITES_FOLDER = "suites"
BUILT_IN_SUITES = {
    "faithfulness": EvaluationSuite(kind="faithfulness", name="faithfulness", title="Claims that their sources don't bear out"),
    "rag_ablation": EvaluationSuite(
        kind="rag_ablation", name="rag_ablation", title="Tuned, with sources, and both", metrics=("exact_match",)
    ),
}
_SUPPORT_QUESTION = "Do the sources say what the claim says?"
SuiteListener = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class SuiteOptions:
    """Options of a suite run. judge: its name, where a suite names none. queue: whether missing judgments are queued for annotation.

    hosting: of a hosted judge. listener: returns for the name of a step a callback for its progress (done, total).
    """

    judge: str = ""
    hosting: JudgeHosting | None = None
    queue: bool = True
    listener: SuiteListener | None = None

    def make_progress(self, what: str) -> Callable[[int, int], None] | None:
        """Return the progress callback of a step, or None without a listener."""
        return self.listener(what) if self.listener else None


def find_suite(project: Project, name: str) -> EvaluationSuite:
    """Find a suite by its file or its name. Raises NotFoundError, with the known names, where there is none."""
    if name.endswith(".toml"):
        return read_suite(name)
    beside = project.folder / _SUITES_FOLDER / f"{name}.toml"
    if beside.is_file():
        return read_suite(beside)
    if name in BUILT_IN_SUITES:
        return BUILT_IN_SUITES[name]
    known = sorted({*BUILT_IN_SUITES, *(path.stem for path in (project.folder / _SUITES_FOLDER).glob("*.toml"))})
    hint = f"known: {', '.join(known)}; or name a suite's file, which ends with .toml"
    raise NotFoundError(f"no suite is called {name!r}{suggest_name(name, known)}", hint)


def find_suites(project: Project, names: Sequence[str]) -> list[EvaluationSuite]:
    """Find suites of different names. Raises UserError where one isn't known or two have the same name."""
    suites = [find_suite(project, name) for name in names]
    called = [suite.name for suite in suites]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UserError(f"two suites are called {twice!r}", "give one another name in its file")
    return suites


def run_suites(
    project: Project, subject: str | Model, names: Sequence[str], suite_options: SuiteOptions, *, rows: Sequence[SnapshotRow] = ()
) -> dict[str, dict[str, Any]]:
    """Run suites on a model or a file of recorded answers; return each suite's section by its name.

    rows: the test rows, for suites without prompts of their own. Raises UserError, before anything is generated or queued, where a suite
    isn't known or can't be answered.
    """
    suites = find_suites(project, names)
    digests = [suite.digest for suite in suites]  # before measuring: a file that changes meanwhile is another suite
    if isinstance(subject, str) and is_answers_file(subject):
        given = suite_answers.read_recorded_answers(subject)
        found = {suite.name: _run_on_recorded(project, suite, given, suite_options) for suite in suites}
    else:
        asked = find_subject(project, subject)
        found = {suite.name: _run_on_subject(project, suite, asked, rows, suite_options) for suite in suites}
    for section, name, digest in zip(found.values(), names, digests, strict=True):
        suite_name = str(Path(name).resolve()) if name.endswith(".toml") else name
        section["provenance"] |= {"suite": suite_name, "suite_digest": digest}
    return found


def _run_on_recorded(project: Project, suite: EvaluationSuite, given: ModelAnswers, suite_options: SuiteOptions) -> dict[str, Any]:
    if suite.kind in ("multiple_choice", "rag_ablation"):
        asks = "looks at what a model finds probable" if suite.kind == "multiple_choice" else "asks a model and its base in four ways"
        raise UserError(f"{suite.name!r} {asks}, which no file of answers tells", "name a model instead")
    if suite.prompts is not None:
        given = _select_recorded_answers(suite, given)
    return _suite_section(project, suite, given, None, suite_options) | _provenance_section(suite, given, [], suite_options)


def _select_recorded_answers(suite: EvaluationSuite, given: ModelAnswers) -> ModelAnswers:
    """Select the recorded answers to a suite's own prompts by their ids. Raises UserError where one is missing."""
    assert suite.prompts is not None
    asked = read_prompts(suite.prompts, group=suite.group)
    said = dict(zip((each.id for each in given.prompts), given.texts, strict=True))
    missing = [each.id for each in asked if each.id not in said]
    if missing:
        message = f"{given.subject} has no answer to {len(missing)} of {len(asked)} prompts of {suite.name!r} (first: {missing[0]!r})"
        raise UserError(message, "record an answer to each prompt, under its id")
    return suite_answers.build_answers(given.subject, asked, [said[each.id] for each in asked], given.sampling)


def _run_on_subject(
    project: Project, suite: EvaluationSuite, subject: SuiteSubject, rows: Sequence[SnapshotRow], suite_options: SuiteOptions
) -> dict[str, Any]:
    if suite.kind == "multiple_choice":
        return build_multiple_choice_section(suite, subject)
    asked = _load_prompts(project, suite, subject, rows)
    if suite.kind == "rag_ablation":
        provenance = {"subject": subject.name, "sampling": {"max_tokens": suite.max_tokens, "temperature": 0.0, "seed": 0}}
        return rag_ablation.measure_rag_ablation(project, suite, subject, asked, suite_options.make_progress) | {"provenance": provenance}
    progress = suite_options.make_progress(f"{suite.name}: answers")
    answers, unread = suite_answers.generate_answers(project, subject, asked, max_tokens=suite.max_tokens, progress=progress)
    return _suite_section(project, suite, answers, subject, suite_options) | _provenance_section(suite, answers, unread, suite_options)


def _load_prompts(project: Project, suite: EvaluationSuite, subject: SuiteSubject, rows: Sequence[SnapshotRow]) -> list[SuitePrompt]:
    if suite.prompts is not None:
        return read_prompts(suite.prompts, group=suite.group)
    if not rows:
        raise UserError(f"the suite {suite.name!r} has no prompts, and {subject.name} no test rows", 'prompts = "FILE" in the suite')
    with project.database.reading() as connection:
        known = items.metadata(connection, [row.id for row in rows])
    asked = suite_answers.prompts_from_rows(rows, known)
    if suite.kind == "faithfulness" and not any(each.sources for each in asked):
        return [replace(each, sources=(each.prompt,)) for each in asked]  # the question contains what it is about
    return asked


def _suite_section(
    project: Project, suite: EvaluationSuite, answers: ModelAnswers, subject: SuiteSubject | None, suite_options: SuiteOptions
) -> dict[str, Any]:
    judge = suite.judge or suite_options.judge
    if suite.kind == "faithfulness":
        checker = load_rubric_judge(project, judge, _SUPPORT_QUESTION, suite_options.hosting) if judge else load_claim_judge(project)
        progress = suite_options.make_progress(f"{suite.name}: judging")
        bounds = _suite_bounds(project, suite)
        return claim_audit.audit_claims(project, answers, checker, queue=suite_options.queue, bounds=bounds, progress=progress) | {
            "title": suite.title
        }
    if suite.kind == "policy":
        judge_for = cache(lambda question: _CachedJudge(project, load_rubric_judge(project, judge, question, suite_options.hosting)))
        return build_policy_section(suite, answers, judge_for if judge else None)
    if suite.kind == "selective_prediction":
        return build_selective_section(suite, answers, subject)
    return build_generation_section(suite, answers)


def _suite_bounds(project: Project, suite: EvaluationSuite) -> list[ReleaseBound]:
    """Return the gate's bounds on a faithfulness suite, by the figures' bare names; its audit ends when these are decided."""
    bounds = [ReleaseBound.parse(text) for text in project.config.gate.bounds]
    own = (f"suites.{suite.name}.figures.", f"{suite.name}.")
    named = [replace(bound, figure=bound.figure.removeprefix(own[0]).removeprefix(own[1])) for bound in bounds]
    return [bound for bound in named if bound.figure in HALLUCINATION_RATES]


def _provenance_section(
    suite: EvaluationSuite, answers: ModelAnswers, unread: Sequence[str], suite_options: SuiteOptions
) -> dict[str, Any]:
    """Return what reproduces the section, and the prompts that couldn't be read."""
    about = {"answers": answers.digest, "subject": answers.subject, "sampling": dict(answers.sampling)}
    about["judge"] = suite.judge or suite_options.judge
    return {"provenance": about} | ({"unreadable_prompts": {"prompts": len(unread), "first": list(unread[:5])}} if unread else {})


@dataclass(frozen=True)
class _CachedJudge:
    """A judge whose scores are cached in the project."""

    project: Project
    judge: CaseJudge

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def digest(self) -> str:
        return self.judge.digest

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        return score_cases(self.project, self.judge, cases) if cases else np.zeros(0)
