"""Documents added from files and folders, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import Conflict, UserError
from preceptor.project.documents.documents import Documents
from preceptor.retrieval.reading import MEDIA

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass
class Added:
    """What came of it: a row each document, what couldn't be read and why, and which files of a folder were no documents."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    refused: list[UserError] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        refused = [{"where": fault.where, "message": fault.message, "hint": fault.hint} for fault in self.refused]
        return {"documents": self.rows, "refused": refused, "passed_over": self.passed_over}


def add_files(
    project: Project,
    paths: Sequence[Path],
    *,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    by: str = "system",
    tell: Callable[[int, int], None] | None = None,
) -> Added:
    """Add files, and what folders hold of text, Markdown, HTML and PDF; a file under its name, in a folder under its path from there.

    A file that can't be read is told of, and the others are added; UserError when it is the only one. Conflict, and nothing is added,
    when two would have one name.
    """
    done, documents = Added(), Documents(project)
    for called, path in _named(paths, name, done).items():
        try:
            done.rows.append(documents.add(path, name=called, metadata=metadata, by=by, index=False))
        except UserError as error:
            done.refused.append(UserError(error.message, error.hint, where=error.where or called))
    if not done.rows and len(done.refused) == 1:
        raise done.refused[0]
    if any(row["new"] for row in done.rows):
        documents.index(tell)
    return done


def _named(paths: Sequence[Path], name: str, done: Added) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for called, path in _files(paths, done):
        if (other := found.setdefault(name or called, path)) != path:
            hint = "add the folder above both, whose paths tell them apart, or one after the other with --name"
            raise Conflict(f"{other} and {path} would both be called {name or called!r}", hint)
    if not found:
        raise UserError("there is no text, Markdown, HTML or PDF in it", f"names end with {', '.join(MEDIA)}", where=str(paths[0]))
    return found


def _files(paths: Sequence[Path], done: Added) -> Iterator[tuple[str, Path]]:
    for given in paths:
        if not given.is_dir():
            yield given.name, given
            continue
        for path in sorted(given.rglob("*")):
            below = path.relative_to(given)
            if any(part.startswith(".") for part in below.parts) or not path.is_file():
                continue
            if path.suffix.lower() in MEDIA:
                yield below.as_posix(), path
            else:
                done.passed_over.append(below.as_posix())
