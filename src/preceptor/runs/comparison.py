"""Compare models side by side in a blind round of pairwise judgments.

The models answer the same prompts now, or their answers are recorded in files. A round is identified by its question. Its record lies in
the project's folder `side-by-side/`: the answers, how they were sampled, and which is which. People see a prompt and two answers; neither
the item's content nor its id reveals the models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation import question_admin
from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.answer_pairs import (
    ComparisonPair,
    PreferenceVote,
    build_match,
    pair_answers,
    read_votes,
    sample_prompts,
    split_into_waves,
)
from preceptor.evaluation.judges import PairCase, PairJudge
from preceptor.evaluation.model_comparison import compare_models, decide_matches
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt, read_prompts
from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.questions import define_question
from preceptor.runs.named_judges import check_judge_drift, score_cases
from preceptor.runs.suite_answers import build_answers, find_subject, generate_answers, is_answers_file, read_recorded_answers
from preceptor.storage import events, questions, slots
from preceptor.types import Item, Question, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


AnswerListener = Callable[[str], Callable[[int, int], None]]
_PROMPTS_HINT = (
    'prompts come from --rows FILE, with rows like {"id": "q1", "prompt": "May I return it?"}, or from a file of recorded answers'
)


def load_compared_answers(
    project: Project, names: Sequence[str], rows: str | Path | None = None, *, max_tokens: int = 256, tell: AnswerListener | None = None
) -> tuple[list[ModelAnswers], int]:
    """Load each model's answers to the same prompts, and the number of prompts left out since a model couldn't read them.

    names: a model's id, a base, a model's folder, or a file of recorded answers. rows: a file of prompts; without it those of the first
    file of answers. tell: returns for a model's name a callback for its progress (answered, total).
    """
    files = {name: read_recorded_answers(name) for name in names if is_answers_file(name)}
    _check_compared_names(names, files)
    asked = _load_prompts(names, files, rows)
    found = [files[name] if name in files else _generate_now(project, name, asked, max_tokens, tell) for name in names]
    both = set.intersection(*({each.id for each in answers.prompts} for answers in found))
    if len(both) == len(asked) or len(files) == len(names):
        return [_reorder_answers(answers, asked) for answers in found], 0
    left = [each for each in asked if each.id in both]
    if not left:
        raise UserError("no prompt has an answer by each model", _PROMPTS_HINT)
    return [_reorder_answers(answers, left) for answers in found], len(asked) - len(left)


def _check_compared_names(names: Sequence[str], files: Mapping[str, ModelAnswers]) -> None:
    if len(names) < 2:
        raise UserError("a comparison needs two models or more", "preceptor compare A B")
    stems = [answers.subject for answers in files.values()]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise UserError(f"two files are called {twice!r}", "a file's name is its model's: rename one")


def _load_prompts(names: Sequence[str], files: Mapping[str, ModelAnswers], rows: str | Path | None) -> Sequence[SuitePrompt]:
    if rows is not None:
        asked: Sequence[SuitePrompt] = read_prompts(rows)
    elif files:
        asked = next(iter(files.values())).prompts
    else:
        raise UserError(f"there is nothing that {names[0]} and {names[1]} are to answer", _PROMPTS_HINT)
    if not asked:
        raise UserError("there are no prompts", _PROMPTS_HINT, where=str(rows or ""))
    return asked


def _generate_now(project: Project, name: str, asked: Sequence[SuitePrompt], max_tokens: int, tell: AnswerListener | None) -> ModelAnswers:
    subject = find_subject(project, name)
    return generate_answers(project, subject, asked, max_tokens=max_tokens, progress=tell(subject.name) if tell else None)[0]


def _reorder_answers(answers: ModelAnswers, asked: Sequence[SuitePrompt]) -> ModelAnswers:
    """Return the answers in the order of these prompts; unchanged where they answer other prompts, which the comparison reports."""
    place = {each.id: at for at, each in enumerate(answers.prompts)}
    if [each.id for each in answers.prompts] == [each.id for each in asked] or any(each.id not in place for each in asked):
        return answers
    rows = [place[each.id] for each in asked]
    return build_answers(answers.subject, [answers.prompts[at] for at in rows], [answers.texts[at] for at in rows], answers.sampling)


_ROUNDS_FOLDER = "side-by-side"
_DEFAULT_ANNOTATORS = 3
_WAVE_PROMPTS = 10  # prompts that are queued at the same priority; the next ones come after them
COMPARISON_INSTRUCTIONS = """Which answer is better?

