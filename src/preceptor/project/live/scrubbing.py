"""What people see of strangers' conversations: without personal data, unless the project says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from preceptor.project.scrubbing import Scrubber
from preceptor.store import Connection

if TYPE_CHECKING:
    from preceptor.project.project import Project


def scrub(project: Project, connection: Connection) -> Callable[[str], str]:
    """A text with placeholders in place of personal data, the same for the same person in all of a project; with [serving] scrub off
    they stay. NUL characters, which models may write and databases can't keep, are replaced."""
    masked = Scrubber.of(connection).text if project.config.serving.scrub else str
    return lambda text: masked(text.replace("\0", "\ufffd"))
