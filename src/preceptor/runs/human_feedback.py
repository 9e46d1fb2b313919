"""Give a training run access to human feedback and to a held-out reward model.

People are asked one question of each kind per snapshot's question, shared by all its runs: annotators are estimated from all their answers,
and a snapshot of the question contains all of them. A run that can't continue before people have answered raises WaitsForHumans.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.annotation import question_admin
from preceptor.annotation.implicit_questions import COMPLETION, PREFERENCE
from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.annotation.question_admin import TRAINING_PURPOSE_PREFIX
from preceptor.consensus.multilabel import MultilabelConsensus
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.number_format import format_money
from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.model_ancestry import MODEL_ID_PREFIX, find_parent_model, resolve_base_folder
from preceptor.questions import define_question
from preceptor.runs.unlabelled_pool import PromptGroups, UnlabelledItems
from preceptor.statistics import estimate_mean
from preceptor.storage import events, items, questions, slots
from preceptor.storage.snapshot_rows import target_answers
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingRun
from preceptor.training.recipe import FeedbackAnswer, FeedbackKind, FeedbackPending, FeedbackRequest, FeedbackRequester, HeldOutAnswer
from preceptor.types import ComposedConsensus, Estimate, Item, Model, Question, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


def _load_feedback_answers(project: Project, question: Question, wanted: Collection[str]) -> dict[str, FeedbackAnswer]:
    """Return by item the text that people agree on most, or each answer's probability (of several labels, that each applies).

    Only items that have all their judgments are returned. All judgments of the question count for the reliability of each annotator.
    """
    with project.database.reading() as connection:
        try:
            standing = JudgmentSet.load(connection, question.name)
        except NotFoundError:
            return {}  # nothing has been asked yet
        counts = slots.counts_by_item(connection, standing.key)
    done = {item for item in wanted if item in standing.gold or _is_complete(counts.get(item))}
    if not done & set(standing.columns[0]):
        return {}
    fitted = standing.fit()
    if isinstance(fitted, ComposedConsensus):
        return {item: answer["text"] for item, answer in zip(fitted.items, fitted.composed, strict=True) if item in done}
    chances = fitted.applies if isinstance(fitted, MultilabelConsensus) else fitted.posterior
    columns = [str(answer) for answer in target_answers(fitted)]
    return {item: dict(zip(columns, row, strict=True)) for item, row in zip(fitted.items, chances.tolist(), strict=True) if item in done}


class FeedbackProgress(NamedTuple):
    """The number of items of a question that people are asked about, how many of them wait, and the judgments these still need."""

    item_count: int
    waiting_count: int
    missing_judgments: int


def _count_feedback(project: Project, question: str, asked: Collection[str]) -> FeedbackProgress:
    """Count the progress of people on these items."""
    with project.database.reading() as connection:
        counts = slots.counts_by_item(connection, questions.get(connection, question)[0])
    waiting = [item for item in asked if not _is_complete(counts.get(item))]
    return FeedbackProgress(
        len(asked), len(waiting), sum(max(count.target_count - count.judgment_count, 0) for item in waiting if (count := counts.get(item)))
    )


def _is_complete(count: slots.SlotCounts | None) -> bool:
    """Return whether somebody has judged an item, and nobody else is asked."""
    return count is not None and count.judgment_count > 0 and count.judgment_count >= count.target_count


BINARY_OPTIONS = ("good", "bad")
_FEEDBACK_INSTRUCTIONS = {
    "compare": "Which answer is better?\n\nBoth answer the same prompt. An answer isn't better for being longer.",
    "correct": "What should have been answered?\n\nCorrect the response, or leave it as it is where nothing is wrong with it.",
    "good": "Is this answer good?\n\nA good answer could be sent as it is.",
}
_QUESTION_FIELDS: Mapping[str, dict[str, Any]] = {
    "compare": {"kind": "compare", "settings": {"responses": 2}},
    "correct": {"kind": "write", "settings": {"correct": True}},
    "good": {"kind": "choice", "options": list(BINARY_OPTIONS)},
}
_EQUIVALENT_KINDS = {"compare": "compare", "write": "correct"}  # kinds of a snapshot's own question that ask the same


def _feedback_question(project: Project, kind: FeedbackKind, snapshot: Snapshot) -> Question:
    """Return the question for people, worded as it was before. Raises UserError where it can't be asked.

    label: the snapshot's own question, which must be unchanged and have answers to choose from.
    """
    own = snapshot.question
    with project.database.reading() as connection:
        known = {each.name: each for _, each in questions.list_active(connection)}
    if kind == "label":
        return _snapshot_question(known, own)
    root = _root_question(known, own)
    name = f"{root['name']}-{kind}"
    made = define_question({"name": name, "instructions": _question_instructions(kind, root), **_QUESTION_FIELDS[kind]})
    asked = replace(made, purpose=f"{TRAINING_PURPOSE_PREFIX}{name}")
    before = known.get(name)
    return before if before is not None and before.purpose == asked.purpose else asked


def _root_question(known: Mapping[str, Question], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the question that a run asks about: the snapshot's own; where an earlier run created that, its root."""
    asked = known.get(own["name"])
    if asked is None or not asked.purpose.startswith(TRAINING_PURPOSE_PREFIX):
        return own
    name = asked.name.rpartition("-")[0]
    first = known.get(name)
    return {"name": name, "kind": first.kind if first else "", "instructions": first.instructions if first else ""}


