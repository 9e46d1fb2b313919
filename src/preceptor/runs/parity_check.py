"""Verify that a model gives the same probabilities when trained, merged, saved, loaded again and served, here or by an upstream server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.durable_files import file_digest
from preceptor.generation import UpstreamClient
from preceptor.model_ancestry import find_recorded_base
from preceptor.runs.prediction import load_few_shot
from preceptor.storage import events
from preceptor.types import Model, json_digest

if TYPE_CHECKING:
    from preceptor.models.parity import ProbeScores
    from preceptor.project import Project


def check_parity(project: Project, model: Model, *, base: str | Path | None = None) -> dict[str, Any]:
    """Compare each stage with the trained model's recorded predictions for a few validation rows: `{"passed", "stages", …}`.

    base: where the model's base lies, when it is no known one; without it the adapter can't be applied again, which a note says. A causal
    model is checked in float32 and bfloat16, each with its own tolerance. Raises UserError for a base that it wasn't trained from.
    """
    from preceptor.generation import LocalClassifier, LocalProvider
    from preceptor.models.parity import TOLERANCE, check_parity_stages, compare_with_trained, load_recorded_scores

    if "hosted" in model.manifest:
        message = f"{model.id} lies at {model.manifest['hosted']['service']}: there is nothing here to prove or to measure"
        raise UserError(message, "preceptor migrate openai brings it home")
    kind, trained = load_recorded_scores(model.path)
    rows, folder = load_probe_rows(project, model, kind, list(trained.log_probabilities)), find_recorded_base(project, model, base)
    found = []
    if kind == "in_context":
        found = [compare_with_trained("served", trained, lambda: load_few_shot(project, model, base).score_rows(rows), "float32")]
    for dtype in {"causal": tuple(TOLERANCE), "classifier": ("float32",), "reward": ("float32",)}.get(kind, ()):
        found += check_parity_stages(model.path, rows, base=folder, dtype=dtype)  # type: ignore[arg-type]
        if kind == "reward":  # a reward model is only served from its folder, as the stages check
            continue
        serve = LocalClassifier(model.path) if kind == "classifier" else LocalProvider(model.path, dtype=dtype)  # type: ignore[arg-type]
        found.append(compare_with_trained("served", trained, lambda serve=serve: serve.score_rows(rows), dtype))  # type: ignore[misc]
    passed = all(stage.passed for stage in found)
    adapted = (model.path / "adapter").is_dir()
    notes = ["the base is not at hand (--base DIR): the adapter was not put on it anew"] if adapted and folder is None else []
    with project.database.writing() as connection:
        events.record_event(connection, "parity checked", {"model": model.id, "passed": passed})
    return {"model": model.id, "passed": passed, "rows": len(rows), "stages": [stage.to_dict() for stage in found], "notes": notes}


def require_parity(project: Project, model: Model, base: str | Path | None) -> dict[str, Any]:
    """Check parity and return it as a report's section. Raises UserError where it fails, since another model would be measured."""
    found = check_parity(project, model, base=base)
    failed = [stage for stage in found["stages"] if not stage["passed"]]
    if failed:
        first = f"{failed[0]['stage']}, {failed[0]['dtype']}: {failed[0]['summary']}"
        raise UserError(f"{model.id} is not measured, for parity fails ({first})", f"preceptor verify {model.id}, or train it anew")
    return {**{name: found[name] for name in ("passed", "rows", "stages", "notes")}, "files": digest_model_files(model.path)}


