"""What a request may need."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from preceptor.project import Access, Project
from preceptor.web.pages import Pages
from preceptor.web.turns import Turns
from preceptor.web.visitors import Visitors


@dataclass(frozen=True)
class State:
    """What the application holds for its requests."""

    project: Project
    access: Access
    visitors: Visitors
    pages: Pages
    turns: Turns


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.preceptor
    return state
