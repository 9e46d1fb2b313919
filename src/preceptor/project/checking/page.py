"""What was found in a snapshot, for people: lines in a terminal, and one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from preceptor.evaluation.page import lay_out
from preceptor.evaluation.page.parts import Picture, Section, Table, Verdict
from preceptor.evaluation.wording import duration, sentence
from preceptor.project.checking.differing import differences, section
from preceptor.project.checking.findings import Checked, Finding, excerpt
from preceptor.project.curating.masking import Change
from preceptor.project.scrubbing import Scrubber
from preceptor.snapshots import Row, Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project

QUOTING = ("live", "templates")  # checks whose reasons hold pieces of texts
IN_TERMINAL, ON_PAGE = 20, 100  # rows of a finding that are shown; the page's data and --json hold all
COMMANDS = {
    "experts": "preceptor snapshot send {name} {check}",
    "merge": "preceptor snapshot merge {name} {check} --by NAME",
    "drop": "preceptor snapshot drop {name} {check} --reason WHY --by NAME",
    "mask": "preceptor snapshot mask {name} --by NAME",
}


def lines(checked: Checked) -> Iterator[str]:
    """A line a check, then each finding's first rows with their reasons and what can be done about them."""
    width = max([len(each.check) for each in checked.findings] + [len(check) for check in checked.skipped] + [0])
    for finding in checked.findings:
        yield f"{finding.check.ljust(width)}  {finding.found:>7,}  {finding.words}"
    for check, why in checked.skipped.items():
        yield f"{check.ljust(width)}  {'-':>7}  not looked for: {why}"
    for finding in checked.findings:
        if finding.rows:
            yield ""
            yield f"{finding.title}: {finding.found:,}"
            yield from (f"  {suspect.item}: {suspect.reason}" for suspect in finding.rows[:IN_TERMINAL])
            if len(finding.rows) > IN_TERMINAL:
                yield f"  … {len(finding.rows) - IN_TERMINAL:,} more: --json or --page FILE"
            if command := command_for(finding, checked):
                yield f"  {command}"


def command_for(finding: Finding, checked: Checked) -> str:
    """The command that does what can be done about a finding, "" where nothing can."""
    return COMMANDS.get(finding.action, "").format(name=checked.snapshot[:12], check=finding.check)


def render(project: Project, snapshot: Snapshot, checked: Checked, *, earlier: Snapshot | None = None) -> str:
    """One self-contained page; earlier: a snapshot, what changed since which is told as well. All rows found stand in its data.

    A page goes from hand to hand, so placeholders stand for personal data in it.
    """
    with project.database.writing() as connection:
        hide = Scrubber.of(connection).text
    rows = {row.id: row for row in snapshot.rows()}
    sections = [_section(finding, checked, rows, hide) for finding in checked.findings if finding.found or finding.drawings]
    if earlier is not None:
        sections.append(section(differences(project, earlier, snapshot), earlier.digest[:12]))
    facts = [
        ("snapshot", snapshot.digest[:12]),
        ("question", checked.question),
        ("rows", f"{checked.rows:,}"),
        ("took", duration(checked.seconds)),
    ]
    page = lay_out(f"Checks of {checked.question}", _verdict(checked), sections, facts)
    return page.replace("</body>", f"{_data(checked, hide)}</body>")


def _verdict(checked: Checked) -> Verdict:
    found = [each for each in checked.findings if each.found]
    clean = len(checked.findings) - len(found)
    headline = f"{len(found)} of {len(checked.findings)} checks found something in {checked.rows:,} rows; {clean} found nothing"
    bounds = [
        ("undecided" if each.found else "met", f"{each.title}{f': {each.found:,}' if each.found else ''}", f"{sentence(each.words)}.")
        for each in sorted(checked.findings, key=lambda each: not each.found)
    ]
    bounds += [("undecided", check, f"Not looked for: {why}.") for check, why in checked.skipped.items()]
    return Verdict("undecided" if found else "met", headline, bounds=bounds)


def _section(finding: Finding, checked: Checked, rows: dict[str, Row], hide: Change) -> Section:
    shown = finding.rows[:ON_PAGE]
    cells = [(each.item, _said(rows[each.item], hide) if each.item in rows else "", hide(each.reason)) for each in shown]
    caption = "Rows" if len(finding.rows) <= ON_PAGE else f"The first {ON_PAGE} of {len(finding.rows):,} rows; the page's data hold all"
    tables = [Table(caption, ("item", "text, answer", "why"), cells, numeric=False)] if cells else []
    command = command_for(finding, checked)
    return Section(
        finding.check,
        finding.title,
        [f"{sentence(finding.words)}.", *([f"What can be done: {command}"] if command and finding.found else [])],
        [Picture(each.title, Markup(each.svg), each.caption) for each in finding.drawings],
        tables,
    )


def _said(row: Row, hide: Change) -> str:
    answer = f"{excerpt(hide(row.answer), 60)} ({max(row.target.values()):.0%})"
    return f"{excerpt(hide(row.text))}\n{answer}, {row.split}"


def _data(checked: Checked, hide: Change) -> str:
    """All that was found as JSON in a block that a browser never runs."""
    told = [
        replace(
            each,
            drawings=(),
            rows=tuple(replace(row, reason=hide(row.reason)) for row in each.rows) if each.check in QUOTING else each.rows,
        )
        for each in checked.findings
    ]
    document = replace(checked, findings=told).to_dict()
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'<script type="application/json" id="checks">{text}</script>\n'
