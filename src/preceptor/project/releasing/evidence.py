"""Asking for the evidence that open bounds lack: people's checks of a suite, or first judgments of items on the test side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.evaluation.wording import count
from preceptor.project.guiding.prioritising import FIRST
from preceptor.project.releasing.needs import Need, test_share, test_side
from preceptor.project.suites import running
from preceptor.store import events, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project


def queue(project: Project, model: Model, needs: Sequence[Need], *, by: str = "system") -> list[dict[str, Any]]:
    """Ask for what the needs want, as far as it is here; of each what was asked for, in words.

    Items on the test side go to the head of the queue, no more than are wanted, the same ones when asked again. Their answers count in
    the next snapshot, by which the model is trained and measured anew.
    """
    asked = [_ask_suite(project, model, need) for need in needs if need.suite is not None]
    about_rows = [need for need in needs if need.rows is not None and need.judgments is not None]
    if about_rows:
        asked.append(_ask_rows(project, model, about_rows))
    if total := sum(each["asked"] for each in asked):
        figures = sorted({figure for each in asked for figure in each["figures"]})
        with project.database.writing() as connection:
            events.record(connection, "evidence asked for", {"model": model.id, "figures": figures, "asked": total}, actor=by)
    return [*asked, *(_ask_nobody(need) for need in needs if need.judgments is None)]


def _ask_suite(project: Project, model: Model, need: Need) -> dict[str, Any]:
    """Put a suite's next responses before people; what was written and scored for it is kept, so that this takes no time."""
    name = str(need.suite)
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    rows = list(snapshot.rows("test"))
    looks = running.sections(project, model, [name], running.Wishes(need.judge), rows=rows)[name].get("looks") or {}
    waiting = int(looks.get("waiting") or 0)
    words = f"{name}: {count(waiting)} responses wait for people's answers." if waiting else f"{name}: all planned looks are done."
    return {"figures": [need.figure], "asked": waiting, "wanted": need.judgments or 0, "words": words}


def _ask_rows(project: Project, model: Model, needs: Sequence[Need]) -> dict[str, Any]:
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    wanted = max(need.rows or 0 for need in needs)
    chosen = test_side(project, snapshot)[:wanted]
    with project.database.writing() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        slots.prioritise(connection, key, dict.fromkeys(chosen, FIRST))
    words = f"{snapshot.question['name']}: {count(len(chosen))} items of the test side are asked about first."
    if lacking := wanted - len(chosen):
        share = test_share(snapshot) or 1.0
        words += f" {count(lacking)} more are needed: import about {count(lacking / share)} new items, of which {share:.0%} fall there."
    words += " Their answers count in the next snapshot: train on that, and evaluate anew."
    figures = [need.figure for need in needs]
    return {"figures": figures, "asked": len(chosen), "wanted": wanted, "items": chosen, "words": words}


def _ask_nobody(need: Need) -> dict[str, Any]:
    return {"figures": [need.figure], "asked": 0, "wanted": need.units, "words": need.words}
