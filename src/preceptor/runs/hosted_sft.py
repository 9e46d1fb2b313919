"""Fine-tune a model at a hosted service from a snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write
from preceptor.generation import OpenAIClient
from preceptor.generation.hosted import SpendingBudget, estimate_message_tokens
from preceptor.generation.openai_client import POLL_SECONDS, create_fine_tuning_job, follow_job, upload_training_file
from preceptor.jobs.training_files import check_file
from preceptor.planning.prices import LISTED_PRICES, MILLION, TokenPrice, find_price
from preceptor.storage import artifacts, events
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import Model, Run, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


HOSTED_RECIPE = "hosted_sft"
_MAX_AUTO_EPOCHS = 10  # assumed for "auto" in the cost estimate: small files get more epochs than the usual three


def train_hosted_model(
    project: Project,
    service: OpenAIClient,
    snapshot: Snapshot,
    base: str,
    *,
    max_cost: float,
    hyperparameters: Mapping[str, Any] = {},
    suffix: str | None = None,
    seed: int = 0,
    prices: Mapping[str, TokenPrice] = LISTED_PRICES,
    tell: Callable[[str], None] = lambda words: None,
    look_seconds: float = POLL_SECONDS,
) -> Model:
    """Fine-tune a base model of a service on a snapshot, or follow a job that was started before; return the model.

    hyperparameters: n_epochs, batch_size, learning_rate_multiplier, each "auto" unless given. tell: called with the messages of the job.
    Raises UserError, before anything is sent, for rows that can't be trained on and where training may cost more than max_cost (dollars).
    """
    asked = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto", **hyperparameters}
    folder = project.folder / "hosted" / snapshot.digest[:16]
    files = {split: _write_split(folder, snapshot, split) for split in ("train", "validation")}
    if files["train"] is None:
        raise UserError(f"snapshot {snapshot.digest[:12]} has no training rows", "judge more items")
    check_file(files["train"], files["train"].name)
    SpendingBudget(max_cost).check(estimate_training_cost(snapshot, base, asked, prices), f"training {base}")
    ids = {split: None if path is None else upload_training_file(service, path) for split, path in files.items()}
    named = {"training_file": str(ids["train"]), "validation_file": ids["validation"], "hyperparameters": asked}
    job = create_fine_tuning_job(service, model=base, suffix=suffix, seed=seed, **named)  # type: ignore[arg-type]
    done = follow_job(service, job.id, lambda event: tell(event.message), look_seconds=look_seconds)
    return _record_hosted_model(
        project, snapshot, base, asked, seed, {"service": service.address, "job": done.id, "model": done.fine_tuned_model}
    )


def estimate_training_cost(
    snapshot: Snapshot, base: str, hyperparameters: Mapping[str, Any], prices: Mapping[str, TokenPrice] = LISTED_PRICES
) -> float:
    """Estimate the most that training may cost, in dollars: an upper bound of the tokens, times epochs, times the price."""
    epochs = hyperparameters.get("n_epochs", "auto")
    tokens = sum(estimate_message_tokens(_row_messages(row)) for row in snapshot.rows("train"))
    return tokens * (_MAX_AUTO_EPOCHS if epochs == "auto" else float(epochs)) * find_price(base, prices).training / MILLION


def _write_split(folder: Path, snapshot: Snapshot, split: str) -> Path | None:
    """Write a split as a training file; None for an empty one."""
    rows = list(snapshot.rows(split))
    if not rows:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.jsonl"
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps({"messages": _row_messages(row)}, ensure_ascii=False).encode() + b"\n")
    return path


def _row_messages(row: SnapshotRow) -> list[dict[str, Any]]:
    """Return a row's messages, the answer last. Earlier answers without weight 1 get weight 0, or the service would train on them."""
    asked = row.content.get("messages", [{"role": "user", "content": row.text}])
    return [*map(_service_message, asked), {"role": "assistant", "content": row.answer}]


def _service_message(turn: Mapping[str, Any]) -> dict[str, Any]:
    bare = {name: value for name, value in turn.items() if name != "weight"}
    return {**bare, "weight": 0} if turn["role"] == "assistant" and turn.get("weight") != 1 else bare


def _record_hosted_model(
    project: Project, snapshot: Snapshot, base: str, asked: Mapping[str, Any], seed: int, hosted: Mapping[str, Any]
) -> Model:
    """Record the run and its model, which has no weights here."""
    identity = json_digest([HOSTED_RECIPE, snapshot.digest, base, asked, seed, hosted])
    id_ = f"m-{identity[:12]}"
    manifest = {
        "id": identity, "recipe": HOSTED_RECIPE, "base": base, "snapshot": snapshot.digest, "options": dict(asked), "seed": seed,
        "hosted": dict(hosted), "answers": [], "history": [], "summary": [f"trained at {hosted['service']}, as {hosted['model']}"],
    }  # fmt: skip
    model = Model(id_, project.objects.path(json_digest(id_)), manifest)
    run = Run(identity[:16], HOSTED_RECIPE, snapshot.digest, base, dict(asked), seed, "done")
    with project.database.writing() as connection:
        if not any(row["id"] == id_ for row in artifacts.list_models(connection)):
            artifacts.save_run(connection, run, {})
            artifacts.add_model(connection, model, run=run.id, snapshot=snapshot.digest)
            events.record_event(connection, "model trained", {"model": id_, "run": run.id, "snapshot": snapshot.digest, **hosted})
    return model
