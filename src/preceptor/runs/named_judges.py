"""Load judges by name, keep their scores and detect drift of hosted ones.

Judges of a project, by name: a local model or a hosted one, with a question; and the watch on whether they are still the same.

"smollm2", a model's id or a model's folder: its probabilities are read. "openai:NAME": what the hosted model writes is read; each
answer is kept in the project and paid for once, also through a kill.

A judge's scores of cases, kept as they come: what was scored once is neither scored nor paid for again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.documents.claim_judge import load_claim_judge
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.judges import (
    CaseJudge,
    GenerationChooser,
    JudgeCase,
    JudgeDrift,
    JudgeProbe,
    LikelihoodChooser,
    OptionChooser,
    PairJudge,
    RubricJudge,
    measure_drift,
)
from preceptor.evaluation.judges.llm_judges import PAIR_QUESTION
from preceptor.formats.durable_files import atomic_write, dump_sealed_json, explain_full_disk, load_sealed_json, read_json
from preceptor.formats.file_lock import exclusive_lock
from preceptor.model_ancestry import resolve_base_folder
from preceptor.models.base_models import BASE_ASSETS
from preceptor.types import FloatArray, json_digest

if TYPE_CHECKING:
    from preceptor.generation import OpenAIClient
    from preceptor.generation.interface import Message
    from preceptor.planning.prices import TokenPrice
    from preceptor.project import Project


HOSTED_PREFIX = "openai:"
_JUDGES_FOLDER = "judges"  # in the project's own
_PROBE_CASES = 40  # cases that are asked again


@dataclass(frozen=True)
class JudgeHosting:
    """How hosted judges are reached: address and key file of the service, dollars that all their answers may cost, a price table.

    again: another number asks anew, and pays anew.
    """

    base_url: str | None = None
    key_file: str | None = None
    max_cost: float = 0.0
    prices: str | None = None
    repetition: int = 0


def load_rubric_judge(project: Project, name: str, question: str, hosting: JudgeHosting | None = None) -> RubricJudge:
    """A judge that answers a question about texts with yes or no."""
    return RubricJudge(question, load_chooser(project, name, hosting))


def load_pair_judge(project: Project, name: str, question: str = PAIR_QUESTION, hosting: JudgeHosting | None = None) -> PairJudge:
    """A judge that says which of two answers is better."""
    return PairJudge(load_chooser(project, name, hosting), question)


def identify_judge(project: Project, name: str) -> str:
    """What a judge of this name is, without loading it: its name, with a digest of its weights where these lie in a folder that may change.

    No name stands for the project's own judge. UserError where there is none of that name.
    """
    if not name:
        return load_claim_judge(project).digest
    if name.startswith(HOSTED_PREFIX) or name in BASE_ASSETS:
        return name
    from preceptor.models.atomic_folder import weights_digest

    return f"{name} {weights_digest(resolve_base_folder(project, name))}"


def load_chooser(project: Project, name: str, hosting: JudgeHosting | None = None) -> OptionChooser:
    """The model of a judge, loaded. NotFound with what could be named where there is none of that name."""
    if name.startswith(HOSTED_PREFIX):
        return _load_hosted_chooser(project, name.removeprefix(HOSTED_PREFIX), hosting or JudgeHosting())
    from preceptor.generation import LocalProvider
    from preceptor.models.atomic_folder import weights_digest

    try:
        folder = resolve_base_folder(project, name)
    except UserError as error:
        known = "smollm2, a model's id, a model's folder, or openai:NAME for a hosted model"
        raise NotFoundError(f"no judge is called {name!r}: {error.message}", f"known: {known}") from error
    try:
        provider = LocalProvider(folder)
    except (ValueError, OSError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name!r} can't judge: it is no model that writes ({reason:.120})", "take smollm2, or a chat model") from None
    return LikelihoodChooser(provider, weights_digest(folder))


def check_judge_drift(
    project: Project, judge: CaseJudge, cases: Sequence[JudgeCase], human: FloatArray, groups: Sequence[str]
) -> JudgeDrift | None:
    """Ask a judge again about cases that people have answered: None the first time, when what it says is frozen.

    cases: (cases,), of which the first 40 are frozen; human: people's answers in [0, 1]. To see a hosted model change, make the
    judge with `JudgeHosting(again=…)`.
    """
    known = project.folder / _JUDGES_FOLDER / f"probe-{json_digest([judge.name, type(judge).__name__])[:16]}.json"
    if not known.is_file():
        taken = list(cases)[:_PROBE_CASES]
        if taken:
            probe = JudgeProbe(judge.digest, judge.scores(taken), np.asarray(human[: len(taken)]), tuple(groups[: len(taken)]))
            _write_probe(known, {**probe.to_dict(), "cases": [[case.text, list(case.sources), case.context] for case in taken]})
        return None
    kept = read_json(known)
    again = [JudgeCase(text, tuple(sources), context) for text, sources, context in kept["cases"]]
    return measure_drift(JudgeProbe.from_dict(kept), judge.scores(again), judge.digest)


def _load_hosted_chooser(project: Project, name: str, hosting: JudgeHosting) -> OptionChooser:
    from preceptor.generation import OpenAIClient, read_prices
    from preceptor.planning.prices import LISTED_PRICES, find_price

    if not name:
        raise UserError("openai: names no model", "for example openai:gpt-4o-mini")
    price = find_price(name, {**LISTED_PRICES, **(read_prices(hosting.prices) if hosting.prices else {})})
    service = OpenAIClient(key_file=hosting.key_file, base_url=hosting.base_url)
    writer = _CachedHostedWriter(name, service, project.folder / _JUDGES_FOLDER / "answers.jsonl", price, hosting.max_cost)
    return GenerationChooser(writer, json_digest([service.address, name]), again=hosting.repetition)


class _CachedHostedWriter:
    """A hosted model whose kept answers are read anew at each call, by one process after the other: two at once would pay twice."""

    def __init__(self, name: str, service: OpenAIClient, kept: Path, price: TokenPrice, most: float) -> None:
        self.name, self._service, self._kept, self._price, self._most = name, service, kept, price, most

    def write(self, conversations: Sequence[Sequence[Message]], **how: Any) -> list[str]:
        """See `Writer`."""
        from preceptor.generation import AnswerStore, HostedProvider

        with exclusive_lock(self._kept.with_suffix(".lock")):
            provider = HostedProvider(self.name, self._service, AnswerStore(self._kept), price=self._price, most=self._most)
            return provider.write(conversations, **how)


def _write_probe(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


_SCORE_BATCH = 256  # cases between two looks at the disk
_SCORES_FOLDER = "scores"  # the folder in a project's own

ScoreProgress = Callable[[int, int], None]


def score_cases(project: Project, judge: CaseJudge, cases: Sequence[JudgeCase], progress: ScoreProgress | None = None) -> FloatArray:
    """The judge's score of each case, (cases,), NaN where it gave no verdict.

    Kept by the judge's digest and what the cases say, some hundred at a time: after a failure it goes on where it was.
    """
    found: list[FloatArray] = []
    for start in range(0, len(cases), _SCORE_BATCH):
        found.append(_score_batch(project, judge, cases[start : start + _SCORE_BATCH]))
        if progress is not None:
            progress(min(start + _SCORE_BATCH, len(cases)), len(cases))
    return np.concatenate(found) if found else np.empty(0)


def _score_batch(project: Project, judge: CaseJudge, cases: Sequence[JudgeCase]) -> FloatArray:
    key = json_digest([judge.digest, [[case.text, list(case.sources), case.context] for case in cases]])
    path = project.folder / _SCORES_FOLDER / f"{key[:32]}.json"
    with suppress(FileNotFoundError, ValueError):  # never scored, or altered on disk since: it is scored again
        return np.array([np.nan if score is None else score for score in load_sealed_json(path.read_bytes())], dtype=np.float64)
    scores = np.asarray(judge.scores(cases), dtype=np.float64)
    if scores.shape != (len(cases),):
        raise UserError(f"{judge.name} gave scores of shape {scores.shape} for {len(cases)} cases", "a judge gives one score a case")
    with explain_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(dump_sealed_json([None if isnan(score) else score for score in scores.tolist()]))
    return scores