Both answer the same prompt, and come from different models, in no particular order. An answer isn't better for being longer."""
ComparisonProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ComparisonRound:
    """A round of comparisons.

    people: votes per pair. prompts: how many prompts are asked about (None: all). answers: digest and sampling parameters by model.
    """

    question: str
    people: int
    prompts: int | None
    seed: int
    pairs: Sequence[ComparisonPair]
    answers: Mapping[str, Mapping[str, Any]]

    @property
    def asked_pairs(self) -> list[ComparisonPair]:
        """The pairs that people are asked about."""
        return [pair for pair in sample_prompts(self.pairs, self.prompts, seed=self.seed) if not pair.is_same]


@dataclass(frozen=True)
class ComparisonOptions:
    """Options of a round. question: its name. people, prompts: None for those of the round, or the defaults (3, all).

    instructions: shown to people. reasons: whether people are asked why. queue: whether people are asked at all.
    """

    question: str | None = None
    instructions: str = COMPARISON_INSTRUCTIONS
    people: int | None = None
    prompts: int | None = None
    seed: int = 0
    reasons: bool = True
    queue: bool = True


def compare_side_by_side(
    project: Project,
    answers: Sequence[ModelAnswers],
    options: ComparisonOptions | None = None,
    *,
    judge: PairJudge | None = None,
    again: PairJudge | None = None,
    progress: ComparisonProgress | None = None,
) -> dict[str, Any]:
    """Open a round with these answers, or continue it; return the comparison so far as a document of Estimates.

    See `preceptor.evaluation.model_comparison.compare_models`. A decided match is no longer asked about. judge: adds its votes to people's.
    again: the same judge loaded again, to check whether it has changed. Raises UserError for answers that can't be compared, and for
    options that differ from the round's.
    """
    wanted = options or ComparisonOptions()
    round_, is_new = _find_round(project, answers, wanted)
    if wanted.queue:
        asked = _comparison_question(project, round_.question, wanted)
        if is_new:
            _write_round(project, round_)
        _enqueue_pairs(project, round_, asked)
    votes = _load_votes(project, round_)
    verdicts = None if judge is None else _judge_pairs(project, round_, judge, progress)
    document = _comparison_document(round_, votes, verdicts)
    if judge is not None:
        document["judge"] = {
            "name": judge.name,
            "digest": judge.digest,
            "question": judge.question,
            **_judge_drift(project, round_, votes, again),
        }
    if wanted.queue:
        _close_decided(project, round_, votes)
    return document | {"round": _round_progress(project, round_)}


def close_decided_pairs(project: Project, question: str) -> int | None:
    """Ask no more about decided matches of a round; return how many pairs that ends, None where the question is no round's."""
    if (round_ := _load_round(project, question)) is None:
        return None
    return _close_decided(project, round_, _load_votes(project, round_))


