"""`preceptor parity`: that a model says the same when trained, merged, saved, loaded again and served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model, digest_of
from preceptor.errors import UserError
from preceptor.formats.checksums import file_digest
from preceptor.project.answering import few_shot
from preceptor.project.bases import base_of
from preceptor.store import events

if TYPE_CHECKING:
    from preceptor.project.project import Project


def parity(project: Project, model: Model, *, base: str | Path | None = None) -> dict[str, Any]:
    """Each stage held against what the trained model said of a few validation rows: `{"passed", "stages", …}`.

    base: where the model's base lies, when it is no known one; without it the adapter can't be put on anew, which is told.
    A causal model is held in float32 and bfloat16, each with its own tolerance. UserError for a base that it wasn't trained from.
    """
    from preceptor.models.parity import TOLERANCE, held_against, recorded, stages
    from preceptor.providers import LocalClassifier, LocalProvider

    if "hosted" in model.manifest:
        message = f"{model.id} lies at {model.manifest['hosted']['service']}: there is nothing here to prove or to measure"
        raise UserError(message, "preceptor migrate openai brings it home")
    kind, trained = recorded(model.path)
    rows, folder = recorded_rows(project, model, kind, list(trained.log_probabilities)), base_of(project, model, base)
    found = []
    if kind == "few_shot":
        found = [held_against("served", trained, lambda: few_shot(project, model, base).say(rows), "float32")]
    for dtype in {"causal": tuple(TOLERANCE), "classifier": ("float32",), "reward": ("float32",)}.get(kind, ()):
        found += stages(model.path, rows, base=folder, dtype=dtype)  # type: ignore[arg-type]
        if kind == "reward":  # which nothing serves but what reads its folder, as the stages do
            continue
        serve = LocalClassifier(model.path) if kind == "classifier" else LocalProvider(model.path, dtype=dtype)  # type: ignore[arg-type]
        found.append(held_against("served", trained, lambda serve=serve: serve.say(rows), dtype))  # type: ignore[misc]
    passed = all(stage.passed for stage in found)
    adapted = (model.path / "adapter").is_dir()
    notes = ["the base is not at hand (--base DIR): the adapter was not put on it anew"] if adapted and folder is None else []
    with project.database.writing() as connection:
        events.record(connection, "parity checked", {"model": model.id, "passed": passed})
    return {"model": model.id, "passed": passed, "rows": len(rows), "stages": [stage.to_dict() for stage in found], "notes": notes}


def proved(project: Project, model: Model, base: str | Path | None) -> dict[str, Any]:
    """Parity as a report's section; UserError where it fails, for then the figures would be of another model than was trained."""
    found = parity(project, model, base=base)
    failed = [stage for stage in found["stages"] if not stage["passed"]]
    if failed:
        first = f"{failed[0]['stage']}, {failed[0]['dtype']}: {failed[0]['words']}"
        raise UserError(f"{model.id} is not measured, for parity fails ({first})", f"preceptor parity {model.id}, or train it anew")
    return {**{name: found[name] for name in ("passed", "rows", "stages", "notes")}, "files": files_digest(model.path)}


def files_digest(folder: Path) -> str:
    """Of all files of a model's folder: what is released is what was proved and measured."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of([[str(path.relative_to(folder)), file_digest(path)] for path in files])


def recorded_rows(project: Project, model: Model, kind: str, ids: list[str]) -> dict[str, Any]:
    """The rows that were recorded, as conversations that end with the answer (of a reward model, one an answer) or as a classifier's
    texts."""
    from preceptor.models.parity import recorded_turns
    from preceptor.models.template import turns_of
    from preceptor.recipes.preferring.pairs import answers_of, said_best
    from preceptor.recipes.preferring.thumbs import response_of

    known = {row.id: row for row in project.load_snapshot(model.manifest["snapshot"]).rows("validation")}
    if missing := [id_ for id_ in ids if id_ not in known]:
        raise UserError(f"row {missing[0]!r} of the record isn't in the model's snapshot", "the model's folder was altered: train it anew")
    if set(given := recorded_turns(model.path)) >= set(ids):
        return {id_: given[id_] for id_ in ids}
    if kind == "reward":
        return {id_: [turns_of(known[id_].content, answer) for answer in answers_of(known[id_])] for id_ in ids}
    if kind != "causal":
        return {id_: known[id_].text for id_ in ids}
    if model.manifest["recipe"] == "kto":  # whose rows' answers are about the text that the model learnt from
        return {id_: turns_of(known[id_].content, response_of(known[id_].content) or "") for id_ in ids}
    return {id_: turns_of(known[id_].content, said_best(known[id_])) for id_ in ids}
