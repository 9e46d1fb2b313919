"""Annotators who answer otherwise than others in the same way again and again: they read the guidelines differently."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from preceptor.curation.disagreements import Disagreements, confusions, label_confusions
from preceptor.errors import UserError
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import whole_percent
from preceptor.project.checking.findings import Drawing, Finding, Suspect, excerpt
from preceptor.project.checking.subject import Subject
from preceptor.project.guiding.agreeing import Standing

DRAWN, LABEL = 8, 14  # disagreements, and characters of each name


def disagreements(subject: Subject) -> Finding:
    """Items that show how somebody differs from the others (from the known answers where there are any), beyond what chance would."""
    with subject.project.database.reading() as connection:
        standing = Standing.of(connection, subject.snapshot.question["name"])
    if standing.question.version != subject.snapshot.question["version"]:
        raise UserError("the question was changed since, and people answer another one now")
    found = _found(standing)
    held, told = subject.by_id, _told(standing)
    suspects: dict[str, Suspect] = {}
    for each in found.found:
        for item in each.items:
            if item in held:
                document = {"who": each.who, "kind": each.kind, "words": each.words}
                suspects.setdefault(item, Suspect(item, _here(told[item], each.who), each.share.value - each.usual, document=document))
    words = found.words if not found.found else f"{found.words}: {'; '.join(each.words for each in found.found[:3])}"
    rows = list(suspects.values())
    return Finding("people", "People who differ", words, len(found.found), rows, "experts" if rows else "none", _drawn(found))


def _told(standing: Standing) -> dict[str, dict[str, Any]]:
    """What each person answered about each item."""
    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for item, who, answer, _ in zip(*standing.columns, strict=True):
        told[item][who] = answer
    return told


def _here(told: Mapping[str, Any], who: str) -> str:
    """What somebody answered about one item, and what the others did, the most said first."""
    others = Counter(_plain(answer) for name, answer in told.items() if name != who).most_common()
    words = ", ".join(answer if count == 1 else f"{answer} ({count} people)" for answer, count in others)
    return f"{who} answered {_plain(told[who])} here" + (f", the others {words}" if words else ", and nobody else did")


def _plain(answer: Any) -> str:
    return (" and ".join(map(str, answer)) or "nothing") if isinstance(answer, list | tuple) else str(answer)


def _found(standing: Standing) -> Disagreements:
    kind, votes = standing.question.kind, standing.votes()
    what, who, said, _ = standing.columns
    if kind == "choice":
        return confusions(votes, gold=standing.sampled or None)
    if kind == "multilabel":
        return label_confusions(who, what, said, standing.question.options, gold=standing.sampled or None)
    if kind == "rating":
        from preceptor.curation.biases import rating_biases

        return rating_biases(who, what, [float(value) for value in said], gold=standing.sampled or None)
    raise UserError(f"how people differ in answers of kind {kind} can't be told yet")


def _drawn(found: Disagreements) -> list[Drawing]:
    shown = [each for each in found.found[:DRAWN] if 0 <= each.share.low <= each.share.high <= 1]
    if not shown:
        return []
    title = "How often they differ so"
    rows = [
        Row(f"{excerpt(each.who, LABEL)}: {excerpt(str(each.said), LABEL)} for {excerpt(str(each.others), LABEL)}", each.share, strong=True)
        for each in shown
    ]
    return [Drawing(title, str(interval_plot(title, rows, show=whole_percent, limits=(0.0, 1.0))), "Of the items that others answer so.")]
