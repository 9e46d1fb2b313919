"""/manage/checks: what is wrong with a snapshot, row by row, and what can be done about it. The looking goes on beside the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import RedirectResponse

from preceptor.errors import UserError
from preceptor.project import Project, Visitor, checking
from preceptor.project.assets import BASES
from preceptor.project.bases import MODEL
from preceptor.project.checking import background
from preceptor.project.checking.differing import in_words, tables
from preceptor.project.checking.findings import Checked, Finding
from preceptor.project.entries import LONGEST_REASON
from preceptor.project.retracting.remaking import AGAIN
from preceptor.snapshots import Snapshot
from preceptor.web.manage.desk import Form, Manager, Reader, project_of, show, text_of, whole

router = APIRouter()
FIRST, PAGE, SNAPSHOTS = 10, 50, 50  # rows of a finding on the page of all; on its own page; snapshots listed


@router.get("/manage/checks")
def checks(request: Request, visitor: Reader) -> Response:
    """The snapshots, the newest first, with what the newest look at each found."""
    project = project_of(request)
    rows = [_listed(project, row) for row in project.snapshots()[::-1][:SNAPSHOTS]]
    return show(request, "checks.html", visitor, rows=rows)


@router.get("/manage/checks/{name}")
def checks_of(
    request: Request, visitor: Reader, name: str, finding: str = "", page: str = "", base: str = "", against: str = ""
) -> Response:
    """What was found in one snapshot, or all rows of one finding; begun where nobody has looked yet, for no base in particular."""
    project = project_of(request)
    snapshot = project.load_snapshot(name)
    known = background.look(project, snapshot, base or None)
    if known.checked is None and not known.running and not known.fault and not base:
        background.begin(project, snapshot, None)
        known = background.look(project, snapshot, None)
    return _page(request, visitor, snapshot, known, finding=finding, start=whole(page) * PAGE, base=base, against=against)


@router.post("/manage/checks/{name}")
def act(request: Request, visitor: Manager, form: Form, name: str) -> Response:
    """Do what can be done about a finding, or look again."""
    project, action = project_of(request), text_of(form, "action")
    snapshot, base = project.load_snapshot(name), text_of(form, "base").strip()
    try:
        if action == "look":
            background.begin(project, snapshot, _known(base))
            return RedirectResponse(f"{request.url.path}{f'?base={quote(base)}' if base else ''}", status_code=303)
        made = _done(project, snapshot, action, form, visitor, base or None)
    except UserError as error:
        known = background.look(project, snapshot, base or None)
        return _page(request, visitor, snapshot, known, base=base, error=error, at=text_of(form, "check"))
    if isinstance(made, str):
        known = background.look(project, snapshot, base or None)
        return _page(request, visitor, snapshot, known, base=base, notice=made)
    return RedirectResponse(f"/manage/checks/{made.digest}?against={snapshot.digest}", status_code=303)


def _known(base: str) -> str | None:
    """A base by its name or a model's id; UserError for a folder of the server's, which isn't for a page to name."""
    if base and base not in BASES and not base.startswith(MODEL):
        raise UserError(f"no base is called {base!r}", f"{', '.join(BASES)}, or the id of a model trained here", where="base")
    return base or None


def _done(project: Project, snapshot: Snapshot, action: str, form: Form, visitor: Visitor, base: str | None) -> Snapshot | str:
    """The snapshot that an action made, or what is to be said of it."""
    check, name = text_of(form, "check"), text_of(form, "name").strip() or None
    known = background.look(project, snapshot, base).checked
    if known is None:
        raise UserError("nobody has looked through this snapshot yet", "look first")
    found, by = known.finding(check), visitor.name
    if action == "send":
        return checking.send(project, snapshot, found, most=whole(text_of(form, "most")) or None, by=by).words
    if action == "merge":
        return checking.merge(project, snapshot, found, by=by, name=name)
    if action == "mask":
        return checking.mask(project, snapshot, by=by, name=name)
    if action == "drop":
        gone, reason = [row.item for row in found.rows], text_of(form, "reason")
        return checking.drop(project, snapshot, gone, reason=reason, by=by, check=check, name=name)
    raise UserError("there is nothing to do", "choose what is done on the page of the checks")


