"""Load judges by name, cache their scores and detect drift of hosted ones.

"smollm2", a model's id or a model's folder names a local model, whose probabilities are read. "openai:NAME" names a hosted model, whose
text output is parsed; each answer is stored in the project and paid for once, even through a kill. Scores are cached, too: what was scored
once is neither scored nor paid for again.
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
_JUDGES_FOLDER = "judges"  # in the project's folder
_PROBE_CASES = 40  # cases that are scored again to detect drift


@dataclass(frozen=True)
class JudgeHosting:
    """How hosted judges are reached: the service's address and key file, the budget for all answers in dollars, and a price table.

    repetition: another number requests new answers, and pays for them.
    """

    base_url: str | None = None
    key_file: str | None = None
    max_cost: float = 0.0
    prices: str | None = None
    repetition: int = 0


def load_rubric_judge(project: Project, name: str, question: str, hosting: JudgeHosting | None = None) -> RubricJudge:
    """Load a judge that answers a question about texts with yes or no."""
    return RubricJudge(question, load_chooser(project, name, hosting))


def load_pair_judge(project: Project, name: str, question: str = PAIR_QUESTION, hosting: JudgeHosting | None = None) -> PairJudge:
    """Load a judge that decides which of two answers is better."""
    return PairJudge(load_chooser(project, name, hosting), question)


def identify_judge(project: Project, name: str) -> str:
    """Return the identity of a judge without loading it: its name, with a digest of its weights where their folder may change.

    An empty name means the project's own judge. Raises UserError where there is no judge of that name.
    """
    if not name:
        return load_claim_judge(project).digest
    if name.startswith(HOSTED_PREFIX) or name in BASE_ASSETS:
        return name
    from preceptor.models.atomic_folder import weights_digest

    return f"{name} {weights_digest(resolve_base_folder(project, name))}"


def load_chooser(project: Project, name: str, hosting: JudgeHosting | None = None) -> OptionChooser:
    """Load the model of a judge. Raises NotFoundError, with the possible names, where there is none of that name."""
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
    """Score cases that people have answered again and compare with the first time; None the first time, when the scores are stored.

    cases: (cases,), of which the first 40 are stored. human: people's answers in [0, 1]. To detect a change of a hosted model, load the
    judge with another `JudgeHosting.repetition`.
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
    """A hosted model with stored answers, which are read again in each call under a lock: two processes at once would pay twice."""

    def __init__(self, name: str, service: OpenAIClient, kept: Path, price: TokenPrice, most: float) -> None:
        self.name, self._service, self._kept, self._price, self._most = name, service, kept, price, most

    def write(self, conversations: Sequence[Sequence[Message]], **how: Any) -> list[str]:
        """Generate an answer to each conversation, as `TextGenerator.write` does."""
        from preceptor.generation import AnswerStore, HostedProvider

        with exclusive_lock(self._kept.with_suffix(".lock")):
            provider = HostedProvider(self.name, self._service, AnswerStore(self._kept), price=self._price, most=self._most)
            return provider.write(conversations, **how)


def _write_probe(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


_SCORE_BATCH = 256  # cases per cache file
_SCORES_FOLDER = "scores"  # in the project's folder

ScoreProgress = Callable[[int, int], None]


def score_cases(project: Project, judge: CaseJudge, cases: Sequence[JudgeCase], progress: ScoreProgress | None = None) -> FloatArray:
    """Return the judge's score of each case, (cases,), NaN where it gave no verdict.

    Scores are cached by the judge's digest and the content of the cases, in batches: after a failure the next call continues where it was.
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
    with suppress(FileNotFoundError, ValueError):  # never scored, or altered on disk since: scored again
        return np.array([np.nan if score is None else score for score in load_sealed_json(path.read_bytes())], dtype=np.float64)
    scores = np.asarray(judge.scores(cases), dtype=np.float64)
    if scores.shape != (len(cases),):
        raise UserError(f"{judge.name} gave scores of shape {scores.shape} for {len(cases)} cases", "a judge gives one score a case")
    with explain_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(dump_sealed_json([None if isnan(score) else score for score in scores.tolist()]))
    return scores
