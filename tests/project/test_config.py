"""`preceptor.toml`: read, written, and told apart from what it isn't."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.config import ProjectConfig
from preceptor.errors import UserError


def test_what_is_written_is_read(tmp_path):
    config = ProjectConfig.parse(
        {
            "name": 'a "quoted" \\ name',
            "redundancy": {"confidence_threshold": 0.98, "min_judgments": 3, "max_judgments": 9},
            "cost": {"judgment": 0.07, "currency": "EUR", "kinds": {"rating": 0.02}, "annotators": {'Dr. "Ann"': 0.5}},
            "gate": {"bounds": ["accuracy.low >= 0.72", "ece.high <= 0.1"]},
        },
        of="the test",
    )
    config.save(tmp_path)
    assert ProjectConfig.load(tmp_path) == config


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_can_be_written(name):
    config = ProjectConfig.parse({"name": name}, of="the test")
    assert ProjectConfig.parse(tomllib.loads(config.to_toml()), of="the test") == config


def test_the_database_can_be_elsewhere(tmp_path, monkeypatch):
    config = ProjectConfig.parse({"name": "p", "database": "postgresql+psycopg://there/db"}, of="the test")
    assert config.database_url(tmp_path) == "postgresql+psycopg://there/db"
    monkeypatch.setenv("PRECEPTOR_DATABASE", "sqlite:///elsewhere.db")
    assert config.database_url(tmp_path) == "sqlite:///elsewhere.db"
    monkeypatch.delenv("PRECEPTOR_DATABASE")
    assert ProjectConfig.parse({"name": "p"}, of="the test").database_url(tmp_path) == f"sqlite:///{tmp_path / 'preceptor.db'}"


def test_a_person_has_a_price_before_a_kind_has_one():
    cost = ProjectConfig.parse(
        {"name": "p", "cost": {"judgment": 0.1, "kinds": {"rating": 0.02}, "annotators": {"ann": 1}}}, of="the test"
    ).cost
    assert [cost.judgment_price("ann", "rating"), cost.judgment_price("bob", "rating"), cost.judgment_price("bob", "choice")] == [
        1,
        0.02,
        0.1,
    ]
    assert cost.total_price(["ann", "bob", "bob"], "rating") == pytest.approx(1.04)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "can't be read"),
        ("redundancy = 3", "name: Field required"),
        ('name = "p"\ncolour = 1', "no option is called 'colour'"),
        ('name = "p"\n[redundancy]\nconfidence_threshold = 2', "redundancy.confidence_threshold: .*less than 1"),
        ('name = "p"\n[cost]\nannotators = { ann = -1 }', "cost.annotators.ann: .*greater than or equal to 0"),
        ('name = "p"\n[gate]\nbound = []', "no option is called 'gate.bound', did you mean 'bounds'"),
    ],
)
def test_a_faulty_file_is_told_with_its_place(tmp_path, text, fault):
    (tmp_path / "preceptor.toml").write_text(text)
    with pytest.raises(UserError, match=fault) as caught:
        ProjectConfig.load(tmp_path)
    assert "preceptor.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "nearest", "known"),
    [
        ("[anotators]", "'annotators'", "name, database"),
        ("[redundancy]\nmax_judgement = 2", "'max_judgments'", "of redundancy: confidence_threshold, min_judgments"),
        ("[pipeline]\nnew_judgments = 2", "'min_new_judgments'", "of pipeline: questions, recipe"),
        ("[serving]\nrequest_timeout = 2", "'request_timeout_seconds'", "of serving: retention_days, redact_pii"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_of_its_table(tmp_path, text, nearest, known):
    (tmp_path / "preceptor.toml").write_text(f'name = "p"\n{text}\n')
    with pytest.raises(UserError) as caught:
        ProjectConfig.load(tmp_path)
    assert (nearest in caught.value.message, known in caught.value.hint) == (True, True)
    assert "\n" not in caught.value.message


def test_a_file_that_is_written_has_all_tables(tmp_path):
    tables = {"redundancy", "annotators", "qualification", "cost", "training", "forgetting", "gate", "serving", "retrieval", "pipeline"}
    written = tomllib.loads(ProjectConfig.parse({"name": "p"}, of="the test").to_toml())
    assert {name for name, value in written.items() if isinstance(value, dict)} == tables


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "preceptor.toml").write_bytes(b"name = \xff")
    with pytest.raises(UserError, match="can't be read"):
        ProjectConfig.load(tmp_path)
