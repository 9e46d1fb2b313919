"""Keep, relabel, rewrite, merge or reject items of a training set, and undo such decisions.

Nothing is corrected automatically. A check names suspects; somebody keeps, relabels, rewrites or rejects each, with a reason that can
become an example in the guidelines. Decisions are never deleted: a newer one supersedes an older one, and undoing one restores what it
changed. Excluded items are counted by reason in each snapshot.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preceptor.annotation.adjudication import check_can_adjudicate
from preceptor.annotation.row_parser import MAX_EXPLANATION_LENGTH, MAX_REASON_LENGTH, check_annotator_name
from preceptor.errors import NotFoundError, UserError
from preceptor.questions import kinds
from preceptor.registry import suggest_name
from preceptor.storage import curations, events, gold, items, judgment_log, people, queries, questions, slots, suspects
from preceptor.storage.curations import CurationDecision
from preceptor.storage.suspects import SuspectItem
from preceptor.types import Annotator, Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


EXCLUDING_ACTIONS = {
    "reject": "rejected",
    "rewrite": "rewritten",
    "merge": "merged",
}  # decisions after which an item is in no later snapshot
_WITHDRAWN_REASON = "its rewriting was taken back"
_MAX_LISTED_REASONS = 10  # reasons that are listed, the most frequent first


def list_excluded_items(connection: Connection, question: int) -> dict[str, CurationDecision]:
    """Return the decision for which each item is excluded from later snapshots, by item id.

    An item that a rewriting made is excluded with the rewriting, once that is undone or superseded by another decision.
    """
    found = {item: found for item, found in curations.active_decisions(connection, question).items() if found.action in EXCLUDING_ACTIONS}
    made, withdrawn = curations.rewritten_items(connection, question)
    return found | {item: replace(made[item], item=item, action="reject", document={}, reason=_WITHDRAWN_REASON) for item in withdrawn}


def build_curation_check(reasons: Counter[str]) -> dict[str, Any]:
    """Return the check that counts items excluded by decisions, with their reasons."""
    told = [f"{count:,} {reason}" for reason, count in reasons.most_common(_MAX_LISTED_REASONS)]
    more = " …" if len(reasons) > _MAX_LISTED_REASONS else ""
    words = f"items left out because somebody decided so: {'; '.join(told)}{more}"
    return {"check": "curated", "found": reasons.total(), "summary": words, "reasons": dict(reasons.most_common())}


def exclusion_reason(action: str, reason: str) -> str:
    """Return a decision and its reason in a few words."""
    done = EXCLUDING_ACTIONS[action]
    return f"{done}: {reason}" if reason and action != "merge" else done


def revert_annotator_decisions(connection: Connection, by: str) -> None:
    """Revert all decisions of a retracted annotator: what they changed is as it was before."""
    theirs = {(question, item) for question, item, _ in curations.list_by_author(connection, by)}
    moments = curations.retraction_times(connection)
    others = {name: moment for name, moment in moments.items() if name != by}
    for question, item in sorted(theirs):
        history = curations.list_by_item(connection, question, item)
        stood, left = curations.active_history(history, others), curations.active_history(history, moments)
        still = {each.number for each in left}
        for last in stood:
            if last.number not in still:
                _restore_gold(connection, question, item, history, last, left)
        if stood and stood[0].number not in still:
            _reopen_item(connection, question, item, [each for each in stood if each.number not in still], left)
    for question in {question for question, _ in theirs}:
        _update_rewritten_gold(connection, question, curations.rewritten_items(connection, question)[0])


def _restore_gold(
    connection: Connection, key: int, pk: int, history: Sequence[CurationDecision], last: CurationDecision, left: Sequence[CurationDecision]
) -> None:
    """Restore the known answer from before a decision, and from before earlier ones that are no longer valid either.

    A known answer that somebody set since stays. left: the valid decisions.
    """
    if "before" not in last.document or gold.find_answer(connection, key, pk) != (last.answer, last.reason):
        return
    was: Sequence[Any] | None = last.document["before"]
    standing = {each.number for each in left}
    for each in history:  # newest first
        earlier = "before" in each.document and each.number < last.number and each.number not in standing
        if earlier and was == [each.answer, each.reason]:
            was = each.document["before"]
    _set_gold(connection, key, pk, was)


def _reopen_item(connection: Connection, key: int, pk: int, back: Sequence[CurationDecision], left: Sequence[CurationDecision]) -> None:
    """Reopen an item's suspects that the newest remaining decision isn't about, and restore how many judgments its slot wants.

    back: the decisions that were undone.
    """
    newest = curations.list_by_item(connection, key, pk)[0].created
    suspects.reopen(connection, key, pk, newest, since=left[0].created if left else 0.0)
    slots.set_target_counts(connection, key, {each.item: each.document["target_count"] for each in back if "target_count" in each.document})


def _update_rewritten_gold(connection: Connection, key: int, changed: Iterable[str]) -> None:
    """Set the known answers of rewritten items that are active, and remove those of others. changed: rewritten items to look at."""
    made, gone = curations.rewritten_items(connection, key)
    for item in sorted(changed):
        place = items.keys(connection, [item])[item]
        wrote, known = (made[item].answer, f"rewritten from {made[item].item}"), gold.find_answer(connection, key, place)
        if item in gone and known == wrote:
            gold.remove_answer(connection, key, place)
        elif item not in gone and known is None:
            gold.set_answers(connection, key, {place: wrote})


def _set_gold(connection: Connection, key: int, pk: int, before: Sequence[Any] | None) -> None:
    """Set the known answer to what it was before a decision changed it."""
    if before is None:
        gold.remove_answer(connection, key, pk)
    else:
        gold.set_answers(connection, key, {pk: (before[0], before[1])})


CURATION_ACTIONS = {
    "keep": "it is right as it is",
    "relabel": "its answer is another one",
    "rewrite": "its text is written anew",
    "reject": "it is left out of later snapshots",
    "merge": "it is the same as another, which stays",
}


@dataclass(frozen=True)
class RelatedItem:
    """Another item that a suspect concerns: a duplicate, or the source of a leak.

    answer: in the snapshot. reason: why it is listed.
    """

    item: Item
    answer: str
    reason: str


@dataclass(frozen=True)
class CurationCase:
    """Everything that is known for a decision about an item.

    suspects: why it is listed, the gravest first. judgments: the valid ones. target_probabilities, model_probabilities: of answers, in a
    snapshot and by a model; empty where unknown. gold_answer: with its explanation. history: decisions, the newest first.
    """

    item: Item
    question: Question
    suspects: Sequence[SuspectItem]
    judgments: Sequence[queries.JudgmentView]
    target_probabilities: Mapping[str, float]
    model_probabilities: Mapping[str, float]
    related_items: Sequence[RelatedItem]
    gold_answer: tuple[Any, str] | None
    history: Sequence[CurationDecision]


@dataclass(frozen=True)
class GuidelineExample:
    """A decision that is shown with the guidelines: the item's text, the answer that it was given (None where none), and why.

    rewritten_text: its new text, "" where nobody rewrote it.
    """

    item: str
    text: str
    answer: Any
    action: str
    reason: str
    by: str
    created: float
    rewritten_text: str = ""


def list_suspects(project: Project, question: str, *, after: str = "", limit: int = 50, check: str | None = None) -> list[SuspectItem]:
    """List suspects that nobody has decided, the highest score first; after: the key of the last one seen."""
    with project.database.reading() as connection:
        return suspects.list_open(connection, questions.get(connection, question)[0], after=after, limit=limit, check=check)


def count_suspects(project: Project, question: str) -> dict[str, Any]:
    """Count the items that wait for a decision, those that are decided, and the open ones of each check."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        checks, decided = suspects.count_by_check(connection, key)
        return {"open": suspects.count_open(connection, key), "decided": decided, "checks": checks}


