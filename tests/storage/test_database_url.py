"""An address of a database is never printed with its password, whatever is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import StatementError

from preceptor.config import ProjectConfig
from preceptor.errors import UserError
from preceptor.storage import Database
from preceptor.storage.connection import redact_database_url

SECRET = "s3cr3t"
WRONG = [
    f"mysql://bob:{SECRET}@host/data",  # another database
    f"postgres://bob:{SECRET}@host/data",  # the name that Heroku gives it
    f"postgresql+unknown://bob:{SECRET}@host/data",
    f"postgresql+psycopg://bob:{SECRET}",  # no host: the password stands where a port would
    f"postgresql+psycopg://bob:{SECRET}@host:port/data",
    f"postgresql//bob:{SECRET}@host/data",
    f"bob:{SECRET}://x",
    f"postgresql+psycopg://bob:x@{SECRET}@host/data",  # an @ in the password, whose rest is taken for the host
    f"mysql://bob:x@{SECRET}@host/data",
    f"mysql://host/data?password={SECRET}",
]


def test_no_error_tells_the_password(subtests):
    for url in WRONG:
        with subtests.test(url=url):
            with pytest.raises(UserError) as raised:
                Database(url)
            told = raised.value
            while told is not None:  # what a traceback would show with it, too
                shown = f"{told} {told!r}" if isinstance(told, UserError) or not told.__suppress_context__ else ""
                assert SECRET not in shown
                told = None if told.__suppress_context__ else told.__cause__ or told.__context__


@pytest.mark.parametrize("url", [WRONG[0], WRONG[3], WRONG[7], f"postgresql+psycopg://bob:{SECRET}@127.0.0.1:1/data"])
@pytest.mark.parametrize("command", [("status", "--json"), ("doctor",)])
def test_no_command_tells_the_password(url, command, tmp_path):
    (tmp_path / "preceptor.toml").write_text(f'name = "p"\ndatabase = "{url}"\n')
    ran = subprocess.run(
        [sys.executable, "-m", "preceptor", *command], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert SECRET not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == (0 if command == ("doctor",) else 1)


def test_what_is_shown_of_an_address_is_enough_to_know_it_by():
    shown = redact_database_url(make_url(f"postgresql+psycopg://bob:{SECRET}@host:5432/data?sslmode=require&password={SECRET}"))
    assert shown == "postgresql+psycopg://bob:***@host:5432/data?password=***&sslmode=require"


def test_a_value_that_may_hold_a_password_isnt_quoted_back():
    for values in (
        {"database": [f"postgresql://bob:{SECRET}@host"]},
        {"serving": {"upstream": {"address": f"http://bob:{SECRET}@host"}}},
        {"serving": f"http://bob:{SECRET}@host"},
    ):
        with pytest.raises(UserError) as raised:
            ProjectConfig.parse({"name": "p", **values}, of="preceptor.toml")
        assert SECRET not in str(raised.value)
    with pytest.raises(UserError, match=r"cost.machine_hour.*got -1"):
        ProjectConfig.parse({"name": "p", "cost": {"machine_hour": -1}}, of="preceptor.toml")
    assert SECRET not in repr(ProjectConfig.parse({"name": "p", "database": SECRET, "serving": {"upstream": SECRET}}, of="it"))


def test_what_a_statement_was_given_stays_out_of_errors(database_url):
    """An error that reaches the log quotes the statement; what people wrote, and hashes of what lets them in, would stand in it."""
    from sqlalchemy import text

    database = Database(database_url)
    with pytest.raises((UserError, StatementError)) as raised, database.writing() as connection:
        connection.execute(text("INSERT INTO nowhere (a) VALUES (:a)"), {"a": SECRET})
    told = f"{raised.value} {raised.value.__cause__}"
    assert "INSERT INTO nowhere" in told
    assert SECRET not in told
    database.close()


def test_an_upstreams_password_isnt_told():
    from preceptor.generation.openai_client import redact_address

    assert redact_address(f"http://bob:{SECRET}@host:8000/v1?key={SECRET}") == "http://host:8000/v1"
    assert SECRET not in redact_address(f"http://[bob:{SECRET}@host")
