"""/manage/checks: what is wrong with a snapshot, row by row, and what can be done about it. Checks run in a process beside the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import RedirectResponse

from preceptor.annotation import MAX_REASON_LENGTH, AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.model_ancestry import MODEL_ID_PREFIX
from preceptor.models.base_models import BASE_ASSETS
from preceptor.project import Project
from preceptor.release import REBUILT_SUFFIX
from preceptor.snapshots import CheckFinding, CheckJobState, SnapshotCheckResult, build_difference_tables, summarize_differences
from preceptor.storage.snapshots import Snapshot
from preceptor.web.manage.page_context import (
    ManageVisitor,
    PostedForm,
    ReadVisitor,
    form_text,
    parse_whole_number,
    render_manager_page,
    request_project,
)

router = APIRouter()
_FIRST_ROWS, _PAGE_SIZE, _MAX_SNAPSHOTS = 10, 50, 50  # rows of a finding on the snapshot's page; on its own page; snapshots listed


@router.get("/manage/checks")
def checks_page(request: Request, visitor: ReadVisitor) -> Response:
    """List the snapshots, newest first, with what the latest check of each found."""
    project = request_project(request)
    rows = [_snapshot_row(project, row) for row in project.snapshots()[::-1][:_MAX_SNAPSHOTS]]
    return render_manager_page(request, "checks.html", visitor, rows=rows)


@router.get("/manage/checks/{name}")
def snapshot_checks_page(
    request: Request, visitor: ReadVisitor, name: str, finding: str = "", page: str = "", base: str = "", against: str = ""
) -> Response:
    """Show what was found in one snapshot, or all rows of one finding; start the checks, for no base, where none have run."""
    project = request_project(request)
    snapshot = project.load_snapshot(name)
    known = project.curation.get_check_state(snapshot, base or None)
    if known.result is None and not known.is_running and not known.error and not base:
        project.curation.start_checks(snapshot, None)
        known = project.curation.get_check_state(snapshot, None)
    return _checks_page(
        request, visitor, snapshot, known, finding=finding, start=parse_whole_number(page) * _PAGE_SIZE, base=base, against=against
    )


@router.post("/manage/checks/{name}")
def act_on_finding(request: Request, visitor: ManageVisitor, form: PostedForm, name: str) -> Response:
    """Act on a finding, or run the checks again."""
    project, action = request_project(request), form_text(form, "action")
    snapshot, base = project.load_snapshot(name), form_text(form, "base").strip()
    try:
        if action == "look":
            project.curation.start_checks(snapshot, _checked_base(base))
            return RedirectResponse(f"{request.url.path}{f'?base={quote(base)}' if base else ''}", status_code=303)
        made = _perform_action(project, snapshot, action, form, visitor, base or None)
    except UserError as error:
        known = project.curation.get_check_state(snapshot, base or None)
        return _checks_page(request, visitor, snapshot, known, base=base, error=error, at=form_text(form, "check"))
    if isinstance(made, str):
        known = project.curation.get_check_state(snapshot, base or None)
        return _checks_page(request, visitor, snapshot, known, base=base, notice=made)
    return RedirectResponse(f"/manage/checks/{made.digest}?against={snapshot.digest}", status_code=303)


def _checked_base(base: str) -> str | None:
    """Return a base by its name or a model's id; raise UserError for a folder of the server, which a page may not name."""
    if base and base not in BASE_ASSETS and not base.startswith(MODEL_ID_PREFIX):
        raise UserError(f"no base is called {base!r}", f"{', '.join(BASE_ASSETS)}, or the id of a model trained here", where="base")
    return base or None


def _perform_action(
    project: Project, snapshot: Snapshot, action: str, form: PostedForm, visitor: AuthenticatedVisitor, base: str | None
) -> Snapshot | str:
    """Return the snapshot that an action made, or a message about what it did."""
    check, name = form_text(form, "check"), form_text(form, "name").strip() or None
    known = project.curation.get_check_state(snapshot, base).result
    if known is None:
        raise UserError("nobody has looked through this snapshot yet", "look first")
    found, by = known.get_finding(check), visitor.name
    if action == "send":
        return project.curation.send_to_experts(snapshot, found, most=parse_whole_number(form_text(form, "most")) or None, by=by).summary
    if action == "merge":
        return project.curation.merge_duplicates(snapshot, found, by=by, name=name)
    if action == "mask":
        return project.curation.mask_personal_data(snapshot, by=by, name=name)
    if action == "drop":
        gone, reason = [row.item for row in found.rows], form_text(form, "reason")
        return project.curation.drop_rows(snapshot, gone, reason=reason, by=by, check=check, name=name)
    raise UserError("there is nothing to do", "choose what is done on the page of the checks")


