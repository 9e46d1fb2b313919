"""Judges of a project, by name: a local model or a hosted one, with a question; and the watch on whether they are still the same.

"smollm2", a model's id or a model's folder: its probabilities are read. "openai:NAME": what the hosted model writes is read; each
answer is kept in the project and paid for once, also through a kill.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.judges import ByLikelihood, ByWriting, Case, Chooser, Drift, Judge, PairJudge, Probe, RubricJudge, drift
from preceptor.evaluation.judges.pairs import QUESTION
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.formats.locking import locked
from preceptor.project.assets import BASES
from preceptor.project.bases import start_folder
from preceptor.project.judges.training import local_judge

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.providers import Price, Service
    from preceptor.providers.provider import Message

HOSTED = "openai:"
FOLDER = "judges"  # in the project's own
PROBE = 40  # cases that are asked again


@dataclass(frozen=True)
class Hosting:
    """How hosted judges are reached: address and key file of the service, dollars that all their answers may cost, a price table.

    again: another number asks anew, and pays anew.
    """

    base_url: str | None = None
    key_file: str | None = None
    max_cost: float = 0.0
    prices: str | None = None
    again: int = 0


def judge_of(project: Project, name: str, question: str, hosting: Hosting | None = None) -> RubricJudge:
    """A judge that answers a question about texts with yes or no."""
    return RubricJudge(question, chooser_of(project, name, hosting))


def pair_judge_of(project: Project, name: str, question: str = QUESTION, hosting: Hosting | None = None) -> PairJudge:
    """A judge that says which of two answers is better."""
    return PairJudge(chooser_of(project, name, hosting), question)


def judge_identity(project: Project, name: str) -> str:
    """What a judge of this name is, without loading it: its name, with a digest of its weights where these lie in a folder that may change.

    No name stands for the project's own judge. UserError where there is none of that name.
    """
    if not name:
        return local_judge(project).digest
    if name.startswith(HOSTED) or name in BASES:
        return name
    from preceptor.models.saving import weights_digest

    return f"{name} {weights_digest(start_folder(project, name))}"


def chooser_of(project: Project, name: str, hosting: Hosting | None = None) -> Chooser:
    """The model of a judge, loaded. NotFound with what could be named where there is none of that name."""
    if name.startswith(HOSTED):
        return _hosted(project, name.removeprefix(HOSTED), hosting or Hosting())
    from preceptor.models.saving import weights_digest
    from preceptor.providers import LocalProvider

    try:
        folder = start_folder(project, name)
    except UserError as error:
        known = "smollm2, a model's id, a model's folder, or openai:NAME for a hosted model"
        raise NotFound(f"no judge is called {name!r}: {error.message}", f"known: {known}") from error
    try:
        provider = LocalProvider(folder)
    except (ValueError, OSError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name!r} can't judge: it is no model that writes ({reason:.120})", "take smollm2, or a chat model") from None
    return ByLikelihood(provider, weights_digest(folder))


def watch(project: Project, judge: Judge, cases: Sequence[Case], human: FloatArray, groups: Sequence[str]) -> Drift | None:
    """Ask a judge again about cases that people have answered: None the first time, when what it says is frozen.

    cases: (cases,), of which the first 40 are frozen; human: people's answers in [0, 1]. To see a hosted model change, make the
    judge with `Hosting(again=…)`.
    """
    known = project.folder / FOLDER / f"probe-{digest_of([judge.name, type(judge).__name__])[:16]}.json"
    if not known.is_file():
        taken = list(cases)[:PROBE]
        if taken:
            probe = Probe(judge.digest, judge.scores(taken), np.asarray(human[: len(taken)]), tuple(groups[: len(taken)]))
            _write(known, {**probe.to_dict(), "cases": [[case.text, list(case.sources), case.context] for case in taken]})
        return None
    kept = read_json(known)
    again = [Case(text, tuple(sources), context) for text, sources, context in kept["cases"]]
    return drift(Probe.of(kept), judge.scores(again), judge.digest)


def _hosted(project: Project, name: str, hosting: Hosting) -> Chooser:
    from preceptor.providers import LISTED, Service, price_of, read_prices

    if not name:
        raise UserError("openai: names no model", "for example openai:gpt-4o-mini")
    price = price_of(name, {**LISTED, **(read_prices(hosting.prices) if hosting.prices else {})})
    service = Service(key_file=hosting.key_file, base_url=hosting.base_url)
    writer = _PaidOnce(name, service, project.folder / FOLDER / "answers.jsonl", price, hosting.max_cost)
    return ByWriting(writer, digest_of([service.address, name]), again=hosting.again)


class _PaidOnce:
    """A hosted model whose kept answers are read anew at each call, by one process after the other: two at once would pay twice."""

    def __init__(self, name: str, service: Service, kept: Path, price: Price, most: float) -> None:
        self.name, self._service, self._kept, self._price, self._most = name, service, kept, price, most

    def write(self, conversations: Sequence[Sequence[Message]], **how: Any) -> list[str]:
        """See `Writer`."""
        from preceptor.providers import Answered, HostedProvider

        with locked(self._kept.with_suffix(".lock")):
            provider = HostedProvider(self.name, self._service, Answered(self._kept), price=self._price, most=self._most)
            return provider.write(conversations, **how)


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
