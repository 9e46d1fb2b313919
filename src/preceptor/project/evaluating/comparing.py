"""Models side by side: a blind round of pairs put before people, and what it has come to so far.

A round is known by its question. Its record lies in the project's folder `side-by-side/`: whose answers they are, how they were
drawn, which is which. People see a prompt and two answers; neither the item's content nor its id tells the models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Item, Question, digest_of
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.judges import PairCase, PairJudge
from preceptor.evaluation.side_by_side import comparison_of, decided
from preceptor.evaluation.side_pairs import Pair, in_waves, pairs_of, sampled
from preceptor.evaluation.side_votes import Vote, match_of, votes_of
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.project import purposes
from preceptor.project.guiding.agreeing import Standing
from preceptor.project.judges.judging import watch
from preceptor.project.suites.scoring import judge_scores
from preceptor.questions import define
from preceptor.store import events, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

FOLDER = "side-by-side"
PEOPLE = 3
WAVE = 10  # prompts that are asked about together; the next come when these have been handed out
INSTRUCTIONS = """Which answer is better?

Both answer the same prompt, and come from different models, in no particular order. An answer isn't better for being longer."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Round:
    """What a round asks: votes a pair, and pairs of how many prompts (None: of all). answers: whose, with digest and sampling."""

    question: str
    people: int
    prompts: int | None
    seed: int
    pairs: Sequence[Pair]
    answers: Mapping[str, Mapping[str, Any]]

    @property
    def asked(self) -> list[Pair]:
        """The pairs that people are asked about."""
        return [pair for pair in sampled(self.pairs, self.prompts, seed=self.seed) if not pair.is_same]


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a round. question: its name. people, prompts: None for what the round has, or the usual (3, all).

    instructions: what people are told. reasons: whether they are asked why. queue: whether people are asked at all.
    """

    question: str | None = None
    instructions: str = INSTRUCTIONS
    people: int | None = None
    prompts: int | None = None
    seed: int = 0
    reasons: bool = True
    queue: bool = True


def compare(
    project: Project,
    answers: Sequence[Answers],
    wishes: Wishes | None = None,
    *,
    judge: PairJudge | None = None,
    again: PairJudge | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Open a round of these answers, or go on with it; the comparison so far as a document of Estimates (see `evaluation.side_by_side`).

    A match that is decided is asked no more. judge: adds its votes to people's. again: the same judge made anew, to see whether it
    still says what it said. UserError for what can't be compared, and for wishes that differ from the round's.
    """
    wanted = wishes or Wishes()
    round_, is_new = _round(project, answers, wanted)
    if wanted.queue:
        asked = _question(project, round_.question, wanted)
        if is_new:
            _save(project, round_)
        _put(project, round_, asked)
    votes = _votes(project, round_)
    verdicts = None if judge is None else _verdicts(project, round_, judge, progress)
    document = _so_far(round_, votes, verdicts)
    if judge is not None:
        document["judge"] = {
            "name": judge.name,
            "digest": judge.digest,
            "question": judge.question,
            **_drift(project, round_, votes, again),
        }
    if wanted.queue:
        _end_decided(project, round_, votes)
    return document | {"round": _state(project, round_)}


def settle(project: Project, question: str) -> int | None:
    """Ask no more about what is decided of a round; how many pairs that ends, None when the question is no round's."""
    if (round_ := _load(project, question)) is None:
        return None
    return _end_decided(project, round_, _votes(project, round_))


def _round(project: Project, answers: Sequence[Answers], wanted: Wishes) -> tuple[Round, bool]:
    """The round of these answers, in whichever order they are named, and whether it is new."""
    answers = sorted(answers, key=lambda each: each.subject)
    pairs = pairs_of(answers, seed=wanted.seed)
    about = {each.subject: {"digest": each.digest, "sampling": dict(each.sampling)} for each in answers}
    name = wanted.question or f"side-by-side-{digest_of([wanted.seed, about])[:8]}"
    made = Round(name, PEOPLE if wanted.people is None else wanted.people, wanted.prompts, wanted.seed, pairs, about)
    if made.people < 1 or (made.prompts is not None and made.prompts < 1):
        raise UserError("a round asks about one prompt and one person at least", "--people 3 --prompts 100")
    known = _load(project, name)
    if known is None:
        return made, True
    if [pair.id for pair in known.pairs] != [pair.id for pair in pairs]:
        raise UserError(f"{name!r} is a round of other answers: {' and '.join(known.answers)}", "choose another name: --question NAME")
    for wish, has, option in ((wanted.people, known.people, "--people"), (wanted.prompts, known.prompts, "--prompts")):
        if wish is not None and wish != has:
            raise UserError(f"the round {name!r} was begun with {option} {has or 'all'}", "leave it out, or begin another: --question NAME")
    return known, False


def _put(project: Project, round_: Round, asked: Question) -> None:
    """Ask people about the round's pairs, some prompts after the others; the same again asks nothing new."""
    with project.database.reading() as connection:
        known = set(_counts(connection, round_.question))
    waves = in_waves(round_.asked, WAVE, seed=round_.seed)
    for number, wave in enumerate(waves):
        new = [
            Item(pair.id, {"prompt": pair.text, "responses": list(pair.responses)}, pair.group, {"models": list(pair.models)})
            for pair in wave
            if pair.id not in known
        ]
        if new:
            purposes.put(project, asked, new, wanted=round_.people, priority=len(waves) - number)


