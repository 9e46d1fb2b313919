"""Personal data out of what is kept: masked under the project's own key, so that one person's placeholder stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from preceptor.curation.personal import find, mask, new_key, placeholder
from preceptor.store import access

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


class Scrubber:
    """Masks texts under a key of at least 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """With the project's own key, which is made when first needed: one value has one placeholder in all of a project."""
        return cls(bytes.fromhex(access.setting(connection, "placeholders", new_key().hex())))

    def text(self, text: str) -> str:
        """A text with placeholders for what is personal in it."""
        return mask(text, find([text]), self._key)

    def document(self, value: Any) -> Any:
        """A JSON document with each of its texts masked; names of fields stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(each) for each in value]
        return {name: self.document(each) for name, each in value.items()} if isinstance(value, dict) else value

    def moved(self, text: str) -> Callable[[int], int]:
        """Where a character of a text lies once it is masked; what lay inside something personal lies at its placeholder's beginning."""
        longer = [
            (each.start, each.end, len(placeholder(each.kind, each.text, self._key)) - (each.end - each.start)) for each in find([text])
        ]

        def move(place: int) -> int:
            inside = next((start for start, end, _ in longer if start < place < end), place)
            return inside + sum(more for _, end, more in longer if end <= inside)

        return move


def scrub(project: Project, connection: Connection) -> Callable[[str], str]:
    """What people see of strangers' texts: without personal data, unless [serving] scrub is off. NUL characters, which models may write
    and databases can't keep, are replaced."""
    masked = Scrubber.of(connection).text if project.config.serving.scrub else str
    return lambda text: masked(text.replace("\0", "\ufffd"))
