"""A run with its functions to ask the project by: what `preceptor train --ask-people --judge` puts into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.project.consulting.asking import People
from preceptor.project.consulting.preference import PreferenceJudge, preference_judge
from preceptor.project.consulting.prompts import Prompts
from preceptor.project.consulting.unjudged import Unjudged
from preceptor.project.consulting.waiting import WaitsForPeople, waits
from preceptor.recipes import Run
from preceptor.recipes.consulting import Ask, Waiting
from preceptor.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Wishes:
    """Whom a run may ask. people: those of the project, or a function that answers in their place (simulated experts), or nobody.

    most: items that the project's people may be asked about in all. judge: a reward model, by its id or folder, or "".
    """

    people: bool | Ask = False
    most: int | None = None
    judge: str = ""


@dataclass(frozen=True)
class Consultants:
    """Who is there to be asked. judge: None where none was named."""

    wishes: Wishes
    judge: PreferenceJudge | None

    @classmethod
    def of(cls, project: Project, wishes: Wishes, options: Mapping[str, Any]) -> Consultants:
        """UserError for a judge that can't judge this run, and for a limit that means nothing."""
        if wishes.most is not None and (wishes.people is not True or wishes.most < 1):
            raise UserError("a limit of what people are asked needs people to ask, and 1 item at least", "--ask-people --ask-at-most 100")
        return cls(wishes, preference_judge(project, wishes.judge, options) if wishes.judge else None)

    @property
    def identity(self) -> list[str]:
        """What makes a run that may ask them another run; a function is known by its name and what it does, not by what it looks up."""
        people = self.wishes.people
        asked = [] if not people else ["people"] if people is True else _known_by(people)
        return [*asked, *([self.judge.weights] if self.judge else [])]


def _known_by(function: Any) -> list[str]:
    """The name of a function, or of a callable's class, and its code in the form of this Python."""
    function = function if hasattr(function, "__qualname__") else type(function).__call__
    return [f"{function.__module__}.{function.__qualname__}", *_code(getattr(function, "__code__", None))]


def _code(code: Any) -> list[str]:
    """What a code object does: bytecode, names and constants, of which some are the code of functions within."""
    if code is None:
        return []
    constants = [sorted(each, key=repr) if isinstance(each, frozenset) else each for each in code.co_consts]
    inside = [said for each in constants for said in (_code(each) if hasattr(each, "co_code") else [repr(each)])]
    return [code.co_code.hex(), *code.co_names, *inside]


def consulted(
    project: Project, consultants: Consultants, run: Run, snapshot: Snapshot, origin: Mapping[str, str], train: Callable[[Run], Model]
) -> Model:
    """What `train` makes of the run with what it may ask for; the manifest says what of it the run asked for.

    origin: what the items that people are asked about tell of where they came from. Where the run waits for people, what is raised
    says how many items, where, and at what price.
    """
    people, prompts = consultants.wishes.people, Prompts(snapshot)
    asked = People(project, snapshot, run.folder, prompts, origin, consultants.wishes.most)
    ask = asked if people is True else people or None
    unjudged = Unjudged(project, snapshot, run.folder, prompts)
    try:
        made = train(replace(run, unlabelled=unjudged, ask=ask, measure=consultants.judge))
    except Waiting as waiting:
        raise (_told(project, asked, waiting) if people is True else waiting) from None
    heard = {name: {"asked": count.items, "waiting": count.waiting} for name, count in asked.counts().items()}
    return _noted(made, {**({"people": heard} if people is True else {}), "unlabelled": unjudged.looked_at})


def _noted(made: Model, asked: Mapping[str, Any]) -> Model:
    """The model with what its run asked for, as far as it did: how far people are, and how many items it chose unlabelled ones from."""
    found = {name: value for name, value in asked.items() if value is not None}
    if not found:
        return made
    manifest = {**made.manifest, **found}
    with atomic_write(made.path / "manifest.json", "w") as file:
        json.dump(manifest, file, indent=2, ensure_ascii=False, allow_nan=False)
    return replace(made, manifest=manifest)


def _told(project: Project, people: People, waiting: Waiting) -> WaitsForPeople | UserError:
    told = waits(project, waiting.message, people.counts())
    if told.items or people.most is None or not people.beyond:
        return told
    more = f"it would have people asked about {people.beyond:,} items more than the {people.most:,} that it may"
    return UserError(
        f"{waiting.message.rstrip('.')}: {more}", f"--ask-at-most {people.most + people.beyond}, or less to ask in its options"
    )
