"""What a request may need."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from preceptor.project import Access, Project
from preceptor.project.uploads import Uploads


@dataclass(frozen=True)
class State:
    """What the application holds for its requests."""

    project: Project
    access: Access
    uploads: Uploads


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.serving
    return state
