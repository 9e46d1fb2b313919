"""The parts of a project: each lists operations that exist, keeps their docstrings, and loads nothing before it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from preceptor.lazy_imports import lazy_attributes
from preceptor.workspace import ProjectMethod, ProjectPart, ProjectService

PARTS = {  # part of a project -> its package
    "annotation": "annotation",
    "curation": "snapshots",
    "documents": "documents",
    "evaluation": "runs",
    "monitoring": "monitoring",
    "releases": "release",
    "training": "runs",
}


def operations(service: ProjectService) -> list[str]:
    """The names of a service's operations."""
    return [name for name, kind in vars(type(service)).items() if isinstance(kind, ProjectMethod | ProjectPart)]


@pytest.mark.parametrize("part", PARTS)
def test_each_operation_is_there_and_says_what_it_does(project, part):
    service = getattr(project, part)
    assert operations(service)
    for name in operations(service):
        assert inspect.getdoc(getattr(service, name)), name
        assert next(iter(inspect.signature(getattr(type(service), name)).parameters)) == "project", name


def test_a_part_is_one_object_for_each_project(project):
    assert project.monitoring.feedback is project.monitoring.feedback
    assert project.monitoring.feedback.project is project


def test_an_operation_is_bound_to_its_project(project):
    assert "project" not in inspect.signature(project.monitoring.set_threshold).parameters
    assert project.monitoring.get_threshold("m-1") is None


@pytest.mark.parametrize("package", sorted(set(PARTS.values())))
def test_a_service_loads_no_module_before_it_is_called(package):
    code = f"import sys, preceptor.{package}.service\nprint(*[name for name in sys.modules if name.startswith('preceptor.{package}.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [f"preceptor.{package}.service"]


def test_a_name_that_a_package_does_not_offer_is_refused():
    find = lazy_attributes("preceptor.monitoring", {"live_report": "DriftSignal"})
    assert find("DriftSignal").__name__ == "DriftSignal"
    with pytest.raises(AttributeError, match="Drift"):
        find("Drift")
