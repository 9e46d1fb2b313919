"""The API against its own OpenAPI document: requests that fit it and that don't, and no answer that it doesn't describe."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.web.app import create_app

EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "searching" else 12


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema") / "p"
    project = Project.create(folder)
    project.add_question("q", "choice", ["a", "b"])
    project.add_items({"id": f"i-{number}", "content": f"text {number}"} for number in range(50))
    token = AccessControl(project).invite("owner", "owner")["token"]
    project.close()
    return create_app(folder), token


def test_the_api_is_as_it_says(served, subtests):
    app, token = served
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    operations = [each.ok() for each in described.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case):
            # what fits the schema may still be wrong for this project: another option, an item that isn't there
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=[positive_data_acceptance])

        with subtests.test(operation=operation.label):
            check()
