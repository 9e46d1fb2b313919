"""Check for annotators who systematically answer differently from the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_whole_percent
from preceptor.quality.annotator_disagreement import DisagreementSummary, find_confusions, find_label_confusions
from preceptor.reporting.charts import IntervalRow, interval_plot
from preceptor.snapshots.snapshot_checks import CheckChart, CheckContext, CheckFinding, SuspectRow, make_excerpt

_MAX_DRAWN_DISAGREEMENTS, _MAX_LABEL_CHARS = 8, 14  # disagreements in the chart, and characters of each name


def check_annotators(subject: CheckContext) -> CheckFinding:
    """Find items that show how an annotator differs from the others beyond what chance would explain.

    Known answers are the reference where there are any.
    """
    with subject.project.database.reading() as connection:
        standing = JudgmentSet.load(connection, subject.snapshot.question["name"])
    if standing.question.version != subject.snapshot.question["version"]:
        raise UserError("the question was changed since, and people answer another one now")
    found = _find_disagreements(standing)
    held, told = subject.by_id, _answers_by_item(standing)
    suspects: dict[str, SuspectRow] = {}
    for each in found.disagreements:
        for item in each.items:
            if item in held:
                document = {"who": each.who, "kind": each.kind, "summary": each.summary}
                suspects.setdefault(
                    item, SuspectRow(item, _describe_item(told[item], each.who), each.share.value - each.others_share, document=document)
                )
    words = found.summary if not found.disagreements else f"{found.summary}: {'; '.join(each.summary for each in found.disagreements[:3])}"
    rows = list(suspects.values())
    return CheckFinding(
        "people", "People who differ", words, len(found.disagreements), rows, "experts" if rows else "none", _draw_disagreements(found)
    )


def _answers_by_item(standing: JudgmentSet) -> dict[str, dict[str, Any]]:
    """Return each annotator's answers about each item."""
    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for item, who, answer, _ in zip(*standing.columns, strict=True):
        told[item][who] = answer
    return told


def _describe_item(told: Mapping[str, Any], who: str) -> str:
    """Describe what an annotator answered about one item, and what the others did, the most frequent answer first."""
    others = Counter(_format_answer(answer) for name, answer in told.items() if name != who).most_common()
    words = ", ".join(answer if count == 1 else f"{answer} ({count} people)" for answer, count in others)
    return f"{who} answered {_format_answer(told[who])} here" + (f", the others {words}" if words else ", and nobody else did")


def _format_answer(answer: Any) -> str:
    return (" and ".join(map(str, answer)) or "nothing") if isinstance(answer, list | tuple) else str(answer)


def _find_disagreements(standing: JudgmentSet) -> DisagreementSummary:
    kind, votes = standing.question.kind, standing.to_votes()
    what, who, said, _ = standing.columns
    if kind == "choice":
        return find_confusions(votes, gold=standing.sampled_gold or None)
    if kind == "multilabel":
        return find_label_confusions(who, what, said, standing.question.options, gold=standing.sampled_gold or None)
    if kind == "rating":
        from preceptor.quality.annotator_bias import find_rating_biases

        return find_rating_biases(who, what, [float(value) for value in said], gold=standing.sampled_gold or None)
    raise UserError(f"how people differ in answers of kind {kind} can't be told yet")


def _draw_disagreements(found: DisagreementSummary) -> list[CheckChart]:
    shown = [each for each in found.disagreements[:_MAX_DRAWN_DISAGREEMENTS] if 0 <= each.share.low <= each.share.high <= 1]
    if not shown:
        return []
    title = "How often they differ so"
    rows = [
        IntervalRow(
            (
                f"{make_excerpt(each.who, _MAX_LABEL_CHARS)}: {make_excerpt(str(each.answer), _MAX_LABEL_CHARS)} "
                f"for {make_excerpt(str(each.others_answer), _MAX_LABEL_CHARS)}"
            ),
            each.share,
            strong=True,
        )
        for each in shown
    ]
    return [
        CheckChart(
            title, str(interval_plot(title, rows, show=format_whole_percent, limits=(0.0, 1.0))), "Of the items that others answer so."
        )
    ]