def _snapshot_question(known: Mapping[str, Question], own: Mapping[str, Any]) -> Question:
    asked = known.get(own["name"])
    if asked is None or asked.version != own["version"]:
        now = "isn't asked any more" if asked is None else f"has version {asked.version} now, and version {own['version']} there"
        raise UserError(f"the snapshot's question {own['name']!r} {now}", "take a new snapshot, and train on that")
    if not own["answers"] or asked.follows:
        raise UserError(f"people can't be asked to label by {own['name']!r}", "label by a question with answers to choose from")
    return asked


def _question_instructions(kind: FeedbackKind, own: Mapping[str, Any]) -> str:
    """Return the snapshot's own instructions where it asks the same; else the default ones, followed by the original instructions."""
    told = "" if own["name"] in (COMPLETION.name, PREFERENCE.name) else str(own["instructions"]).strip()
    if told and _EQUIVALENT_KINDS.get(own["kind"]) == kind:
        return told
    return f"{_FEEDBACK_INSTRUCTIONS[kind]}\n\nWhat people were asked before: {told}" if told else _FEEDBACK_INSTRUCTIONS[kind]


@dataclass(frozen=True)
class HeldOutRewardModel:
    """A reward model that the run isn't rewarded by (`TrainingRun.measure`). folder: of the model. weights: their digest."""

    folder: Path
    weights: str

    def __call__(self, written: Sequence[HeldOutAnswer]) -> Mapping[str, Estimate]:
        """Return `preference`: the mean reward, in log-odds, with an interval over prompts.

        Raises UserError where there are no answers, and for an answer that the model can't read whole.
        """
        from preceptor.models.chat_template import build_conversation

        if not written:
            raise UserError("the judge was given nothing to judge", "have some validation rows")
        prompts = [build_conversation(each.content, "")[:-1] for each in written]
        rewards = self._model.score(prompts, [each.text for each in written])
        return {"preference": estimate_mean(rewards, clusters=[each.id for each in written], within=(-math.inf, math.inf))}

    @cached_property
    def _model(self) -> Any:
        from preceptor.models.classifier import RewardModel

        return RewardModel(self.folder)


def load_held_out_reward_model(project: Project, name: str, options: Mapping[str, Any]) -> HeldOutRewardModel:
    """Load a reward model by its id or folder.

    Raises UserError where it is none, or where the run's options name it: it would judge the policy that it rewards.
    """
    from preceptor.models.atomic_folder import weights_digest
    from preceptor.models.classifier import is_reward_model

    model, folder = find_parent_model(project, name), resolve_base_folder(project, name)
    if not is_reward_model(folder):
        raise UserError(f"{name} is not a reward model", "train one on comparisons: preceptor train reward")
    texts = [str(value) for value in options.values()]
    ids = {found for text in texts for found in re.findall(rf"{MODEL_ID_PREFIX}[0-9a-f]+", text)}
    if any(name in text for text in texts) or (model is not None and any(model.id.startswith(each) for each in ids)):
        raise UserError(
            f"{name} is what the run is rewarded by, and can't be its judge", "train a second reward model, on other comparisons"
        )
    return HeldOutRewardModel(folder, weights_digest(folder))


