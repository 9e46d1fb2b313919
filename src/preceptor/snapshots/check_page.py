"""Present findings and differences between snapshots as terminal lines and as one self-contained HTML page.

A difference lists rows, answers, splits, and the people whose judgments came or went, with the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from preceptor.errors import NotFoundError
from preceptor.evaluation.number_format import capitalize_first, format_duration
from preceptor.reporting.html_page import render_page
from preceptor.reporting.page_elements import PagePicture, PageSection, PageTable, PageVerdict
from preceptor.snapshots.builder import TextChange
from preceptor.snapshots.curation import exclusion_reason, list_excluded_items
from preceptor.snapshots.snapshot_checks import CheckFinding, SnapshotCheckResult, make_excerpt
from preceptor.storage import curations, provenance, questions
from preceptor.storage.curations import CurationDecision
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot, diff_snapshots
from preceptor.workspace import PiiRedactor

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_LISTED_ROWS = 20  # rows of a list in a table; documents hold all


def compare_snapshots(project: Project, before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return `diff_snapshots` with the people whose judgments came and went, and the reasons for which rows were removed, by item id."""
    found = diff_snapshots(before, after)
    with project.database.reading() as connection:
        people = {side: provenance.count_judgments_by_annotator(connection, numbers) for side, numbers in found["judgments"].items()}
        try:
            key, _ = questions.get(connection, after.question["name"])
            gone, stands = list_excluded_items(connection, key), curations.active_decisions(connection, key)
        except NotFoundError:
            gone, stands = {}, {}
    why = {
        item: _decision_document(gone[item], exclusion_reason(gone[item].action, gone[item].reason))
        for item in found["removed"]
        if item in gone
    }
    changed = {item: stands[item] for item in found["targets"] if item in stands and stands[item].action == "relabel"}
    found["relabelled"] = {item: {"answer": each.answer, **_decision_document(each, each.reason)} for item, each in changed.items()}
    return {**found, "judgments": {side: len(numbers) for side, numbers in found["judgments"].items()}, "people": people, "why": why}


def _decision_document(decision: CurationDecision, reason: str) -> dict[str, Any]:
    """Return why a row changed or was removed, who decided so, and where it was merged into or rewritten as."""
    into = decision.document.get("into") or decision.document.get("item")
    return {"reason": reason, "by": decision.by, **({"into": into} if into else {})}


def summarize_differences(found: dict[str, Any]) -> list[str]:
    """Return a difference in sentences, the most important first."""
    told = [
        f"{found['rows'][0]:,} rows became {found['rows'][1]:,}: {len(found['added']):,} came, {len(found['removed']):,} went",
        f"{sum(found['moves'].values()):,} changed their answer, {len(found['targets']):,} their target, "
        f"{len(found['splits']):,} their side, {len(found['weights']):,} their weight, {len(found['contents']):,} their content",
    ]
    for side, word in (("came", "came"), ("went", "went")):
        if found["judgments"][side]:
            who = ", ".join(f"{name} {count:,}" for name, count in _most_frequent(found["people"][side]))
            told.append(f"{found['judgments'][side]:,} judgments {word}: {who}")
    return told


def build_difference_tables(found: dict[str, Any]) -> list[PageTable]:
    """Return a difference as tables: answers, moves, people, and the rows that changed most."""
    made = []
    changed = {label: counts for label, counts in found["labels"].items() if counts[0] != counts[1]}
    if changed:
        rows = [(label, f"{was:,}", f"{now:,}", f"{now - was:+,}".replace("-", "−")) for label, (was, now) in changed.items()]
        made.append(PageTable("Answers that became more or fewer", ("answer", "before", "after", "change"), rows))
    if found["moves"]:
        made.append(
            PageTable("Rows whose answer changed", ("from → to", "rows"), [(words, f"{n:,}") for words, n in found["moves"].items()])
        )
    people = sorted({*found["people"]["came"], *found["people"]["went"]})
    if people:
        rows_of = [(name, f"{found['people']['came'].get(name, 0):,}", f"{found['people']['went'].get(name, 0):,}") for name in people]
        made.append(PageTable("People whose judgments came or went", ("who", "came", "went"), rows_of))
    if found["removed"]:
        why = found["why"]
        went = [
            (item, *_decision_cells(why.get(item, {})), why.get(item, {}).get("into", "")) for item in found["removed"][:_MAX_LISTED_ROWS]
        ]
        caption = _limited_caption("Rows that went", len(found["removed"]))
        made.append(PageTable(caption, ("item", "why", "decided by", "now in"), went, numeric=False))
    if found["targets"]:
        most = sorted(found["targets"].items(), key=lambda pair: (-pair[1], pair[0]))[:_MAX_LISTED_ROWS]
        moved = [(item, f"{distance:.3f}") for item, distance in most]
        made.append(PageTable(_limited_caption("Targets that changed most", len(found["targets"])), ("item", "distance"), moved))
    if relabelled := found["relabelled"]:
        given = [(item, str(each["answer"]), *_decision_cells(each)) for item, each in list(relabelled.items())[:_MAX_LISTED_ROWS]]
        made.append(
            PageTable(
                _limited_caption("Rows that were relabelled", len(relabelled)), ("item", "to", "why", "decided by"), given, numeric=False
            )
        )
    return made


def build_difference_section(found: dict[str, Any], before: str) -> PageSection:
    """Return a difference as a section of the checks' page."""
    return PageSection(
        "changes",
        f"What changed since {before}",
        [f"{sentence}." for sentence in summarize_differences(found)],
        tables=build_difference_tables(found),
    )


def _decision_cells(why: dict[str, Any]) -> tuple[str, str]:
    return why.get("reason", ""), why.get("by", "")


def _most_frequent(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_MAX_LISTED_ROWS]


