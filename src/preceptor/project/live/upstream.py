"""That the server behind ours draws from the model that it is said to: it finds the model's own probes as probable as training did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.project.proving import recorded_rows
from preceptor.providers import Relay

if TYPE_CHECKING:
    from preceptor.models.parity import Said
    from preceptor.project.project import Project

DTYPE = "bfloat16"  # what such servers compute in, so that no more can be asked of them


def prove_upstream(project: Project) -> list[dict[str, Any]]:
    """Each model of [serving] upstream_models held against what it said in training: model, name there, difference in nats a token.

    The probes go there as conversations, so that the server's chat template and tokenizer are held to the same tokens too. UserError
    at the first that differs, and for one that has no record.
    """
    rule = project.config.serving
    if not rule.upstream:
        return []
    relay = Relay(rule.upstream, key=rule.upstream_key, seconds=rule.deadline)
    return [_proved(project, relay, ours, theirs) for ours, theirs in rule.upstream_models.items()]


def _proved(project: Project, relay: Relay, ours: str, theirs: str) -> dict[str, Any]:
    from preceptor.models.parity import held_against, recorded

    model = project.model(ours)
    if model.id != ours:
        raise UserError(f"{ours} is short for {model.id}", "write the whole id", where="serving.upstream_models")
    kind, trained = recorded(model.path)
    if kind != "causal":
        raise UserError(f"{ours} chooses between answers, which no other server draws", "leave it out", where="serving.upstream_models")
    said = _said(relay, theirs, model, recorded_rows(project, model, kind, list(trained.log_probabilities)))
    stage = held_against("upstream", trained, lambda: said, DTYPE)
    if not stage.passed:
        apart = "" if stage.difference is None else f" ({stage.difference:.2g} nats a token apart, at most {stage.tolerance:.2g})"
        hint = "load the model's own folder there (preceptor export model), then start again"
        raise UserError(f"{theirs!r} at {relay.shown} isn't {ours}: {stage.words}{apart}", hint)
    return {"model": ours, "upstream": theirs, "difference": stage.difference, "tolerance": stage.tolerance}


def _said(relay: Relay, theirs: str, model: Model, rows: dict[str, Any]) -> Said:
    """What the server says of conversations: of the tokens that were learnt, if it reads the same ones."""
    from preceptor.models.loading import load_tokenizer
    from preceptor.models.parity import Said, token_digest
    from preceptor.models.template import render

    tokenizer = load_tokenizer(model.path)
    probable: dict[str, Any] = {}
    digests: dict[str, str] = {}
    for id_, turns in rows.items():
        cut = render(tokenizer, turns, 2**30)
        told = relay.log_probabilities(theirs, turns)
        read = [token if at and token in told[at] else -1 for at, token in enumerate(cut.tokens[: len(told)])]
        read[:1] = cut.tokens[:1]  # of the first token nothing is told
        digests[id_] = token_digest(read, cut.supervised[: len(read)])
        learnt = [at for at, wanted in enumerate(cut.supervised) if wanted and at]
        probable[id_] = [told[at].get(cut.tokens[at], 0.0) if at < len(told) else 0.0 for at in learnt]
    return Said(probable, digests)
