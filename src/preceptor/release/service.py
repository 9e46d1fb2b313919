"""Offer releases as `project.releases`: the gate, aliases, export, retraction and erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectPart, ProjectService

if TYPE_CHECKING:
    from preceptor.release import (
        data_export,
        erasure,
        gate,
        model_aliases,
        model_catalog,
        model_export,
        removal_worker,
        required_evidence,
        retraction,
    )
else:
    globals().update(
        lazy_modules(
            "preceptor.release",
            "data_export erasure gate model_aliases model_catalog model_export removal_worker required_evidence retraction",
        )
    )


class ReleaseService(ProjectService):
    """Releases: the gate, aliases, what can be served, export, and what is taken back or erased."""

    # the gate's decision about a model
    check_release = ProjectMethod(lambda: gate.check_release)
    check_recorded = ProjectMethod(lambda: gate.check_recorded)
    list_decisions = ProjectMethod(lambda: gate.list_decisions)
    load_report_with_decisions = ProjectMethod(lambda: gate.load_report_with_decisions)
    add_decisions = ProjectMethod(lambda: gate.add_decisions)

    # what would decide an open bound
    queue_evidence = ProjectMethod(lambda: required_evidence.queue_evidence)

    # the models there are, and those that a caller may use
    catalog = ProjectPart(lambda: model_catalog.ModelCatalog)
    list_models = ProjectMethod(lambda: model_catalog.list_models)

    # names that stand for a model
    aliases = ProjectPart(lambda: model_aliases.ModelAliases)
    resolve_alias = ProjectMethod(lambda: model_aliases.resolve_alias)

    # files of the project's data
    export_file = ProjectMethod(lambda: data_export.export_file)

    # files of a model
    export_model = ProjectMethod(lambda: model_export.export_model)

    # a person's judgments taken back
    preview_retraction = ProjectMethod(lambda: retraction.preview_retraction)
    retract_annotator = ProjectMethod(lambda: retraction.retract_annotator)
    find_retraction_dependents = ProjectMethod(lambda: retraction.find_retraction_dependents)
    was_retracted = ProjectMethod(lambda: retraction.was_retracted)
    describe_retraction = ProjectMethod(lambda: retraction.describe_retraction)

    # content erased on request
    erase_items = ProjectMethod(lambda: erasure.erase_items)
    erase_document = ProjectMethod(lambda: erasure.erase_document)

    # either of the two as a process beside the server
    start_removal = ProjectMethod(lambda: removal_worker.start_removal)
    get_removal_status = ProjectMethod(lambda: removal_worker.get_removal_status)