_REQUESTS_FILE = "people.json"  # in a run's folder: the items that it has asked people about, by question
_PRIORITY_LEVELS = 10  # few levels, so that finding the next item stays cheap
_RESPONSE_COUNTS = {"compare": 2, "correct": 1, "good": 1}
_SHOWN_FIELDS = ("prompt", "messages", "sources", "format")  # shown beside the responses
_ANNOTATORS_PER_ITEM = {"correct": 1}  # annotators per item; for other kinds the initial number of guidance


@dataclass
class ProjectAnnotators:
    """The project's people as the run's feedback requester (`TrainingRun.ask`); its requests come before all other work.

    origin: stored with each item. max_items: that the run may ask about in all. excess_count: items beyond that limit, which weren't queued
    in the last call.
    """

    project: Project
    snapshot: Snapshot
    folder: Path
    prompts: PromptGroups
    origin: Mapping[str, str]
    max_items: int | None = None
    excess_count: int = 0
    _requested_items: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (path := self.folder / _REQUESTS_FILE).is_file():
            self._requested_items = read_json(path)

    def __call__(self, kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]:
        _check_request_priorities(asked)
        question = _feedback_question(self.project, kind, self.snapshot)
        item_of = {each.id: self._request_item(kind, question.name, each) for each in asked}
        self._enqueue(kind, question, sorted(asked, key=lambda each: -each.priority), item_of)
        said = _load_feedback_answers(self.project, question, {item.id for item in item_of.values()})
        return {
            each.id: _normalize_answer(said[item_of[each.id].id], kind, each, item_of[each.id])
            for each in asked
            if item_of[each.id].id in said
        }

    def count_progress(self) -> dict[str, FeedbackProgress]:
        """Return by question how far people are with what this run asked."""
        return {name: _count_feedback(self.project, name, asked) for name, asked in self._requested_items.items()}

    def _enqueue(self, kind: FeedbackKind, question: Question, ranked: Sequence[FeedbackRequest], item_of: Mapping[str, Item]) -> None:
        allowed = self._select_allowed(question.name, [item_of[each.id].id for each in ranked])
        levels = defaultdict[int, list[Item]](list)
        for each, level in zip(ranked, _priority_levels([each.priority for each in ranked]), strict=True):
            if item_of[each.id].id in allowed:
                levels[level].append(item_of[each.id])
        for level, group in levels.items():
            if question.purpose:
                question_admin.enqueue_items(self.project, question, group, target_count=_ANNOTATORS_PER_ITEM.get(kind), priority=level)
            else:
                _prioritize_items(self.project, question, [item.id for item in group], level, self.origin)

    def _select_allowed(self, question: str, ranked: Iterable[str]) -> set[str]:
        """Return the items that people may be asked about; stored before they are queued, so that a kill can't exceed the limit."""
        known = dict.fromkeys(self._requested_items.get(question, ()))
        new = [item for item in dict.fromkeys(ranked) if item not in known]
        left = len(new) if self.max_items is None else max(self.max_items - sum(map(len, self._requested_items.values())), 0)
        self.excess_count = len(new[left:])
        if new[:left]:
            self._requested_items[question] = [*known, *new[:left]]
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / _REQUESTS_FILE, "w") as file:
                json.dump(self._requested_items, file)
        return set(self._requested_items.get(question, ()))

    def _request_item(self, kind: FeedbackKind, question: str, asked: FeedbackRequest) -> Item:
        """Return the item that people see: an existing one, or one made of a prompt and a model's responses.

        Its id is a digest of its content, so that what was answered in one run isn't asked again in another.
        """
        if self.prompts.is_held_out(asked.id, asked.content):
            raise UserError("a run can't have people asked about validation and test rows", "ask about others", where=asked.id)
        if kind == "label":
            return Item(asked.id, asked.content, "")
        content = _request_content(kind, asked)
        origin = {**self.origin, "asked": asked.id}
        return Item(f"asked-{json_digest([question, content])[:16]}", content, self.prompts.get_group(content), origin)