def _question(project: Project, name: str, wanted: Wishes) -> Question:
    """What people are asked, as it was asked before; UserError where the name is that of a question of another kind of work."""
    with project.database.reading() as connection:
        kept = next((each for _, each in questions.active(connection) if each.name == name), None)
    if kept is not None:
        if kept.purpose != name:
            raise UserError(f"there is another question called {name!r}", "choose another name: --question NAME")
        return kept
    settings = {"responses": 2, "reasons": wanted.reasons}
    made = define({"name": name, "kind": "compare", "instructions": wanted.instructions, "settings": settings})
    return replace(made, purpose=name)


def _votes(project: Project, round_: Round) -> list[Vote]:
    with project.database.reading() as connection:
        try:
            what, who, said, _ = Standing.of(connection, round_.question).columns
        except NotFound:
            return []
    return votes_of(round_.pairs, what, who, said)


def _so_far(round_: Round, votes: Sequence[Vote], verdicts: Mapping[str, tuple[float, float]] | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"people": round_.people, "prompts": round_.prompts, "seed": round_.seed, "models": list(round_.answers)}
    return {
        "question": round_.question,
        "answers": dict(round_.answers),
        **comparison_of(round_.pairs, votes, **asked, verdicts=verdicts),
    }


def _verdicts(project: Project, round_: Round, judge: PairJudge, progress: Progress | None) -> dict[str, tuple[float, float]]:
    """What a judge says of each pair, in both orders; kept, so that it is asked once."""
    cases = [PairCase(pair.text, *pair.responses) for pair in round_.pairs if not pair.is_same]
    both = judge_scores(project, judge, [each for case in cases for each in (case.case, case.turned.case)], progress)
    ids = [pair.id for pair in round_.pairs if not pair.is_same]
    return {id_: (float(straight), 1 - float(turned)) for id_, straight, turned in zip(ids, both[::2], both[1::2], strict=True)}


def _drift(project: Project, round_: Round, votes: Sequence[Vote], again: PairJudge | None) -> dict[str, Any]:
    """Whether the judge still says what it said of pairs that people have finished; nothing where it isn't asked again."""
    if again is None:
        return {}
    finished = [(pair, value) for match in _matches(round_, votes) for pair, value in zip(match.pairs, match.values.tolist(), strict=True)]
    cases = [PairCase(pair.text, *pair.responses).case for pair, _ in finished]
    first = [0 if pair.models[0] < pair.models[1] else 1 for pair, _ in finished]
    human = np.array([1 - value if turned else value for (_, value), turned in zip(finished, first, strict=True)], dtype=np.float64)
    found = watch(project, again, cases, human, [pair.group for pair, _ in finished])
    return {"drift": None if found is None else {each.name: getattr(found, each.name) for each in fields(found)}}


def _matches(round_: Round, votes: Sequence[Vote]) -> list[Any]:
    met = {tuple(sorted(pair.models)) for pair in round_.pairs}
    return [match_of(first, second, round_.asked, votes, round_.people) for first, second in sorted(met)]


def _end_decided(project: Project, round_: Round, votes: Sequence[Vote]) -> int:
    """Ask no more about matches that are decided; how many pairs that ends. What people hold in hand is still taken."""
    over = decided(round_.asked, votes, people=round_.people) if votes else {}
    pairs = {pair.id for pair in round_.asked if frozenset(pair.models) in over}
    if not pairs:
        return 0
    with project.database.writing() as connection:
        key, _ = questions.get(connection, round_.question)
        waiting = {item: each.given for item, each in slots.counts(connection, key).items() if item in pairs and each.given < each.wanted}
        slots.want(connection, key, waiting)
        if waiting:
            better = sorted(f"{name} of {' and '.join(sorted(two))}" for two, name in over.items())
            events.record(connection, "comparison decided", {"question": round_.question, "better": better, "pairs": len(waiting)})
    return len(waiting)


def _state(project: Project, round_: Round) -> dict[str, Any]:
    """How many judgments are given, and how many more the round will ask for."""
    with project.database.reading() as connection:
        counts = _counts(connection, round_.question)
    if not counts:
        return {"opened": False, "given": 0, "left": 0}
    left = sum(max(each.wanted - each.given, 0) for each in counts.values())
    return {
        "opened": True,
        "given": sum(each.given for each in counts.values()),
        "left": left,
        "planned": round_.people * len(round_.asked),
    }


def _counts(connection: Connection, question: str) -> dict[str, slots.Count]:
    """The counts of a round's slots by pair; none before it is opened."""
    try:
        return slots.counts(connection, questions.get(connection, question)[0])
    except NotFound:
        return {}


def _path(project: Project, question: str) -> Path:
    return project.folder / FOLDER / f"{digest_of(question)[:16]}.json"


def _save(project: Project, round_: Round) -> None:
    path = _path(project, round_.question)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(asdict(round_), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _load(project: Project, question: str) -> Round | None:
    path = _path(project, question)
    if not path.is_file():
        return None
    kept = read_json(path)
    return Round(**{**kept, "pairs": list(_pairs(kept["pairs"]))})


def _pairs(rows: Iterable[Mapping[str, Any]]) -> Iterable[Pair]:
    for row in rows:
        yield Pair(**{**row, "models": tuple(row["models"]), "responses": tuple(row["responses"])})