def digest_model_files(folder: Path) -> str:
    """Return the digest of all files of a model's folder, so that a release is of the files that were checked and measured."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return json_digest([[str(path.relative_to(folder)), file_digest(path)] for path in files])


def load_probe_rows(project: Project, model: Model, kind: str, ids: list[str]) -> dict[str, Any]:
    """Load the recorded probe rows: conversations that end with the answer (for a reward model one per answer), or a classifier's texts.

    Raises UserError for a row that isn't in the model's snapshot.
    """
    from preceptor.models.chat_template import build_conversation
    from preceptor.models.parity import load_recorded_conversations
    from preceptor.training.kto import judged_response
    from preceptor.training.preference_pairs import pair_answers, preferred_answer

    known = {row.id: row for row in project.load_snapshot(model.manifest["snapshot"]).rows("validation")}
    if missing := [id_ for id_ in ids if id_ not in known]:
        raise UserError(f"row {missing[0]!r} of the record isn't in the model's snapshot", "the model's folder was altered: train it anew")
    if set(given := load_recorded_conversations(model.path)) >= set(ids):
        return {id_: given[id_] for id_ in ids}
    if kind == "reward":
        return {id_: [build_conversation(known[id_].content, answer) for answer in pair_answers(known[id_])] for id_ in ids}
    if kind != "causal":
        return {id_: known[id_].text for id_ in ids}
    if model.manifest["recipe"] == "kto":  # the answer of such a row is a label; the model was trained on the judged response
        return {id_: build_conversation(known[id_].content, judged_response(known[id_].content) or "") for id_ in ids}
    return {id_: build_conversation(known[id_].content, preferred_answer(known[id_])) for id_ in ids}


_UPSTREAM_DTYPE = "bfloat16"  # the dtype of such servers, which limits the tolerance


def check_upstream_parity(project: Project) -> list[dict[str, Any]]:
    """Compare each model of [serving] upstream_models with its recorded predictions: model, name there, difference in nats per token.

    The probes are sent as conversations, so that the server's chat template and tokenizer must give the same tokens, too. Raises UserError
    at the first that differs, and for one that has no record.
    """
    rule = project.config.serving
    if not rule.upstream:
        return []
    relay = UpstreamClient(rule.upstream, key=rule.upstream_key, seconds=rule.request_timeout_seconds)
    return [_check_upstream_model(project, relay, ours, theirs) for ours, theirs in rule.upstream_models.items()]


def _check_upstream_model(project: Project, relay: UpstreamClient, ours: str, theirs: str) -> dict[str, Any]:
    from preceptor.models.parity import compare_with_trained, load_recorded_scores

    model = project.model(ours)
    if model.id != ours:
        raise UserError(f"{ours} is short for {model.id}", "write the whole id", where="serving.upstream_models")
    kind, trained = load_recorded_scores(model.path)
    if kind != "causal":
        raise UserError(f"{ours} chooses between answers, which no other server draws", "leave it out", where="serving.upstream_models")
    said = _score_upstream_probes(relay, theirs, model, load_probe_rows(project, model, kind, list(trained.log_probabilities)))
    stage = compare_with_trained("upstream", trained, lambda: said, _UPSTREAM_DTYPE)
    if not stage.passed:
        apart = "" if stage.difference is None else f" ({stage.difference:.2g} nats a token apart, at most {stage.tolerance:.2g})"
        hint = "load the model's own folder there (preceptor export model), then start again"
        raise UserError(f"{theirs!r} at {relay.display_address} isn't {ours}: {stage.summary}{apart}", hint)
    return {"model": ours, "upstream": theirs, "difference": stage.difference, "tolerance": stage.tolerance}


def _score_upstream_probes(relay: UpstreamClient, theirs: str, model: Model, rows: dict[str, Any]) -> ProbeScores:
    """Return the server's log-probabilities of the supervised tokens, and digests of the tokens that it read."""
    from preceptor.models.chat_template import render_conversation
    from preceptor.models.loading import load_tokenizer
    from preceptor.models.parity import ProbeScores, digest_tokens

    tokenizer = load_tokenizer(model.path)
    probable: dict[str, Any] = {}
    digests: dict[str, str] = {}
    for id_, turns in rows.items():
        cut = render_conversation(tokenizer, turns, 2**30)
        told = relay.prompt_log_probabilities(theirs, turns)
        read = [token if at and token in told[at] else -1 for at, token in enumerate(cut.tokens[: len(told)])]
        read[:1] = cut.tokens[:1]  # the server returns no log-probability for the first token
        digests[id_] = digest_tokens(read, cut.supervised[: len(read)])
        learnt = [at for at, wanted in enumerate(cut.supervised) if wanted and at]
        probable[id_] = [told[at].get(cut.tokens[at], 0.0) if at < len(told) else 0.0 for at in learnt]
    return ProbeScores(probable, digests)
