"""A turn of the loop: what it shall do, one at a time, taken up where it was left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.locking import held
from preceptor.project.consulting import WaitsForPeople
from preceptor.project.cycling.steps import STEPS
from preceptor.project.live.questions import FIELDS
from preceptor.project.told import to_freeze
from preceptor.project.training import training
from preceptor.recipes import recipes
from preceptor.recipes.processes import refuse_several_processes
from preceptor.store import cycles, questions, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

LOCK = "cycle.lock"  # in the project's folder; a process that ends, however, lets go of it


@dataclass(frozen=True)
class Plan:
    """What a turn does; see the table [cycle] in preceptor.toml, whose values stand where nothing else is wished."""

    questions: tuple[str, ...]
    recipe: str
    base: str
    options: Mapping[str, Any]
    seed: int
    suites: tuple[str, ...]
    alias: str
    least: int

    @classmethod
    def of(cls, project: Project, **wishes: Any) -> Plan:
        """The project's own plan, with what is wished in the place of its values; UserError for what can't be.

        options: of the recipe; those of the file belong to the recipe that is named there.
        """
        own = project.config.cycle.model_dump()
        given = {name: value for name, value in wishes.items() if value not in (None, (), {})}
        if given.get("recipe", own["recipe"]) != own["recipe"]:
            own["options"] = {}
        options = {**own["options"], **given.pop("options", {})}
        made = {**own, **given, "options": options}
        made["questions"] = _asked(project, made["questions"]) or (to_freeze(project, None),)
        plan = cls(**{**made, "suites": tuple(made["suites"])})
        for name in plan.questions:
            project.question(name)
        recipes.get(plan.recipe).Options.parse(plan.options, of=f"recipe {plan.recipe!r}")
        return plan

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "questions": list(self.questions), "suites": list(self.suites), "options": dict(self.options)}


def _asked(project: Project, names: Sequence[str]) -> tuple[str, ...]:
    """Questions by name, without those about what is served that nobody has been asked yet: the first correction brings them."""
    with project.database.reading() as connection:
        there = {question.name for _, question in questions.active(connection)}
    return tuple(name for name in names if name in there or name not in FIELDS) or tuple(names)


@dataclass(frozen=True)
class Turn:
    """A turn that goes on. number: which of the project's it is; begun: when (Unix time)."""

    project: Project
    id: str
    number: int
    begun: float
    plan: Plan
    progress: training.Listener | None

    @property
    def questions(self) -> tuple[str, ...]:
        return self.plan.questions


