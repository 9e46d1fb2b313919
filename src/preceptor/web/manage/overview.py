"""/manage: where the project stands, how fast it goes, what it costs, when it is done, and what to do next."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from preceptor.project.figures.figures import Figure, Figures
from preceptor.project.figures.overview import last_day
from preceptor.project.guiding.agreeing import totals
from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Reader, figures_of, project_of, show

router = APIRouter()
PATIENCE = 1.0  # seconds for which the page waits for figures
AGAIN = 2  # seconds after which the page looks for figures that lag


@router.get("/manage")
def overview(request: Request, visitor: Reader) -> Response:
    """Progress, pace, cost, agreement, forecast, audit, and the next thing to do."""
    found, hours = totals(project_of(request)), last_day(project_of(request))
    until = time.monotonic() + PATIENCE
    parts = [_part(figures_of(request), part, until) for part in found["questions"]]
    return show(
        request,
        "overview.html",
        visitor,
        found=found,
        questions=parts,
        hours=sum(hours),
        picture=drawings.last_day(hours, datetime.now(UTC).hour) if any(hours) else None,
        again=AGAIN if any(part["lags"] for part in parts) else None,
    )


def _part(figures: Figures, part: dict[str, Any], until: float) -> dict[str, Any]:
    """A question's part of the totals with what is computed beside the page, waited for until a moment, and whether that lags."""

    def get(name: str) -> Figure | None:
        return figures.get(name, part["name"], patience=max(0.0, until - time.monotonic()))

    done = part["slots"] - part["unfinished"]
    share = done / part["slots"] if part["slots"] else 0.0
    words = f"{done:,} of {part['slots']:,} items done"
    finish = get("finish") if part["unfinished"] else None
    certainty = get("certainty")
    if certainty is not None and certainty.fault is not None:
        raise certainty.fault
    return {
        **part,
        **({"agreement": None, "audit": None} if certainty is None else certainty.value),
        "done": done,
        "share": share,
        "bar": drawings.bar(share, words),
        "finish": finish.value if finish else None,
        "counting": certainty is None,
        "stale": certainty if certainty is not None and not certainty.newest else None,
        "lags": certainty is None or not certainty.newest,
    }
