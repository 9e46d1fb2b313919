"""The successor under the hosted model's name: code that asks for the old one gets the new one, once it asks this address."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.project.access import Access
from preceptor.project.migration.sources import Source
from preceptor.store import events, jobs

if TYPE_CHECKING:
    from preceptor.project.project import Project

SCOPES = ("chat", "train")


@dataclass(frozen=True)
class Adopted:
    """The name that the successor answers to, the program whose it is, and a token of it; empty where it was handed out before."""

    name: str
    program: str
    token: str


def name_of(project: Project, source: Source, model: Model, base: str) -> str:
    """What the successor answers to: the hosted model's name, or one of that form."""
    return source.hosted or f"ft:{base}:{project.config.name}::{model.id}"


def program_of(source: Source) -> str:
    """What the program is called whose code asked for the hosted model; the successor is its own."""
    return f"code of {source.name}"[:200]


def adopt(project: Project, source: Source, model: Model, base: str) -> Adopted:
    """Note a finished job of the hosted model's name whose model is the successor; the latest successor stands.

    Its token is a program's own, and shown this once. Everybody else may chat with the successor when it is released.
    """
    name, program = name_of(project, source, model, base), program_of(source)
    with project.database.reading() as connection:
        known = next((row["id"] for row in jobs.of_models(connection) if json.loads(row["document"]).get("source") == source.name), None)
    if known is not None:
        with project.database.writing() as connection:
            jobs.note(connection, known, model=model.id, fine_tuned_model=name)
        return Adopted(name, program, "")
    access = Access(project)
    token = access.application(program, SCOPES, by="migration")["token"]
    visitor = access.by_token(token)
    assert visitor is not None  # it was issued a moment ago
    document: dict[str, Any] = {
        "base": base, "method": source.method, "hyperparameters": dict(source.hyperparameters), "suffix": None,
        "seed": int(source.job.get("seed") or 0),
        "metadata": None, "fine_tuned_model": name, "error": None, "trained_tokens": source.job.get("trained_tokens"),
        "estimated_finish": None, "result_files": [], "source": source.name,
    }  # fmt: skip
    with project.database.writing() as connection:
        files = source.files.get("train", source.path("train").name), source.files.get("validation")
        row = jobs.add(connection, visitor.credential, "running", document, training=files[0], validation=files[1])
        jobs.move(connection, row["id"], "succeeded", of=("running",), finished=True)
        jobs.note(connection, row["id"], model=model.id)
        jobs.say(connection, row["id"], f"Succeeds {source.hosted or source.name}")
        events.record(connection, "model adopted", {"job": row["id"], "model": model.id, "name": name})
    return Adopted(name, program, token)


def lines(project: Project, adopted: Adopted) -> list[str]:
    """The three lines that the code changes: where, with which key, and which model."""
    handed_out = f"the token that the first run showed, or a new one: preceptor people rotate {shlex.quote(adopted.program)} --by NAME"
    return [
        f'base_url="{project.address}/v1"',
        f'api_key="{adopted.token}"' if adopted.token else f"api_key=…  # {handed_out}",
        f'model="{adopted.name}"',
    ]