def _page(
    request: Request,
    visitor: Visitor,
    snapshot: Snapshot,
    known: background.Look,
    *,
    finding: str = "",
    start: int = 0,
    base: str = "",
    against: str = "",
    error: UserError | None = None,
    at: str = "",
    notice: str = "",
) -> Response:
    project = project_of(request)
    name = next((row["name"] for row in project.snapshots()[::-1] if row["digest"] == snapshot.digest and row["name"]), None)
    shown = known.checked.finding(finding) if finding and known.checked else None
    values: dict[str, Any] = {"snapshot": snapshot, "name": name, "known": known, "base": base, "error": error, "at": at, "notice": notice}
    if not any(each.check == at and each.rows and each.action != "none" for each in (known.checked.findings if known.checked else ())):
        values["at"] = ""  # the finding has no form of its own: what went wrong is told above
    values |= {"address": request.url.path, "longest": LONGEST_REASON, "about": _about(project, snapshot)}
    if shown is not None:
        rows = _rows(snapshot, shown, start, PAGE)
        return show(request, "finding.html", visitor, finding=shown, rows=rows, start=start, size=PAGE, **values)
    found = _findings(snapshot, known.checked) if known.checked else []
    changed = checking.differences(project, project.load_snapshot(against), snapshot) if against else None
    return show(
        request, "checks_of.html", visitor, status=422 if error else 200, findings=found, clean=_clean(known.checked),
        changed=changed, changes=in_words(changed) if changed else [], tables=tables(changed) if changed else [],
        against=against, first=FIRST, **({"again": 2} if known.running else {}), **values,
    )  # fmt: skip


def _listed(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    found = background.newest(project, row["digest"])
    return {**row, "found": [each for each in found.findings if each.found] if found else None}


def _findings(snapshot: Snapshot, checked: Checked) -> list[dict[str, Any]]:
    """What was found, with the first rows of each and its pictures; what found nothing has no place of its own."""
    shown = [each for each in checked.findings if each.found or each.drawings]
    contents = _contents(snapshot, (row.item for each in shown for row in each.rows[:FIRST]))
    return [
        {
            "finding": each,
            "rows": [{"suspect": row, "content": contents.get(row.item)} for row in each.rows[:FIRST]],
            "drawings": [{"title": drawn.title, "svg": Markup(drawn.svg), "caption": drawn.caption} for drawn in each.drawings],
        }
        for each in shown
    ]


def _clean(checked: Checked | None) -> list[Finding]:
    return [each for each in checked.findings if not each.found and not each.drawings] if checked else []


def _rows(snapshot: Snapshot, finding: Finding, start: int, count: int) -> list[dict[str, Any]]:
    """Rows of a finding, each with the content that it has in the snapshot."""
    chosen = finding.rows[start : start + count]
    contents = _contents(snapshot, (each.item for each in chosen))
    return [{"suspect": each, "content": contents.get(each.item)} for each in chosen]


def _contents(snapshot: Snapshot, items: Iterable[str]) -> dict[str, Any]:
    """Contents as the snapshot holds them, never those of the items themselves: what is masked in it is masked on its pages."""
    wanted = frozenset(items)
    return {row.id: row.content for row in snapshot.rows() if row.id in wanted}


def _about(project: Project, snapshot: Snapshot) -> str:
    """Where a derived snapshot came from, in words."""
    derived = snapshot.manifest.get("derived")
    if not derived:
        return ""
    done = {"merge": "merged", "reject": "left out", "mask": "masked", "erase": "rows erased", AGAIN: "made again"}[derived["action"]]
    rows = f"{derived['rows']:,} rows of " if "rows" in derived else ""
    return f"{rows}{derived['from'][:12]} {done} by {derived['by']}" + (f": {derived['reason']}" if derived.get("reason") else "")