def _checks_page(
    request: Request,
    visitor: AuthenticatedVisitor,
    snapshot: Snapshot,
    known: CheckJobState,
    *,
    finding: str = "",
    start: int = 0,
    base: str = "",
    against: str = "",
    error: UserError | None = None,
    at: str = "",
    notice: str = "",
) -> Response:
    project = request_project(request)
    name = next((row["name"] for row in project.snapshots()[::-1] if row["digest"] == snapshot.digest and row["name"]), None)
    shown = known.result.get_finding(finding) if finding and known.result else None
    values: dict[str, Any] = {"snapshot": snapshot, "name": name, "known": known, "base": base, "error": error, "at": at, "notice": notice}
    if not any(each.check == at and each.rows and each.action != "none" for each in (known.result.findings if known.result else ())):
        values["at"] = ""  # the finding has no form of its own: the error is shown at the top
    values |= {"address": request.url.path, "longest": MAX_REASON_LENGTH, "about": _derivation_sentence(project, snapshot)}
    if shown is not None:
        rows = _finding_rows(snapshot, shown, start, _PAGE_SIZE)
        return render_manager_page(request, "finding.html", visitor, finding=shown, rows=rows, start=start, size=_PAGE_SIZE, **values)
    found = _finding_contexts(snapshot, known.result) if known.result else []
    changed = project.curation.compare_snapshots(project.load_snapshot(against), snapshot) if against else None
    return render_manager_page(
        request, "checks_of.html", visitor, status=422 if error else 200, findings=found, clean=_clean_findings(known.result),
        changed=changed, changes=summarize_differences(changed) if changed else [],
        tables=build_difference_tables(changed) if changed else [],
        against=against, first=_FIRST_ROWS, **({"again": 2} if known.is_running else {}), **values,
    )  # fmt: skip


def _snapshot_row(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    found = project.curation.load_latest_result(row["digest"])
    return {**row, "found": [each for each in found.findings if each.found] if found else None}


def _finding_contexts(snapshot: Snapshot, checked: SnapshotCheckResult) -> list[dict[str, Any]]:
    """Return what was found, with the first rows and the charts of each finding; checks that found nothing are left out."""
    shown = [each for each in checked.findings if each.found or each.drawings]
    contents = _snapshot_contents(snapshot, (row.item for each in shown for row in each.rows[:_FIRST_ROWS]))
    return [
        {
            "finding": each,
            "rows": [{"suspect": row, "content": contents.get(row.item)} for row in each.rows[:_FIRST_ROWS]],
            "drawings": [{"title": drawn.title, "svg": Markup(drawn.svg), "caption": drawn.caption} for drawn in each.drawings],
        }
        for each in shown
    ]


def _clean_findings(checked: SnapshotCheckResult | None) -> list[CheckFinding]:
    return [each for each in checked.findings if not each.found and not each.drawings] if checked else []


def _finding_rows(snapshot: Snapshot, finding: CheckFinding, start: int, count: int) -> list[dict[str, Any]]:
    """Return rows of a finding, each with the content that it has in the snapshot."""
    chosen = finding.rows[start : start + count]
    contents = _snapshot_contents(snapshot, (each.item for each in chosen))
    return [{"suspect": each, "content": contents.get(each.item)} for each in chosen]


def _snapshot_contents(snapshot: Snapshot, items: Iterable[str]) -> dict[str, Any]:
    """Return contents as the snapshot holds them, never those of the items themselves: what is masked in it is masked on its pages."""
    wanted = frozenset(items)
    return {row.id: row.content for row in snapshot.rows() if row.id in wanted}


def _derivation_sentence(project: Project, snapshot: Snapshot) -> str:
    """Describe from which snapshot a derived one was made, how, by whom and why."""
    derived = snapshot.manifest.get("derived")
    if not derived:
        return ""
    done = {"merge": "merged", "reject": "left out", "mask": "masked", "erase": "rows erased", REBUILT_SUFFIX: "made again"}[
        derived["action"]
    ]
    rows = f"{derived['rows']:,} rows of " if "rows" in derived else ""
    return f"{rows}{derived['from'][:12]} {done} by {derived['by']}" + (f": {derived['reason']}" if derived.get("reason") else "")
