"""Aliases: only what was let out, moved and rolled back at once, and nothing forgotten."""

from __future__ import annotations

import json

import pytest

from preceptor.annotation.access_control import AccessControl
from preceptor.errors import GateRefused, NotFoundError, UserError
from preceptor.release.model_aliases import ModelAliases
from preceptor.release.model_catalog import ModelCatalog
from preceptor.runs.parity_check import digest_model_files
from preceptor.storage import artifacts
from preceptor.types import Model, Release, Run, json_digest

MODELS = ("m-one", "m-two", "m-three")


@pytest.fixture
def released(project):
    """A project with three models, of which the first two were let out."""
    with project.database.writing() as connection:
        for name in MODELS:
            run = Run(f"r{name}", "sft", "s", "smollm2", {}, 0, "done")
            artifacts.save_run(connection, run, {})
            artifacts.add_model(connection, Model(name, project.objects.path(json_digest(name)), {}), run=run.id, snapshot="s")
        for name, decision in zip(MODELS, ("released", "overridden: we must", "missed"), strict=True):
            artifacts.add_release(connection, Release(name, "owner", decision, "report", "", ()))
    for name in MODELS:
        folder = project.objects.path(json_digest(name))
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    return project


def test_a_name_moves_and_is_rolled_back_step_by_step(released):
    aliases = ModelAliases(released)
    for model in ("m-one", "m-two"):
        aliases.set("support:production", model, by="ann", reason="better")
    assert aliases.names_of_model("m-two") == ["support:production"]
    assert aliases.roll_back("support:production", by="ben")["model"] == "m-one"
    assert aliases.names_of_model("m-two") == []
    with pytest.raises(UserError, match="stood for no model before m-one"):
        aliases.roll_back("support:production", by="ben")
    told = [(row["model"], row["by"], row["reason"]) for row in aliases.history("support:production")]
    assert told == [("m-one", "ann", "better"), ("m-two", "ann", "better"), ("m-one", "ben", "back from m-two")]


def test_back_twice_passes_over_what_was_bad(released):
    """Two bad models in a row: the second step back must not lead to the bad one before."""
    aliases = ModelAliases(released)
    aliases.set("a", "m-one", by="ann")
    aliases.set("a", "m-two", by="ann")
    aliases.set("a", "m-three", by="ann", override="a trial")
    assert [aliases.roll_back("a", by="ann")["model"] for _ in range(2)] == ["m-two", "m-one"]


def test_what_was_not_let_out_is_refused_unless_overridden(released):
    aliases = ModelAliases(released)
    with pytest.raises(GateRefused, match="'missed' by owner"):
        aliases.set("a", "m-three", by="ann")
    with pytest.raises(GateRefused, match="a base"):
        aliases.set("a", "smollm2", by="ann")
    assert aliases.list_current() == []
    assert aliases.set("a", "m-three", by="ann", override="a trial")["reason"] == "overridden: a trial"


def test_a_model_that_was_taken_back_since_is_not_rolled_back_to(released):
    aliases = ModelAliases(released)
    aliases.set("a", "m-one", by="ann")
    aliases.set("a", "m-two", by="ann")
    with released.database.writing() as connection:
        artifacts.add_release(connection, Release("m-one", "owner", "missed", "report", "", ()))
    with pytest.raises(GateRefused, match="can't stand for m-one"):
        aliases.roll_back("a", by="ann")
    assert aliases.names_of_model("m-two") == ["a"]


def test_a_name_that_cant_be_an_alias_is_refused(released, subtests):
    for name in ["", "A", "m-mine", "ft:x", "smollm2", "minilm", "with space", "-a", "a" * 101, "ä"]:
        with subtests.test(name=name), pytest.raises(UserError, match="can't be an alias"):
            ModelAliases(released).set(name, "m-one", by="ann")


def test_the_name_of_a_model_is_never_an_alias_too(released):
    """Not even where the model has a name of another kind: it would answer in the model's place."""
    with released.database.writing() as connection:
        run = Run("r", "sft", "s", "smollm2", {}, 0, "done")
        artifacts.save_run(connection, run, {})
        artifacts.add_model(connection, Model("brought", released.objects.path(json_digest("brought")), {}), run=run.id, snapshot="s")
    with pytest.raises(UserError, match="a model is called 'brought' itself"):
        ModelAliases(released).set("brought", "m-one", by="ann")


def test_unknown_names_are_told_with_what_is_there(released):
    aliases = ModelAliases(released)
    aliases.set("support", "m-one", by="ann")
    for call in (aliases.history, lambda name: aliases.roll_back(name, by="ann")):
        with pytest.raises(NotFoundError, match="did you mean 'support'"):
            call("suport")
    with pytest.raises(UserError, match="no model is called"):
        aliases.set("support", "m-four", by="ann")
    with pytest.raises(UserError, match="name of the person"):
        aliases.set("support", "m-one", by=" ")


def test_the_catalog_offers_an_alias_and_follows_it_at_once(released):
    """Two catalogs are two workers: what one process moves, the other sees with the next call."""
    access, aliases = AccessControl(released), ModelAliases(released)
    visitor = access.authenticate_token(access.issue_application_token("chatter", ["chat"])["token"])
    one, two = ModelCatalog(released), ModelCatalog(released)
    aliases.set("support:production", "m-one", by="ann")
    assert [model.name for model in one.list_offered(visitor)] == ["smollm2", "m-one", "m-two", "support:production"]
    for model in ("m-one", "m-two", "m-one"):
        aliases.set("support:production", model, by="ann")
        for catalog in (one, two):
            found = catalog.find("support:production", visitor)
            assert (found.name, found.fingerprint, found.kind) == ("support:production", model, "chat")
            assert catalog.model_folder(found) == released.objects.path(json_digest(model))
    with pytest.raises(NotFoundError):
        one.find("support:staging", visitor)


def test_the_command_sets_lists_and_rolls_back(released, run):
    folder = ["--project", str(released.folder)]
    assert run("alias", "set", "a", "m-three", "--by", "ann", *folder).code == 3
    for model in ("m-one", "m-two"):
        assert run("alias", "set", "a", model, "--by", "ann", *folder).code == 0
    assert run("alias", "list", "--json", *folder).document["aliases"][0]["model"] == "m-two"
    assert run("alias", "rollback", "a", "--by", "ann", "--json", *folder).document["model"] == "m-one"
    assert [row["model"] for row in run("alias", "history", "a", "--json", *folder).document["history"]] == ["m-one", "m-two", "m-one"]
    assert "m-one" in run("alias", "list", *folder).out


def test_a_model_whose_files_are_others_than_were_measured_gets_no_name(released):
    """Its folder was replaced after the release, and its name would have served what nobody measured."""
    model = released.model("m-one")
    model.path.mkdir(parents=True, exist_ok=True)
    (model.path / "model.safetensors").write_bytes(b"weights")
    report = {"parity": {"passed": True, "files": digest_model_files(model.path)}}
    digest = released.objects.put(json.dumps(report).encode())
    with released.database.writing() as connection:
        artifacts.add_release(connection, Release("m-one", "owner", "released", digest, "", ()))
    ModelAliases(released).set("support:production", "m-one", by="ann")
    (model.path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UserError, match="aren't those that were measured"):
        ModelAliases(released).set("support:production", "m-one", by="ann")