def load_curation_case(project: Project, question: str, item: str) -> CurationCase:
    """Load everything for a decision about an item, by its id; raises NotFoundError where there is no such item."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        pk, what = _find_item(connection, item)
        about = suspects.list_by_item(connection, key, pk)
        told = queries.filter_valid(queries.judgment_history(connection, pk), asked)
        first = about[0].document if about else {}
        model: Mapping[str, float] = next((suspect.document["model"] for suspect in about if suspect.document.get("model")), {})
        return CurationCase(
            what,
            asked,
            tuple(about),
            told,
            first.get("target", {}),
            model,
            tuple(_list_related_items(connection, about)),
            gold.find_answer(connection, key, pk),
            curations.list_by_item(connection, key, pk),
        )


def curate_item(
    project: Project,
    item: str,
    question: str,
    action: str,
    *,
    answer: Any = None,
    text: str | None = None,
    into: str | None = None,
    reason: str = "",
    example: bool = False,
    by: str,
) -> int:
    """Decide about an item and return the decision's number; the same again by the same person changes nothing.

    keep: it is right as it is. relabel: `answer` becomes its known answer. rewrite: `text` becomes a new item of the same group with
    `answer` (or the old one's, where it is known or one answer alone was given), and the old one is excluded from later snapshots. reject:
    it is excluded. merge: it is excluded, and its judgments count for `into`. example: the reason is shown with the guidelines.
    """
    reason = _check_reason(action, reason, example)
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        pk, what = _find_item(connection, item)
        _, gone = curations.rewritten_items(connection, key)
        about = suspects.list_by_item(connection, key, pk)
        document: dict[str, Any] = {"check": about[0].check, "snapshot": about[0].snapshot} if about else {"check": ""}
        if action == "relabel":
            document |= _relabel_item(connection, key, asked, pk, answer, reason)
        elif action == "rewrite":
            document |= _rewrite_item(project, connection, key, asked, pk, what, text, answer, by)
        elif action == "merge":
            document |= {"into": _check_merge_target(connection, key, what.id, into)}
        stands = curations.active_history(curations.list_by_item(connection, key, pk), curations.retraction_times(connection))[: not about]
        if (same := _find_same_decision(stands, action, document, reason, example, by)) is not None:
            return same
        document |= _close_slot(connection, key, asked, pk, item)
        number = curations.add(connection, key, pk, action, document, reason=reason, example=example, by=check_annotator_name(by))
        _update_rewritten_gold(connection, key, gone ^ curations.rewritten_items(connection, key)[1])
        noted = {"item": item, "question": question, "action": action, "reason": reason, "number": number, **document}
        events.record_event(connection, "item curated", noted, actor=by)
    return number


def adjudicate_item(project: Project, item: str, question: str, answer: Any, *, by: str, explanation: str) -> None:
    """Decide the answer of an item in dispute: its known answer from then on, on record like any decision about it.

    Raises ConflictError where a reviewer or an expert hasn't answered it themselves (`check_can_adjudicate`).
    """
    if len(explanation) > MAX_EXPLANATION_LENGTH:
        raise UserError("that is too long for an explanation", f"say it in {MAX_EXPLANATION_LENGTH:,} characters", where="explanation")
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        places = items.keys(connection, [item])
        if item not in places:
            raise UserError(f"a gold answer for an unknown item {item!r}", "add the item first")
        check_can_adjudicate(connection, by, places[item], key)
        document = _relabel_item(connection, key, asked, places[item], answer, explanation)
        curations.add(connection, key, places[item], "relabel", document, reason=explanation, example=False, by=by)
        events.record_event(connection, "gold set", {"question": question, "version": asked.version, "answers": {item: answer}})
        events.record_event(connection, "item adjudicated", {"item": item, "question": question, "answer": answer}, actor=by)


def rewritable_text(content: Mapping[str, Any]) -> str:
    """Return the part of a content that a rewriting changes: its text, its prompt, or the last user message."""
    if "messages" in content:
        return str(content["messages"][_last_user_turn(content["messages"])]["content"] or "")
    return str(content.get(_main_field(content), ""))


def undo_curation(project: Project, item: str, question: str, *, by: str) -> int:
    """Undo the valid decision about an item and return the number of the undo record.

    What the decision changed is as it was, and the decision before it is valid again. A known answer that somebody else set meanwhile
    stays. Where no decision is left, the item's suspects are open again.
    """
    with project.database.writing() as connection:
        key, _ = questions.get(connection, question)
        pk, _ = _find_item(connection, item)
        history = curations.list_by_item(connection, key, pk)
        left = curations.active_history(history, curations.retraction_times(connection))
        if not left:
            raise UserError(f"there is no decision about {item!r} to take back", "decide about it first")
        _, gone = curations.rewritten_items(connection, key)
        last = left[0]
        number = curations.add(connection, key, pk, "keep", {"undoes": last.number}, reason="", example=False, by=check_annotator_name(by))
        _restore_gold(connection, key, pk, history, last, left[1:])
        _reopen_item(connection, key, pk, [last], left[1:])
        _update_rewritten_gold(connection, key, gone ^ curations.rewritten_items(connection, key)[1])
        noted = {"item": item, "question": question, "action": "undo", "undoes": last.number, "number": number}
        events.record_event(connection, "item curated", noted, actor=by)
    return number


def list_guideline_examples(project: Project, question: str, *, limit: int = 50) -> list[GuidelineExample]:
    """List the decisions that are shown with the guidelines, the newest first."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        if not (found := curations.list_examples(connection, key, limit=limit)):
            return []  # most questions have none: their known answers needn't be read
        known = gold.list_answers(connection, key)
        new = [each.document["item"] for each, _ in found if each.action == "rewrite"]
        written = {row.item.id: row.item.text for row in queries.list_by_ids(connection, key, new)}
    return [
        GuidelineExample(
            each.item,
            Item(each.item, content, "").text,
            each.answer if each.answer is not None else known.get(each.item),
            each.action,
            each.reason,
            each.by,
            each.created,
            written.get(each.document.get("item", ""), ""),
        )
        for each, content in found
    ]


def list_recent_decisions(project: Project, question: str, *, limit: int = 50) -> list[CurationDecision]:
    """List the newest decisions by anybody."""
    with project.database.reading() as connection:
        return curations.list_latest(connection, questions.get(connection, question)[0], limit=limit)


def _check_reason(action: str, reason: str, example: bool) -> str:
    if action not in CURATION_ACTIONS:
        raise UserError(
            f"nothing is called {action!r}{suggest_name(action, CURATION_ACTIONS)}",
            f"actions: {', '.join(CURATION_ACTIONS)}",
            where="action",
        )
    reason = reason.strip()
    if len(reason) > MAX_REASON_LENGTH:
        raise UserError("that is too long for a reason", f"say it in {MAX_REASON_LENGTH:,} characters", where="reason")
    if not reason and (example or action == "reject"):
        what = "an example in the guidelines" if example else "leaving an item out"
        raise UserError(f"{what} needs a reason", "say why, in a sentence", where="reason")
    return reason


def _find_item(connection: Connection, item: str) -> tuple[int, Item]:
    found = queries.find_item(connection, item)
    if found is None:
        raise NotFoundError(f"there is no item {item!r}", "look for it by the beginning of its id")
    return found


def _relabel_item(connection: Connection, key: int, asked: Question, pk: int, answer: Any, reason: str) -> dict[str, Any]:
    if answer is None:
        raise UserError("which answer is the right one?", "choose one", where="answer")
    parsed = kinds.get(asked.kind).parse_consensus(asked, answer)
    before = gold.find_answer(connection, key, pk)
    gold.set_answers(connection, key, {pk: (parsed, reason)})
    return {"answer": parsed, "before": None if before is None else list(before)}


def _rewrite_item(
    project: Project, connection: Connection, key: int, asked: Question, pk: int, old: Item, text: str | None, answer: Any, by: str
) -> dict[str, Any]:
    """Add the rewritten item with its answer, as judged by the person who wrote it; return what is recorded of it."""
    if text is None or not text.strip():
        raise UserError("what shall it say?", "write the new text", where="text")
    content = _replace_text(old.content, text)
    if content == old.content:
        raise UserError("the text is as it was", "keep it, or change it", where="text")
    parsed = kinds.get(asked.kind).parse(asked, answer if answer is not None else _current_answer(connection, key, asked, pk))
    new = Item(f"{old.id}~{_text_digest(text)}", content, old.group, {**old.metadata, "rewritten_from": old.id}, old.purpose)
    items.add(connection, [new])
    place = items.keys(connection, [new.id])[new.id]
    for other, each in questions.list_active(connection):
        if not each.follows and each.purpose == new.purpose:
            target_count = 1 if other == key else project.config.redundancy.initial_judgments
            slots.open_slots(connection, other, [(place, new.id)], target_count=target_count)
    people.add(connection, [Annotator(check_annotator_name(by))])
    who = people.get_key(connection, by)
    judgment_log.add_judgment(connection, place, key, who, parsed, seconds=None, key=f"rewritten/{key}/{new.id}/{who}")
    gold.set_answers(connection, key, {place: (parsed, f"rewritten from {old.id}")})
    if (
        own := curations.active_decisions(connection, key).get(new.id)
    ) is not None and own.action in EXCLUDING_ACTIONS:  # written before, and excluded
        curations.add(connection, key, place, "keep", {}, reason=f"rewritten from {old.id} again", example=False, by=by)
    return {"item": new.id, "answer": parsed}


def _replace_text(content: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return a content with its main part replaced: the text, the prompt, or the last user message."""
    if "messages" not in content:
        return {**content, _main_field(content): text}
    turns = [dict(turn) for turn in content["messages"]]
    turns[_last_user_turn(turns)]["content"] = text
    return {**content, "messages": turns}


def _main_field(content: Mapping[str, Any]) -> str:
    return "text" if "text" in content else "prompt"


def _last_user_turn(turns: Sequence[Mapping[str, Any]]) -> int:
    """Return the position of the last user message, or of the last message where there is none."""
    return max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=len(turns) - 1)


def _current_answer(connection: Connection, key: int, asked: Question, pk: int) -> Any:
    """Return the answer of an item: the known one, else the one that all who judged it gave."""
    if (known := gold.find_answer(connection, key, pk)) is not None:
        return known[0]
    told = [each.answer for each in queries.filter_valid(queries.judgment_history(connection, pk), asked)]
    if told and all(each == told[0] for each in told):
        return told[0]
    raise UserError("which answer does the new text have?", "people gave the old one several, or none: choose one", where="answer")


def _check_merge_target(connection: Connection, key: int, item: str, into: str | None) -> str:
    """Return the item that another is merged into, which must itself be one that stays."""
    if into is None or into == item:
        raise UserError("which item shall it be merged into?", "name another one, which stays", where="into")
    _find_item(connection, into)
    if into in list_excluded_items(connection, key):
        raise UserError(f"{into!r} is left out itself", "merge into an item that stays", where="into")
    return into


def _close_slot(connection: Connection, key: int, asked: Question, pk: int, item: str) -> dict[str, int]:
    """Request no more judgments of a decided item; return how many were wanted, if it was asked.

    Annotators who hold it may still answer.
    """
    slot = queries.slots_by_question(connection, pk).get(asked.name)
    if slot is None or slot["target_count"] <= slot["judgment_count"]:
        return {}
    slots.set_target_counts(connection, key, {item: slot["judgment_count"]})
    return {"target_count": slot["target_count"]}


def _find_same_decision(
    stands: Sequence[CurationDecision], action: str, document: Mapping[str, Any], reason: str, example: bool, by: str
) -> int | None:
    """Return the number of the valid decision if it is the same: a form that was sent twice."""
    for last in stands:
        said = {name: last.document.get(name) for name in ("answer", "item", "into")}
        if (last.action, last.reason, last.example, last.by, said) == (
            action, reason, example, by, {name: document.get(name) for name in ("answer", "item", "into")},
        ):  # fmt: skip
            return last.number
    return None


def _list_related_items(connection: Connection, about: Sequence[SuspectItem]) -> list[RelatedItem]:
    found: dict[str, RelatedItem] = {}
    for suspect in about:
        for other in suspect.document.get("others", ()):
            place = queries.find_item(connection, other)
            if place is not None and other not in found:
                said = suspect.document.get("answers", {}).get(other, "")
                found[other] = RelatedItem(place[1], said, suspect.reason)
    return list(found.values())


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