def _find_round(project: Project, answers: Sequence[ModelAnswers], wanted: ComparisonOptions) -> tuple[ComparisonRound, bool]:
    """Return the round of these answers, in whichever order they are named, and whether it is new."""
    answers = sorted(answers, key=lambda each: each.subject)
    pairs = pair_answers(answers, seed=wanted.seed)
    about = {each.subject: {"digest": each.digest, "sampling": dict(each.sampling)} for each in answers}
    name = wanted.question or f"side-by-side-{json_digest([wanted.seed, about])[:8]}"
    made = ComparisonRound(name, _DEFAULT_ANNOTATORS if wanted.people is None else wanted.people, wanted.prompts, wanted.seed, pairs, about)
    if made.people < 1 or (made.prompts is not None and made.prompts < 1):
        raise UserError("a round asks about one prompt and one person at least", "--people 3 --prompts 100")
    known = _load_round(project, name)
    if known is None:
        return made, True
    if [pair.id for pair in known.pairs] != [pair.id for pair in pairs]:
        raise UserError(f"{name!r} is a round of other answers: {' and '.join(known.answers)}", "choose another name: --question NAME")
    for wish, has, option in ((wanted.people, known.people, "--people"), (wanted.prompts, known.prompts, "--prompts")):
        if wish is not None and wish != has:
            raise UserError(f"the round {name!r} was begun with {option} {has or 'all'}", "leave it out, or begin another: --question NAME")
    return known, False


def _enqueue_pairs(project: Project, round_: ComparisonRound, asked: Question) -> None:
    """Queue the round's pairs for annotation, in waves of prompts; the same call again queues nothing new."""
    with project.database.reading() as connection:
        known = set(_slot_counts(connection, round_.question))
    waves = split_into_waves(round_.asked_pairs, _WAVE_PROMPTS, seed=round_.seed)
    for number, wave in enumerate(waves):
        new = [
            Item(pair.id, {"prompt": pair.text, "responses": list(pair.responses)}, pair.group, {"models": list(pair.models)})
            for pair in wave
            if pair.id not in known
        ]
        if new:
            question_admin.enqueue_items(project, asked, new, target_count=round_.people, priority=len(waves) - number)


def _comparison_question(project: Project, name: str, wanted: ComparisonOptions) -> Question:
    """Return the question of the round, as it was asked before. Raises UserError where another kind of work has a question of that name."""
    with project.database.reading() as connection:
        kept = next((each for _, each in questions.list_active(connection) if each.name == name), None)
    if kept is not None:
        if kept.purpose != name:
            raise UserError(f"there is another question called {name!r}", "choose another name: --question NAME")
        return kept
    settings = {"responses": 2, "reasons": wanted.reasons}
    made = define_question({"name": name, "kind": "compare", "instructions": wanted.instructions, "settings": settings})
    return replace(made, purpose=name)


def _load_votes(project: Project, round_: ComparisonRound) -> list[PreferenceVote]:
    with project.database.reading() as connection:
        try:
            what, who, said, _ = JudgmentSet.load(connection, round_.question).columns
        except NotFoundError:
            return []
    return read_votes(round_.pairs, what, who, said)


def _comparison_document(
    round_: ComparisonRound, votes: Sequence[PreferenceVote], verdicts: Mapping[str, tuple[float, float]] | None
) -> dict[str, Any]:
    asked: dict[str, Any] = {"people": round_.people, "prompts": round_.prompts, "seed": round_.seed, "models": list(round_.answers)}
    return {
        "question": round_.question,
        "answers": dict(round_.answers),
        **compare_models(round_.pairs, votes, **asked, verdicts=verdicts),
    }


def _judge_pairs(
    project: Project, round_: ComparisonRound, judge: PairJudge, progress: ComparisonProgress | None
) -> dict[str, tuple[float, float]]:
    """Return a judge's verdict on each pair, in both orders; cached, so that it is asked once."""
    cases = [PairCase(pair.text, *pair.responses) for pair in round_.pairs if not pair.is_same]
    both = score_cases(project, judge, [each for case in cases for each in (case.case, case.swapped.case)], progress)
    ids = [pair.id for pair in round_.pairs if not pair.is_same]
    return {id_: (float(straight), 1 - float(turned)) for id_, straight, turned in zip(ids, both[::2], both[1::2], strict=True)}


