"""Looking through a snapshot: one check after the other, each result kept, so that the next look is instant."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import sealed_json, unsealed_json
from preceptor.project.checking.findings import Checked, Finding, Suspect
from preceptor.project.checking.subject import Subject
from preceptor.project.contents import BESIDE, CONTENT_FIELDS, item_from
from preceptor.recipes import Progress
from preceptor.registry import did_you_mean
from preceptor.snapshots import Snapshot
from preceptor.snapshots.completions import asked
from preceptor.store import tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project

VERSION = 3  # of what checks find: another one, and nothing kept holds
Listener = Callable[[Progress], None]


@dataclass(frozen=True)
class Check:
    """One look at a snapshot. where: its function, as `module:name`; gives: the findings that it makes, by name.

    hangs_on: what beside the rows its result rests on: "base", "live", "judgments". needs: without which it can't be made.
    """

    title: str
    where: str
    gives: tuple[str, ...]
    hangs_on: frozenset[str] = frozenset()

    def make(self, subject: Subject) -> Sequence[Finding]:
        module, _, name = self.where.partition(":")
        found = getattr(import_module(f"preceptor.project.checking.{module}"), name)(subject)
        return [found] if isinstance(found, Finding) else list(found)


CHECKS = (
    Check("duplicates", "repeats:duplicates", ("duplicates",)),
    Check("groups", "repeats:groups", ("groups",)),
    Check("leaks", "repeats:leaking", ("leaks", "quotes")),
    Check("forms", "repeats:templates", ("templates",)),
    Check("personal data", "personal:personal", ("personal",)),
    Check("label errors", "labels:labels", ("labels",), frozenset({"base"})),
    Check("people", "people:disagreements", ("people",), frozenset({"judgments"})),
    Check("batches", "drift:batches", ("batches",)),
    Check("live inputs", "drift:live", ("live",), frozenset({"live", "base"})),
    Check("lengths for the base", "reading:truncation", ("truncation",), frozenset({"base"})),
    Check("balance", "balancing:balancing", ("balance",)),
    Check("undecided rows", "plain:undecided", ("undecided",)),
    Check("empty rows", "plain:empty", ("empty",)),
)
NAMES = tuple(name for check in CHECKS for name in check.gives)


def check(
    project: Project,
    snapshot: Snapshot,
    *,
    base: str | None = None,
    live: str | Path | None = None,
    only: Collection[str] = (),
    vectors: bool = True,
    progress: Listener | None = None,
) -> Checked:
    """All findings, or those named in `only`, of a snapshot as it is; nothing is changed.

    base: the model that it shall train: its vectors, where it is an encoder, say which answer a text has, and its limits what is cut.
    live: a file of texts that a model meets in use.
    vectors: whether what needs vectors of the texts, which take minutes, is looked for. A check that can't be made says why, and
    the others go on.
    """
    began = time.monotonic()
    for name in only:
        if name not in NAMES:
            raise UserError(f"no check is called {name!r}{did_you_mean(name, NAMES)}", f"checks: {', '.join(NAMES)}")
    subject = Subject(project, snapshot, base, *_live(live), with_vectors=vectors)
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    chosen = [each for each in CHECKS if not only or set(each.gives) & set(only)]
    for each in chosen:
        subject.tell = _teller(progress, each.title)
        subject.tell(0, 1)
        try:
            made = _kept(each, subject)
        except UserError as error:
            skipped |= dict.fromkeys(each.gives, error.message)
            continue
        findings += [finding for finding in made if not only or finding.check in only]
    if only and not findings and skipped:
        raise UserError("; ".join(dict.fromkeys(skipped.values())))
    took = time.monotonic() - began
    found = Checked(snapshot.digest, snapshot.question["name"], snapshot.manifest["count"], findings, skipped, took)
    if not only and live is None and vectors:
        _keep(_result(project, snapshot, base), found.to_dict())
    return found


def kept_result(project: Project, snapshot: Snapshot, base: str | None) -> Checked | None:
    """What the newest look at all of a snapshot found, whatever was judged since; None where there was none."""
    try:
        return Checked.of(unsealed_json(_result(project, snapshot, base).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _result(project: Project, snapshot: Snapshot, base: str | None) -> Path:
    state = hashlib.sha256(json.dumps([VERSION, base]).encode()).hexdigest()[:16]
    return project.folder / "checks" / snapshot.digest / f"all-{state}.json"


def _keep(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(sealed_json(document))


def _kept(made: Check, subject: Subject) -> Sequence[Finding]:
    """What an earlier look found, where nothing that it hangs on has changed; else what is found now, and kept."""
    path = subject.project.folder / "checks" / subject.snapshot.digest / f"{made.gives[0]}-{_state(made, subject)}.json"
    try:
        return [Finding.of(each) for each in unsealed_json(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        found = [_told(each, subject) for each in made.make(subject)]
    _keep(path, [each.to_dict() for each in found])
    return found


def _told(finding: Finding, subject: Subject) -> Finding:
    """The finding, each of its rows with the side that it stands on and its answer, where that is one of few."""
    held = subject.by_id

    def more(suspect: Suspect) -> dict[str, Any]:
        row = held[suspect.item]
        said = {"answer": row.answer, "probability": max(row.target.values())} if subject.snapshot.answers else {}
        return {**said, "split": row.split, **suspect.document}

    return replace(finding, rows=tuple(replace(each, document=more(each)) if each.item in held else each for each in finding.rows))


def _state(made: Check, subject: Subject) -> str:
    """A digest of what the result of a check hangs on beside the rows."""
    parts: dict[str, Any] = {"version": VERSION}
    if "base" in made.hangs_on:
        parts["base"] = subject.base
    if "live" in made.hangs_on:
        parts["live"] = hashlib.sha256("\0".join(subject.live).encode("utf-8", "surrogatepass")).hexdigest()
    if "judgments" in made.hangs_on:
        with subject.project.database.reading() as connection:
            parts["judgments"] = tallies.version(connection)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _live(live: str | Path | None) -> tuple[Sequence[str], str]:
    """The texts of a file of inputs, and its name; UserError where there is none in it."""
    if live is None:
        return (), ""
    rows = read(live)
    texts = [text_of(asked(_content(row, rows.where))) for row in rows]
    if not texts:
        raise UserError(f"{Path(live).name} holds no inputs", "a file of what a model meets in use: a text, prompt or messages a row")
    return texts, Path(live).name


def _content(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """What a model met; a row of a single column is its text, whatever the column's name."""
    if len(row) == 1 and not set(row) & set(CONTENT_FIELDS):
        row = {"text": next(iter(row.values()))}
    return item_from({name: row[name] for name in (*CONTENT_FIELDS, *BESIDE) if row.get(name) is not None}, where=where).content


def _teller(progress: Listener | None, stage: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(stage, done, total))

    return tell