@dataclass(frozen=True)
class Turned:
    """How a turn ended. outcome: asked (a person may release the model), refused (the gate, or worse than what stands), waits (for
    people, whom a recipe asks), nothing (new since the last turn), running (another process is at it)."""

    outcome: str
    words: str
    document: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0: done, or nothing to do. 3: a gate refused, or people are waited for."""
        return 3 if self.outcome in ("refused", "waits") else 0


def turn(project: Project, plan: Plan, *, progress: training.Listener | None = None) -> Turned:
    """One turn: aggregate, snapshot, train, evaluate, compare, ask for a release. What fails is a UserError, and the turn has failed.

    One that a kill has stopped goes on after the last step that was done, unless something else is wished now.
    """
    refuse_several_processes()
    with _alone(project) as holder:
        if holder is not None:
            return Turned("running", f"a turn is running{holder}; this one does nothing", {})
        state = _state(project, plan)
        row = _unfinished(project, plan)
        if row is None:
            if (why := _nothing(project, plan, state)) is not None:
                return Turned("nothing", why, {})
            with project.database.writing() as connection:
                row = cycles.add(connection, {"plan": plan.to_dict(), "state": state, "number": cycles.count(connection) + 1, "steps": {}})
        return _walk(Turn(project, row["id"], row["document"]["number"], row["created"], plan, progress), dict(row["document"]))


def _walk(current: Turn, document: dict[str, Any]) -> Turned:
    """Step by step; each that is done is noted before the next begins."""
    made: dict[str, Any] = dict(document["steps"])
    resumed = bool(made)
    for name, step in STEPS.items():
        if name in made:
            continue
        try:
            made[name] = step(current, made)
        except WaitsForPeople as waiting:
            return Turned("waits", str(waiting), {"turn": current.id, "steps": made, **waiting.document})
        except UserError as fault:
            _note(current, {**document, "steps": made, "fault": str(fault)}, cycles.FAILED)
            raise
        if name == "snapshot" and (before := _same_rows(current, made["snapshot"]["digest"])) is not None:
            _note(current, {**document, "steps": made, "outcome": "nothing"}, cycles.DONE)
            return Turned("nothing", f"the rows are those that {before} was trained on", {"turn": current.id, "steps": made})
        _note(current, {**document, "steps": made}, cycles.RUNNING)
    outcome, words = _outcome(made)
    _note(current, {**document, "steps": made, "outcome": outcome}, cycles.DONE)
    return Turned(outcome, words, {"turn": current.id, "resumed": resumed, "model": made["train"]["model"], "steps": made})


def _outcome(made: Mapping[str, Any]) -> tuple[str, str]:
    model, said = made["train"]["model"], made["ask"]
    if said["passed"]:
        return "asked", f"{model} meets the gate, and waits for a person: preceptor release {model} --by NAME"
    if said["worse"]:
        return "refused", f"{model} is clearly worse than {made['compare']['model']}, which stands: nobody is asked to release it"
    asked = sum(each["asked"] for each in said["queued"])
    more = f" {asked} items were put before people for what is open." if asked else ""
    return "refused", f"{model}: {said['gate']}{more}"


def _nothing(project: Project, plan: Plan, state: Mapping[str, int]) -> str | None:
    """Why there is nothing to do; None where there is."""
    last = next(iter(_ended(project, plan)), None)
    before: Mapping[str, int] = last["document"]["state"] if last is not None else {}
    new = state["judgments"] - before.get("judgments", 0)
    taken_out = any(state[name] != before.get(name, 0) for name in state if name != "judgments")
    if new >= plan.least or (taken_out and last is not None) or (taken_out and new > 0):
        return None
    if last is None and not state["judgments"]:
        return f"nobody has judged {' or '.join(plan.questions)} yet"
    return f"{new} new judgments since the last turn, of {plan.least} that it takes" if new else "nothing is new since the last turn"


def _ended(project: Project, plan: Plan) -> list[Mapping[Any, Any]]:
    """The turns of the same plan that ended, the newest first; least and alias may differ."""
    with project.database.reading() as connection:
        return [row for row in cycles.done(connection) if _alike(row["document"]["plan"], plan.to_dict())]


def _same_rows(current: Turn, digest: str) -> str | None:
    """The model that the last turn of the same plan which trained one made of the very same rows, else one that was trained on them
    as the plan says before there was a turn, as by `preceptor quickstart`; None where there is none."""
    made = (row["document"]["steps"] for row in _ended(current.project, current.plan))
    steps = next((each for each in made if "train" in each), None)
    if steps is not None:
        return str(steps["train"]["model"]) if steps["snapshot"]["digest"] == digest else None
    return _trained_before(current, digest)


def _trained_before(current: Turn, digest: str) -> str | None:
    plan = current.plan
    options = recipes.get(plan.recipe).Options.parse(plan.options, of=f"recipe {plan.recipe!r}").model_dump(mode="json")
    wanted = {"recipe": plan.recipe, "snapshot": digest, "seed": plan.seed, "options": options}
    with current.project.database.reading() as connection:
        rows = [(row["id"], json.loads(row["manifest"])) for row in records.models(connection)]
    same = (id_ for id_, made in rows if all(made.get(name) == value for name, value in wanted.items()) and _is_base(plan, made["base"]))
    return next(same, None)


def _is_base(plan: Plan, base: str) -> bool:
    return base in (plan.base, Path(plan.base).name)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in other if name not in ("least", "alias"))


def _unfinished(project: Project, plan: Plan) -> Mapping[Any, Any] | None:
    """The turn that was stopped, if it was of this plan; one of another has failed."""
    with project.database.writing() as connection:
        row = cycles.unfinished(connection)
        if row is not None and row["document"]["plan"] != plan.to_dict():
            cycles.finish(connection, row["id"], cycles.FAILED, {**row["document"], "fault": "something else was wished"})
            return None
    return row


def _state(project: Project, plan: Plan) -> dict[str, int]:
    with project.database.reading() as connection:
        return cycles.state(connection, [questions.get(connection, name)[0] for name in plan.questions])


def _note(current: Turn, document: Mapping[str, Any], status: str) -> None:
    with current.project.database.writing() as connection:
        if status == cycles.RUNNING:
            cycles.note(connection, current.id, document)
        else:
            cycles.finish(connection, current.id, status, document)


@contextmanager
def _alone(project: Project) -> Iterator[str | None]:
    """Hold the project's turn; gives who holds it, in words, where another process does, and None where nobody did."""
    lock = project.folder / LOCK
    with held(lock) as mine:
        if mine:
            lock.write_text(str(os.getpid()))
            yield None
        else:
            holder = lock.read_text(errors="replace").strip()
            yield f" (process {holder})" if holder else ""