def _judge_drift(project: Project, round_: ComparisonRound, votes: Sequence[PreferenceVote], again: PairJudge | None) -> dict[str, Any]:
    """Check whether the judge still gives its verdicts on pairs that people have finished; empty where no judge is loaded again."""
    if again is None:
        return {}
    finished = [
        (pair, value) for match in _list_matches(round_, votes) for pair, value in zip(match.pairs, match.values.tolist(), strict=True)
    ]
    cases = [PairCase(pair.text, *pair.responses).case for pair, _ in finished]
    first = [0 if pair.models[0] < pair.models[1] else 1 for pair, _ in finished]
    human = np.array([1 - value if turned else value for (_, value), turned in zip(finished, first, strict=True)], dtype=np.float64)
    found = check_judge_drift(project, again, cases, human, [pair.group for pair, _ in finished])
    return {"drift": None if found is None else {each.name: getattr(found, each.name) for each in fields(found)}}


def _list_matches(round_: ComparisonRound, votes: Sequence[PreferenceVote]) -> list[Any]:
    met = {tuple(sorted(pair.models)) for pair in round_.pairs}
    return [build_match(first, second, round_.asked_pairs, votes, round_.people) for first, second in sorted(met)]


def _close_decided(project: Project, round_: ComparisonRound, votes: Sequence[PreferenceVote]) -> int:
    """Ask no more about decided matches; return how many pairs that ends. Answers of people who hold a pair are still accepted."""
    over = decide_matches(round_.asked_pairs, votes, people=round_.people) if votes else {}
    pairs = {pair.id for pair in round_.asked_pairs if frozenset(pair.models) in over}
    if not pairs:
        return 0
    with project.database.writing() as connection:
        key, _ = questions.get(connection, round_.question)
        waiting = {
            item: each.judgment_count
            for item, each in slots.counts_by_item(connection, key).items()
            if item in pairs and each.judgment_count < each.target_count
        }
        slots.set_target_counts(connection, key, waiting)
        if waiting:
            better = sorted(f"{name} of {' and '.join(sorted(two))}" for two, name in over.items())
            events.record_event(connection, "comparison decided", {"question": round_.question, "better": better, "pairs": len(waiting)})
    return len(waiting)


def _round_progress(project: Project, round_: ComparisonRound) -> dict[str, Any]:
    """Return how many judgments are given, and how many more the round will ask for."""
    with project.database.reading() as connection:
        counts = _slot_counts(connection, round_.question)
    if not counts:
        return {"opened": False, "given": 0, "left": 0}
    left = sum(max(each.target_count - each.judgment_count, 0) for each in counts.values())
    return {
        "opened": True,
        "given": sum(each.judgment_count for each in counts.values()),
        "left": left,
        "planned": round_.people * len(round_.asked_pairs),
    }


def _slot_counts(connection: Connection, question: str) -> dict[str, slots.SlotCounts]:
    """Return the counts of a round's slots by pair; empty before it is opened."""
    try:
        return slots.counts_by_item(connection, questions.get(connection, question)[0])
    except NotFoundError:
        return {}


def _round_path(project: Project, question: str) -> Path:
    return project.folder / _ROUNDS_FOLDER / f"{json_digest(question)[:16]}.json"


def _write_round(project: Project, round_: ComparisonRound) -> None:
    path = _round_path(project, round_.question)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(json.dumps(asdict(round_), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _load_round(project: Project, question: str) -> ComparisonRound | None:
    path = _round_path(project, question)
    if not path.is_file():
        return None
    kept = read_json(path)
    return ComparisonRound(**{**kept, "pairs": list(_parse_pairs(kept["pairs"]))})


def _parse_pairs(rows: Iterable[Mapping[str, Any]]) -> Iterable[ComparisonPair]:
    for row in rows:
        yield ComparisonPair(**{**row, "models": tuple(row["models"]), "responses": tuple(row["responses"])})