def _request_content(kind: FeedbackKind, asked: FeedbackRequest) -> dict[str, Any]:
    """Return the content as stored and shown: a draft to correct is a completion, and NUL characters are replaced."""
    content, said = asked.content, [str(text).replace("\0", "\ufffd") for text in asked.content.get("responses", ())]
    if ("prompt" in content) == ("messages" in content) or len(said) != _RESPONSE_COUNTS[kind]:
        form = f'"prompt" or "messages", and "responses", as many as {_RESPONSE_COUNTS[kind]}'
        raise UserError(f"{kind!r} can't be asked about this content", f"it must have {form}", where=asked.id)
    shown = {part: value for part, value in content.items() if part in _SHOWN_FIELDS}
    return {**shown, "completion": said[0]} if kind == "correct" else {**shown, "responses": said}


def _normalize_answer(said: FeedbackAnswer, kind: FeedbackKind, asked: FeedbackRequest, item: Item) -> FeedbackAnswer:
    """Return the answer as the run takes it: an unchanged draft is the draft itself, however forms end lines."""
    if kind == "correct" and str(said).splitlines() == str(item.content["completion"]).splitlines():
        return str(asked.content["responses"][0])
    return said


def _prioritize_items(project: Project, question: Question, ids: Sequence[str], level: int, origin: Mapping[str, str]) -> None:
    """Queue existing items before the others of their question. Raises UserError for one that doesn't exist."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, question.name)
        known = items.keys(connection, ids)
        if unknown := next((id_ for id_ in ids if id_ not in known), None):
            raise UserError(f"there is no item {unknown!r} to label", "ask about items that run.unlabelled gives")
        slots.open_slots(
            connection, key, ((pk, id_) for id_, pk in known.items()), target_count=project.config.redundancy.initial_judgments
        )
        slots.set_priorities(connection, key, dict.fromkeys(ids, level))
        events.record_event(connection, "items put first", {**origin, "question": question.name, "items": len(ids)})


def _check_request_priorities(asked: Sequence[FeedbackRequest]) -> None:
    if bad := next((each for each in asked if not math.isfinite(each.priority)), None):
        raise UserError(f"a priority must be a finite number, not {bad.priority}", "0.0 where nothing is known", where=bad.id)


def _priority_levels(priorities: Sequence[float]) -> list[int]:
    """Return levels from 1 to `_PRIORITY_LEVELS`, the highest for the highest priority, equal ones for equal priorities."""
    distinct = sorted(set(priorities))
    level = {value: 1 + place * _PRIORITY_LEVELS // len(distinct) for place, value in enumerate(distinct)}
    return [level[value] for value in priorities]


_RERUN_HINT = "run the same command again when they have answered"


class WaitsForHumans(FeedbackPending):
    """Raised where items wait for people; the same command, run again, continues.

    item_count: how many. document: what `preceptor train --json` prints.
    """

    exit_code = 3

    def __init__(self, message: str, waiting: Mapping[str, Any]) -> None:
        super().__init__(message, _RERUN_HINT)
        self.item_count: int = waiting["items"]
        self.document = {"waiting": waiting, "summary": str(self)}


def _build_wait_error(project: Project, why: str, counts: Mapping[str, FeedbackProgress]) -> WaitsForHumans:
    """Build the error with how many items wait, where, and what their judgments will cost. why: the run's message."""
    with project.database.reading() as connection:
        kinds = {each.name: each.kind for _, each in questions.list_active(connection)}
    price, page = project.config.cost, f"{project.address}/work"
    cost = round(sum(count.missing_judgments * price.judgment_price("", kinds[name]) for name, count in counts.items()), 4)
    left = sum(count.waiting_count for count in counts.values())
    several = f"{left:,} items wait" if left != 1 else "1 item waits"
    message = f"{why.rstrip('.')}: {several} for people at {page}, which costs about {format_money(cost, price.currency)}"
    document = {
        "items": left,
        "by_question": {name: {"asked": count.item_count, "waiting": count.waiting_count} for name, count in counts.items()},
        "page": page,
        "cost": cost,
        "currency": price.currency,
    }
    return WaitsForHumans(message, document)


@dataclass(frozen=True)
class FeedbackOptions:
    """The feedback that a run may request.

    people: the project's people, or a function that answers in their place (simulated experts), or none. max_items: that the project's
    people may be asked about in all. judge: a reward model, by its id or folder, or "".
    """

    people: bool | FeedbackRequester = False
    max_items: int | None = None
    judge: str = ""


