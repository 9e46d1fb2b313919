"""Curating: what people decide about items of a training set, one at a time, and what follows from it.

Nothing is mended by itself. A check names suspects; somebody keeps, relabels, rewrites or rejects each, with a reason that can
become an example in the guidelines. What was decided is never erased: a newer decision takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Annotator, Item, Question
from preceptor.errors import NotFound, UserError
from preceptor.project.curating.left_out import LEFT_OUT, left_out
from preceptor.project.curating.taking_back import follow, reopen, unknow
from preceptor.project.entries import LONGEST_EXPLANATION, LONGEST_REASON, annotator_name
from preceptor.project.guiding.deciding import check_may_decide
from preceptor.questions import kinds
from preceptor.registry import did_you_mean
from preceptor.store import curations, events, explore, gold, items, journal, people, questions, slots, suspects
from preceptor.store.curations import Curated
from preceptor.store.suspects import Suspected

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

ACTIONS = {
    "keep": "it is right as it is",
    "relabel": "its answer is another one",
    "rewrite": "its text is written anew",
    "reject": "it is left out of later snapshots",
    "merge": "it is the same as another, which stays",
}


@dataclass(frozen=True)
class Other:
    """An item that a suspect is about beside its own: a duplicate, what leaked. answer: as a snapshot holds it; words: why it is here."""

    item: Item
    answer: str
    words: str


@dataclass(frozen=True)
class CurationCase:
    """All that there is to decide about an item.

    suspects: why it is here, the gravest first. told: what each person said that stands. target, model: probabilities of answers, as a
    snapshot holds them and as a model thinks; empty where unknown. known: gold answer and explanation. history: the newest first.
    """

    item: Item
    question: Question
    suspects: Sequence[Suspected]
    told: Sequence[explore.Told]
    target: Mapping[str, float]
    model: Mapping[str, float]
    others: Sequence[Other]
    known: tuple[Any, str] | None
    history: Sequence[Curated]


@dataclass(frozen=True)
class Example:
    """A decision that stands beside the guidelines: what the item says, the answer that it was given (None where none), and why.

    rewritten: what it says now, "" where nobody wrote it anew.
    """

    item: str
    text: str
    answer: Any
    action: str
    reason: str
    by: str
    created: float
    rewritten: str = ""


def queue(project: Project, question: str, *, after: str = "", limit: int = 50, check: str | None = None) -> list[Suspected]:
    """Suspects that nobody has decided, the highest score first; after: the key of the last one seen."""
    with project.database.reading() as connection:
        return suspects.queue(connection, questions.get(connection, question)[0], after=after, limit=limit, check=check)


def counts(project: Project, question: str) -> dict[str, Any]:
    """How many items wait for a decision, how many are decided, and how many of each check are open."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        checks, decided = suspects.counts(connection, key)
        return {"open": suspects.open_count(connection, key), "decided": decided, "checks": checks}


