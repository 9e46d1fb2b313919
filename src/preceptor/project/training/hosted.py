"""Fine-tuning at a service that offers it, from a snapshot: what it may cost is counted first, and the model is noted like any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model, Run, digest_of
from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.project.jobs.training_files import check_file
from preceptor.providers import LISTED, Price, Service, price_of
from preceptor.providers.prices import MILLION, Budget, tokens_of
from preceptor.providers.tuning import LOOK_SECONDS, begin, follow, upload
from preceptor.snapshots import Row, Snapshot
from preceptor.store import events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

RECIPE = "hosted_sft"
MOST_EPOCHS = 10  # of a job that is to choose by itself, for the estimate: small files get more passes than the usual three


def tune(
    project: Project,
    service: Service,
    snapshot: Snapshot,
    base: str,
    *,
    max_cost: float,
    hyperparameters: Mapping[str, Any] = {},
    suffix: str | None = None,
    seed: int = 0,
    prices: Mapping[str, Price] = LISTED,
    tell: Callable[[str], None] = lambda words: None,
    look_seconds: float = LOOK_SECONDS,
) -> Model:
    """The model that a supervised job of the service has made of a snapshot; a job that was begun before is followed on.

    hyperparameters: n_epochs, batch_size, learning_rate_multiplier, each "auto" unless given. tell: hears what the job says.
    UserError, with nothing sent, for rows that can't be trained on and where it may cost more than max_cost (dollars).
    """
    asked = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto", **hyperparameters}
    folder = project.folder / "hosted" / snapshot.digest[:16]
    files = {split: _written(folder, snapshot, split) for split in ("train", "validation")}
    if files["train"] is None:
        raise UserError(f"snapshot {snapshot.digest[:12]} has no training rows", "judge more items")
    check_file(files["train"], files["train"].name)
    Budget(max_cost).check(cost(snapshot, base, asked, prices), f"training {base}")
    ids = {split: None if path is None else upload(service, path) for split, path in files.items()}
    named = {"training_file": str(ids["train"]), "validation_file": ids["validation"], "hyperparameters": asked}
    job = begin(service, model=base, suffix=suffix, seed=seed, **named)  # type: ignore[arg-type]
    done = follow(service, job.id, lambda event: tell(event.message), look_seconds=look_seconds)
    return _note(project, snapshot, base, asked, seed, {"service": service.address, "job": done.id, "model": done.fine_tuned_model})


def cost(snapshot: Snapshot, base: str, hyperparameters: Mapping[str, Any], prices: Mapping[str, Price] = LISTED) -> float:
    """Dollars that training may cost: tokens from above, times passes, times the price."""
    epochs = hyperparameters.get("n_epochs", "auto")
    tokens = sum(tokens_of(_turns(row)) for row in snapshot.rows("train"))
    return tokens * (MOST_EPOCHS if epochs == "auto" else float(epochs)) * price_of(base, prices).training / MILLION


def _written(folder: Path, snapshot: Snapshot, split: str) -> Path | None:
    """A split as a training file; None for an empty one."""
    rows = list(snapshot.rows(split))
    if not rows:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.jsonl"
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps({"messages": _turns(row)}, ensure_ascii=False).encode() + b"\n")
    return path


def _turns(row: Row) -> list[dict[str, Any]]:
    """A row's turns, the answer last. Earlier answers that aren't marked as taught weigh nothing: the service would teach them too."""
    asked = row.content.get("messages", [{"role": "user", "content": row.text}])
    return [*map(_sent, asked), {"role": "assistant", "content": row.answer}]


def _sent(turn: Mapping[str, Any]) -> dict[str, Any]:
    bare = {name: value for name, value in turn.items() if name != "weight"}
    return {**bare, "weight": 0} if turn["role"] == "assistant" and turn.get("weight") != 1 else bare


def _note(project: Project, snapshot: Snapshot, base: str, asked: Mapping[str, Any], seed: int, hosted: Mapping[str, Any]) -> Model:
    """Note the run and its model; it has no weights here."""
    identity = digest_of([RECIPE, snapshot.digest, base, asked, seed, hosted])
    id_ = f"m-{identity[:12]}"
    manifest = {
        "id": identity, "recipe": RECIPE, "base": base, "snapshot": snapshot.digest, "options": dict(asked), "seed": seed,
        "hosted": dict(hosted), "answers": [], "history": [], "words": [f"trained at {hosted['service']}, as {hosted['model']}"],
    }  # fmt: skip
    model = Model(id_, project.objects.path(digest_of(id_)), manifest)
    run = Run(identity[:16], RECIPE, snapshot.digest, base, dict(asked), seed, "done")
    with project.database.writing() as connection:
        if not any(row["id"] == id_ for row in records.models(connection)):
            records.put_run(connection, run, {})
            records.add_model(connection, model, run=run.id, snapshot=snapshot.digest)
            events.record(connection, "model trained", {"model": id_, "run": run.id, "snapshot": snapshot.digest, **hosted})
    return model