@dataclass(frozen=True)
class FeedbackSources:
    """The sources of feedback of a run. judge: None where none was named."""

    options: FeedbackOptions
    judge: HeldOutRewardModel | None

    @classmethod
    def from_options(cls, project: Project, feedback: FeedbackOptions, options: Mapping[str, Any]) -> FeedbackSources:
        """Load the sources. Raises UserError for a judge that can't judge this run, and for a limit without people to ask."""
        if feedback.max_items is not None and (feedback.people is not True or feedback.max_items < 1):
            raise UserError(
                "a limit of what people are asked needs people to ask, and 1 item at least", "--human-feedback --max-queries 100"
            )
        return cls(feedback, load_held_out_reward_model(project, feedback.judge, options) if feedback.judge else None)

    @property
    def identity(self) -> list[str]:
        """The part of a run's identity that its feedback makes up; a function counts by its name and code, not by what it looks up."""
        people = self.options.people
        asked = [] if not people else ["people"] if people is True else _function_identity(people)
        return [*asked, *([self.judge.weights] if self.judge else [])]


def _function_identity(function: Any) -> list[str]:
    """Return the name of a function, or of a callable's class, and its code in the form of this Python."""
    function = function if hasattr(function, "__qualname__") else type(function).__call__
    return [f"{function.__module__}.{function.__qualname__}", *_code_identity(getattr(function, "__code__", None))]


def _code_identity(code: Any) -> list[str]:
    """Return the contents of a code object: bytecode, names and constants, including nested functions."""
    if code is None:
        return []
    constants = [sorted(each, key=repr) if isinstance(each, frozenset) else each for each in code.co_consts]
    inside = [said for each in constants for said in (_code_identity(each) if hasattr(each, "co_code") else [repr(each)])]
    return [code.co_code.hex(), *code.co_names, *inside]


def run_with_feedback(
    project: Project,
    consultants: FeedbackSources,
    run: TrainingRun,
    snapshot: Snapshot,
    origin: Mapping[str, str],
    train: Callable[[TrainingRun], Model],
) -> Model:
    """Train a run with its sources of feedback, and record in the manifest what it asked for.

    origin: stored with the items that people are asked about. Where the run waits for people, the error says how many items wait, where,
    and at what price.
    """
    people, prompts = consultants.options.people, PromptGroups(snapshot)
    asked = ProjectAnnotators(project, snapshot, run.folder, prompts, origin, consultants.options.max_items)
    ask = asked if people is True else people or None
    unjudged = UnlabelledItems(project, snapshot, run.folder, prompts)
    try:
        made = train(replace(run, unlabelled=unjudged, ask=ask, measure=consultants.judge))
    except FeedbackPending as waiting:
        raise (_wait_error(project, asked, waiting) if people is True else waiting) from None
    heard = {name: {"asked": count.item_count, "waiting": count.waiting_count} for name, count in asked.count_progress().items()}
    return _update_manifest(made, {**({"people": heard} if people is True else {}), "unlabelled": unjudged.project_item_count})


def _update_manifest(made: Model, asked: Mapping[str, Any]) -> Model:
    """Add to the model's manifest what its run asked for: people's progress, and the number of items it chose unlabelled ones from."""
    found = {name: value for name, value in asked.items() if value is not None}
    if not found:
        return made
    manifest = {**made.manifest, **found}
    with atomic_write(made.path / "manifest.json", "w") as file:
        json.dump(manifest, file, indent=2, ensure_ascii=False, allow_nan=False)
    return replace(made, manifest=manifest)


def _wait_error(project: Project, people: ProjectAnnotators, waiting: FeedbackPending) -> WaitsForHumans | UserError:
    told = _build_wait_error(project, waiting.message, people.count_progress())
    if told.item_count or people.max_items is None or not people.excess_count:
        return told
    more = f"it would have people asked about {people.excess_count:,} items more than the {people.max_items:,} that it may"
    return UserError(
        f"{waiting.message.rstrip('.')}: {more}", f"--max-queries {people.max_items + people.excess_count}, or less to ask in its options"
    )