def case(project: Project, question: str, item: str) -> CurationCase:
    """All that there is to decide about an item, by its id; NotFound where there is no such item."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        pk, what = _item(connection, item)
        about = suspects.of_item(connection, key, pk)
        told = explore.standing(explore.history(connection, pk), asked)
        first = about[0].document if about else {}
        model: Mapping[str, float] = next((suspect.document["model"] for suspect in about if suspect.document.get("model")), {})
        return CurationCase(
            what,
            asked,
            tuple(about),
            told,
            first.get("target", {}),
            model,
            tuple(_others(connection, about)),
            gold.of_item(connection, key, pk),
            curations.of_item(connection, key, pk),
        )


def curate(
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
    """Decide about an item; the decision's number. The same again by the same person changes nothing.

    keep: it is right as it is. relabel: `answer` becomes its known answer. rewrite: `text` becomes a new item of the same group with
    `answer` (or the old one's, where it is known or one answer alone was given), and the old one is left out of later snapshots. reject:
    it is left out. merge: so is it, and its judgments count for `into`. example: the reason stands with the guidelines.
    """
    reason = _checked(action, reason, example)
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        pk, what = _item(connection, item)
        _, gone = curations.rewritings(connection, key)
        about = suspects.of_item(connection, key, pk)
        document: dict[str, Any] = {"check": about[0].check, "snapshot": about[0].snapshot} if about else {"check": ""}
        if action == "relabel":
            document |= _relabelled(connection, key, asked, pk, answer, reason)
        elif action == "rewrite":
            document |= _rewritten(project, connection, key, asked, pk, what, text, answer, by)
        elif action == "merge":
            document |= {"into": _kept(connection, key, what.id, into)}
        stands = curations.before(curations.of_item(connection, key, pk), curations.gone(connection))[: not about]
        if (same := _the_same(stands, action, document, reason, example, by)) is not None:
            return same
        document |= _close(connection, key, asked, pk, item)
        number = curations.add(connection, key, pk, action, document, reason=reason, example=example, by=annotator_name(by))
        follow(connection, key, gone ^ curations.rewritings(connection, key)[1])
        noted = {"item": item, "question": question, "action": action, "reason": reason, "number": number, **document}
        events.record(connection, "item curated", noted, actor=by)
    return number


def adjudicate(project: Project, item: str, question: str, answer: Any, *, by: str, explanation: str) -> None:
    """Decide the answer of an item in dispute: its known answer from then on, on record like any decision about it.

    Conflict where a reviewer or an expert hasn't answered it themselves (`check_may_decide`).
    """
    if len(explanation) > LONGEST_EXPLANATION:
        raise UserError("that is too long for an explanation", f"say it in {LONGEST_EXPLANATION:,} characters", where="explanation")
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        places = items.keys(connection, [item])
        if item not in places:
            raise UserError(f"a gold answer for an unknown item {item!r}", "add the item first")
        check_may_decide(connection, by, places[item], key)
        document = _relabelled(connection, key, asked, places[item], answer, explanation)
        curations.add(connection, key, places[item], "relabel", document, reason=explanation, example=False, by=by)
        events.record(connection, "gold set", {"question": question, "version": asked.version, "answers": {item: answer}})
        events.record(connection, "item adjudicated", {"item": item, "question": question, "answer": answer}, actor=by)


def text_to_rewrite(content: Mapping[str, Any]) -> str:
    """The part of a content that a rewriting changes: its text, its prompt, or the last turn that asks."""
    if "messages" in content:
        return str(content["messages"][_asking(content["messages"])]["content"] or "")
    return str(content.get(_main_part(content), ""))


def undo(project: Project, item: str, question: str, *, by: str) -> int:
    """Take the decision that stands about an item back: what it changed is as it was, and the one before it stands again.

    A known answer that somebody else set meanwhile stays. Where no decision is left, the item's suspects are open again.
    """
    with project.database.writing() as connection:
        key, _ = questions.get(connection, question)
        pk, _ = _item(connection, item)
        history = curations.of_item(connection, key, pk)
        left = curations.before(history, curations.gone(connection))
        if not left:
            raise UserError(f"there is no decision about {item!r} to take back", "decide about it first")
        _, gone = curations.rewritings(connection, key)
        last = left[0]
        number = curations.add(connection, key, pk, "keep", {"undoes": last.number}, reason="", example=False, by=annotator_name(by))
        unknow(connection, key, pk, history, last, left[1:])
        reopen(connection, key, pk, [last], left[1:])
        follow(connection, key, gone ^ curations.rewritings(connection, key)[1])
        noted = {"item": item, "question": question, "action": "undo", "undoes": last.number, "number": number}
        events.record(connection, "item curated", noted, actor=by)
    return number


def examples(project: Project, question: str, *, limit: int = 50) -> list[Example]:
    """Decisions that stand beside the guidelines, the newest first."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        if not (found := curations.examples(connection, key, limit=limit)):
            return []  # which is so for most questions: their known answers needn't be read
        known = gold.answers(connection, key)
        new = [each.document["item"] for each, _ in found if each.action == "rewrite"]
        written = {row.item.id: row.item.text for row in explore.by_ids(connection, key, new)}
    return [
        Example(
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


def decided(project: Project, question: str, *, limit: int = 50) -> list[Curated]:
    """The newest decisions of everybody."""
    with project.database.reading() as connection:
        return curations.latest(connection, questions.get(connection, question)[0], limit=limit)


def _checked(action: str, reason: str, example: bool) -> str:
    if action not in ACTIONS:
        raise UserError(f"nothing is called {action!r}{did_you_mean(action, ACTIONS)}", f"actions: {', '.join(ACTIONS)}", where="action")
    reason = reason.strip()
    if len(reason) > LONGEST_REASON:
        raise UserError("that is too long for a reason", f"say it in {LONGEST_REASON:,} characters", where="reason")
    if not reason and (example or action == "reject"):
        what = "an example in the guidelines" if example else "leaving an item out"
        raise UserError(f"{what} needs a reason", "say why, in a sentence", where="reason")
    return reason


def _item(connection: Connection, item: str) -> tuple[int, Item]:
    found = explore.item(connection, item)
    if found is None:
        raise NotFound(f"there is no item {item!r}", "look for it by the beginning of its id")
    return found


def _relabelled(connection: Connection, key: int, asked: Question, pk: int, answer: Any, reason: str) -> dict[str, Any]:
    if answer is None:
        raise UserError("which answer is the right one?", "choose one", where="answer")
    parsed = kinds.get(asked.kind).parse_consensus(asked, answer)
    before = gold.of_item(connection, key, pk)
    gold.put(connection, key, {pk: (parsed, reason)})
    return {"answer": parsed, "before": None if before is None else list(before)}


def _rewritten(
    project: Project, connection: Connection, key: int, asked: Question, pk: int, old: Item, text: str | None, answer: Any, by: str
) -> dict[str, Any]:
    """Add the rewritten item with its answer, as one that the person who wrote it judged; what is noted of it."""
    if text is None or not text.strip():
        raise UserError("what shall it say?", "write the new text", where="text")
    content = _with_text(old.content, text)
    if content == old.content:
        raise UserError("the text is as it was", "keep it, or change it", where="text")
    parsed = kinds.get(asked.kind).parse(asked, answer if answer is not None else _present_answer(connection, key, asked, pk))
    new = Item(f"{old.id}~{_mark(text)}", content, old.group, {**old.metadata, "rewritten_from": old.id}, old.purpose)
    items.add(connection, [new])
    place = items.keys(connection, [new.id])[new.id]
    for other, each in questions.active(connection):
        if not each.follows and each.purpose == new.purpose:
            wanted = 1 if other == key else project.config.guidance.least
            slots.open_for(connection, other, [(place, new.id)], wanted=wanted)
    people.add(connection, [Annotator(annotator_name(by))])
    who = people.known_key(connection, by)
    journal.judge(connection, place, key, who, parsed, seconds=None, key=f"rewritten/{key}/{new.id}/{who}")
    gold.put(connection, key, {place: (parsed, f"rewritten from {old.id}")})
    if (own := curations.standing(connection, key).get(new.id)) is not None and own.action in LEFT_OUT:  # written before, and left out
        curations.add(connection, key, place, "keep", {}, reason=f"rewritten from {old.id} again", example=False, by=by)
    return {"item": new.id, "answer": parsed}


def _with_text(content: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A content whose main part says `text`: the text, the prompt, or the last turn that asks."""
    if "messages" not in content:
        return {**content, _main_part(content): text}
    turns = [dict(turn) for turn in content["messages"]]
    turns[_asking(turns)]["content"] = text
    return {**content, "messages": turns}


def _main_part(content: Mapping[str, Any]) -> str:
    return "text" if "text" in content else "prompt"


def _asking(turns: Sequence[Mapping[str, Any]]) -> int:
    """The place of the last turn that asks, or of the last one where none does."""
    return max((at for at, turn in enumerate(turns) if turn["role"] == "user"), default=len(turns) - 1)


def _present_answer(connection: Connection, key: int, asked: Question, pk: int) -> Any:
    """The answer that an item has: the known one, else the one that all who judged it gave."""
    if (known := gold.of_item(connection, key, pk)) is not None:
        return known[0]
    told = [each.answer for each in explore.standing(explore.history(connection, pk), asked)]
    if told and all(each == told[0] for each in told):
        return told[0]
    raise UserError("which answer does the new text have?", "people gave the old one several, or none: choose one", where="answer")


def _kept(connection: Connection, key: int, item: str, into: str | None) -> str:
    """The item that another is merged into, which must itself be one that stays."""
    if into is None or into == item:
        raise UserError("which item shall it be merged into?", "name another one, which stays", where="into")
    _item(connection, into)
    if into in left_out(connection, key):
        raise UserError(f"{into!r} is left out itself", "merge into an item that stays", where="into")
    return into


def _close(connection: Connection, key: int, asked: Question, pk: int, item: str) -> dict[str, int]:
    """Ask nobody further about an item that is decided; who holds it may still answer. How many judgments were wanted, if it was asked."""
    slot = explore.slots_of(connection, pk).get(asked.name)
    if slot is None or slot["wanted"] <= slot["given"]:
        return {}
    slots.want(connection, key, {item: slot["given"]})
    return {"wanted": slot["wanted"]}


def _the_same(stands: Sequence[Curated], action: str, document: Mapping[str, Any], reason: str, example: bool, by: str) -> int | None:
    """The number of the decision that stands where it says the same already: a form that was sent twice."""
    for last in stands:
        said = {name: last.document.get(name) for name in ("answer", "item", "into")}
        if (last.action, last.reason, last.example, last.by, said) == (
            action, reason, example, by, {name: document.get(name) for name in ("answer", "item", "into")},
        ):  # fmt: skip
            return last.number
    return None


def _others(connection: Connection, about: Sequence[Suspected]) -> list[Other]:
    found: dict[str, Other] = {}
    for suspect in about:
        for other in suspect.document.get("others", ()):
            place = explore.item(connection, other)
            if place is not None and other not in found:
                said = suspect.document.get("answers", {}).get(other, "")
                found[other] = Other(place[1], said, suspect.reason)
    return list(found.values())


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