def _limited_caption(caption: str, count: int) -> str:
    return caption if count <= _MAX_LISTED_ROWS else f"{caption}: the first {_MAX_LISTED_ROWS} of {count:,}"


_QUOTING_CHECKS = ("live", "templates")  # checks whose reasons quote pieces of texts
_MAX_TERMINAL_ROWS, _MAX_PAGE_ROWS = 20, 100  # rows of a finding that are shown; the page's data and --json hold all
_ACTION_COMMANDS = {
    "experts": "preceptor snapshot review {name} {check}",
    "merge": "preceptor snapshot dedupe {name} {check} --by NAME",
    "drop": "preceptor snapshot drop {name} {check} --reason WHY --by NAME",
    "mask": "preceptor snapshot mask {name} --by NAME",
}


def summary_lines(checked: SnapshotCheckResult) -> Iterator[str]:
    """Yield a line for each check, then each finding's first rows with their reasons and the action to take."""
    width = max([len(each.check) for each in checked.findings] + [len(check) for check in checked.skipped] + [0])
    for finding in checked.findings:
        yield f"{finding.check.ljust(width)}  {finding.found:>7,}  {finding.summary}"
    for check, why in checked.skipped.items():
        yield f"{check.ljust(width)}  {'-':>7}  not looked for: {why}"
    for finding in checked.findings:
        if finding.rows:
            yield ""
            yield f"{finding.title}: {finding.found:,}"
            yield from (f"  {suspect.item}: {suspect.reason}" for suspect in finding.rows[:_MAX_TERMINAL_ROWS])
            if len(finding.rows) > _MAX_TERMINAL_ROWS:
                yield f"  … {len(finding.rows) - _MAX_TERMINAL_ROWS:,} more: --json or --page FILE"
            if command := action_command(finding, checked):
                yield f"  {command}"


def action_command(finding: CheckFinding, checked: SnapshotCheckResult) -> str:
    """Return the command that acts on a finding, "" where there is none."""
    return _ACTION_COMMANDS.get(finding.action, "").format(name=checked.snapshot[:12], check=finding.check)


def render_check_page(project: Project, snapshot: Snapshot, checked: SnapshotCheckResult, *, earlier: Snapshot | None = None) -> str:
    """Render one self-contained page of a snapshot's findings; its data holds all rows found.

    earlier: a snapshot to compare with, whose differences are shown as well. Personal data are replaced by placeholders, since such a page
    is passed on.
    """
    with project.database.writing() as connection:
        hide = PiiRedactor.from_connection(connection).redact_text
    rows = {row.id: row for row in snapshot.rows()}
    sections = [_finding_section(finding, checked, rows, hide) for finding in checked.findings if finding.found or finding.drawings]
    if earlier is not None:
        sections.append(build_difference_section(compare_snapshots(project, earlier, snapshot), earlier.digest[:12]))
    facts = [
        ("snapshot", snapshot.digest[:12]),
        ("question", checked.question),
        ("rows", f"{checked.rows:,}"),
        ("took", format_duration(checked.seconds)),
    ]
    page = render_page(f"Checks of {checked.question}", _page_verdict(checked), sections, facts)
    return page.replace("</body>", f"{_embedded_data(checked, hide)}</body>")


def _page_verdict(checked: SnapshotCheckResult) -> PageVerdict:
    found = [each for each in checked.findings if each.found]
    clean = len(checked.findings) - len(found)
    headline = f"{len(found)} of {len(checked.findings)} checks found something in {checked.rows:,} rows; {clean} found nothing"
    bounds = [
        (
            "undecided" if each.found else "met",
            f"{each.title}{f': {each.found:,}' if each.found else ''}",
            f"{capitalize_first(each.summary)}.",
        )
        for each in sorted(checked.findings, key=lambda each: not each.found)
    ]
    bounds += [("undecided", check, f"Not looked for: {why}.") for check, why in checked.skipped.items()]
    return PageVerdict("undecided" if found else "met", headline, bounds=bounds)


def _finding_section(finding: CheckFinding, checked: SnapshotCheckResult, rows: dict[str, SnapshotRow], hide: TextChange) -> PageSection:
    shown = finding.rows[:_MAX_PAGE_ROWS]
    cells = [(each.item, _row_excerpt(rows[each.item], hide) if each.item in rows else "", hide(each.reason)) for each in shown]
    caption = (
        "Rows"
        if len(finding.rows) <= _MAX_PAGE_ROWS
        else f"The first {_MAX_PAGE_ROWS} of {len(finding.rows):,} rows; the page's data hold all"
    )
    tables = [PageTable(caption, ("item", "text, answer", "why"), cells, numeric=False)] if cells else []
    command = action_command(finding, checked)
    return PageSection(
        finding.check,
        finding.title,
        [f"{capitalize_first(finding.summary)}.", *([f"What can be done: {command}"] if command and finding.found else [])],
        [PagePicture(each.title, Markup(each.svg), each.caption) for each in finding.drawings],
        tables,
    )


def _row_excerpt(row: SnapshotRow, hide: TextChange) -> str:
    answer = f"{make_excerpt(hide(row.answer), 60)} ({max(row.target.values()):.0%})"
    return f"{make_excerpt(hide(row.text))}\n{answer}, {row.split}"


def _embedded_data(checked: SnapshotCheckResult, hide: TextChange) -> str:
    """Return all findings as JSON in a block that a browser never runs."""
    told = [
        replace(
            each,
            drawings=(),
            rows=tuple(replace(row, reason=hide(row.reason)) for row in each.rows) if each.check in _QUOTING_CHECKS else each.rows,
        )
        for each in checked.findings
    ]
    document = replace(checked, findings=told).to_dict()
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'<script type="application/json" id="checks">{text}</script>\n'
