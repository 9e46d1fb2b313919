"""Export a model as a Hugging Face folder or a GGUF file, and verify the export against the model's recorded predictions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import UserError
from preceptor.formats import atomic_write
from preceptor.formats.durable_files import CHECKSUMS_FILE
from preceptor.release.gate import load_report_with_decisions
from preceptor.runs.parity_check import load_probe_rows
from preceptor.storage import artifacts, events
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.project import Project


_CARD_FILE = "README.md"
_GGUF_SUFFIX, _MODELFILE_SUFFIX = ".gguf", ".Modelfile"
# files beside a model's weights that other software doesn't use, or that show training rows
_INTERNAL_FILES = ("adapter", "parity.json", "manifest.json", "metrics.jsonl", "run.toml", "curves.svg", CHECKSUMS_FILE)


def export_model(
    project: Project, model: Model, target: str | os.PathLike[str], *, dtype: Literal["float32", "bfloat16"] = "float32"
) -> dict[str, Any]:
    """Write a model to `target`: a GGUF file where the name ends with .gguf, else a folder for transformers with its model card.

    The export is read back by transformers and must give what the model gave in training: the same tokens of the same rows, and the same
    log-probabilities; otherwise nothing is left of it. dtype: of a GGUF file's matrices; a folder gets the model's own weights. Beside a
    GGUF file a Modelfile is written, from which Ollama builds a model, where its chat template can be expressed in Ollama's. Returns
    `{"path", "form", "bytes", "model", "rows", "passed", "stage", "beside", "notes"}`.

    Raises UserError for a model without weights here, for a target that exists, and for a family that GGUF export doesn't support.
    """
    from preceptor.models.atomic_folder import create_atomically
    from preceptor.models.parity import load_recorded_scores

    path = Path(target)
    packed = path.suffix == _GGUF_SUFFIX
    _check_export(model, path, dtype, packed)
    kind, trained = load_recorded_scores(model.path)
    if kind == "in_context":
        raise UserError(f"{model.id} is examples that its base is shown, and no weights of its own", "export a model that was trained")
    if packed and kind != "causal":
        raise UserError(f"{model.id} doesn't write, and a GGUF file holds a model that writes", "give a folder's name instead of a .gguf")
    rows = load_probe_rows(project, model, kind, list(trained.log_probabilities))
    with create_atomically(path) as partial:
        stage = _write_gguf(model, partial, rows, dtype) if packed else _copy_model_folder(project, model, partial, rows)
        if not stage.passed:
            raise UserError(f"{model.id} isn't exported: read back, it gives {stage.summary}", f"preceptor verify {model.id}")
    beside, notes = _write_modelfile(path, model) if packed else ([], [])
    size = sum(each.stat().st_size for each in ([path] if packed else path.rglob("*")) if each.is_file())
    with project.database.writing() as connection:
        events.record_event(connection, "model exported", {"model": model.id, "form": "gguf" if packed else "folder"})
    return {
        "path": str(path),
        "form": "gguf" if packed else "folder",
        "bytes": size,
        "model": model.id,
        "rows": len(rows),
        "passed": stage.passed,
        "stage": stage.to_dict(),
        "beside": beside,
        "notes": notes,
    }


def _write_modelfile(path: Path, model: Model) -> tuple[list[str], list[str]]:
    """Write the Modelfile beside a GGUF file; return the files written, and notes."""
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.models.gguf_export import render_modelfile

    try:
        text = render_modelfile(ChatTokenizer(model.path), path.name)
    except UserError as refused:
        return [], [f"there is no Modelfile for Ollama: {refused}"]
    beside = path.with_suffix(_MODELFILE_SUFFIX)
    with atomic_write(beside) as file:
        file.write(text.encode())
    return [str(beside)], []


def _check_export(model: Model, path: Path, dtype: str, packed: bool) -> None:
    if "hosted" in model.manifest:
        raise UserError(f"{model.id} lies at {model.manifest['hosted']['service']}", "preceptor migrate openai brings it home")
    for each in (path, path.with_suffix(_MODELFILE_SUFFIX)) if packed else (path,):
        if each.exists():
            raise UserError("is there already, and nothing is overwritten", "give another name", where=str(each))
    if not path.absolute().parent.is_dir():
        raise UserError("there is no such folder to write into", "make it, or give another name", where=str(path.absolute().parent))
    if dtype != "float32" and not packed:
        raise UserError(f"a folder holds the model's own weights, and not {dtype}", "give the name of a .gguf file, or leave --dtype out")


def _copy_model_folder(project: Project, model: Model, folder: Path, rows: dict[str, Any]) -> Any:
    """Copy the model's files, without those that only Preceptor reads, add its card, and check the copy."""
    from preceptor.models.parity import check_copied_model

    shutil.copytree(
        model.path, folder, ignore=lambda _, names: [name for name in names if name in _INTERNAL_FILES], copy_function=shutil.copyfile
    )
    (folder / _CARD_FILE).write_text(_render_card(project, model), encoding="utf-8")
    return check_copied_model(folder, model.path, rows, stage="exported")


def _write_gguf(model: Model, file: Path, rows: dict[str, Any], dtype: Literal["float32", "bfloat16"]) -> Any:
    """Write a GGUF file and check it; for that it is unpacked beside itself temporarily."""
    from preceptor.models.atomic_folder import remove_path
    from preceptor.models.gguf_export import export_gguf, unpack_gguf
    from preceptor.models.parity import check_copied_model

    export_gguf(model.path, file, name=model.id, dtype=dtype)
    again = file.with_suffix(".unpacked")
    try:
        return check_copied_model(unpack_gguf(file, again), model.path, rows, stage="packed", dtype=dtype)
    finally:
        remove_path(again)


def _render_card(project: Project, model: Model) -> str:
    """Render the model card from the newest report on test rows, or, for a model that was never evaluated, from its manifest."""
    with project.database.reading() as connection:
        measured = artifacts.latest_report(connection, model.id, "test") is not None
    if measured:
        return load_report_with_decisions(project, model).to_markdown()
    made = model.manifest
    known = [f"recipe: {made['recipe']}", f"base: {made['base']}", f"snapshot: {made['snapshot']}"]
    lines = [
        f"# {model.id}",
        "",
        "**It was never evaluated on test rows**: nothing is known of how good it is.",
        "",
        *(f"- {each}" for each in known),
    ]
    return "\n".join(lines) + "\n"
