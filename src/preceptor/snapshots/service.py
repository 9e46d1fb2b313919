"""Offer the care of a project's data as `project.curation`: experts' decisions, checks of snapshots and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectService

if TYPE_CHECKING:
    from preceptor.snapshots import check_page, check_worker, curation, remediation
else:
    globals().update(lazy_modules("preceptor.snapshots", "check_page check_worker curation remediation"))


class CurationService(ProjectService):
    """The care of the data: experts' decisions about suspect items, checks of snapshots, and what is done about the findings."""

    # experts' decisions about items that a check suspects
    list_suspects = ProjectMethod(lambda: curation.list_suspects)
    count_suspects = ProjectMethod(lambda: curation.count_suspects)
    load_case = ProjectMethod(lambda: curation.load_curation_case)
    curate_item = ProjectMethod(lambda: curation.curate_item)
    undo = ProjectMethod(lambda: curation.undo_curation)
    list_guideline_examples = ProjectMethod(lambda: curation.list_guideline_examples)
    list_recent_decisions = ProjectMethod(lambda: curation.list_recent_decisions)

    # checks of a snapshot in a process beside the server
    get_check_state = ProjectMethod(lambda: check_worker.get_check_state)
    load_latest_result = ProjectMethod(lambda: check_worker.load_latest_result)
    start_checks = ProjectMethod(lambda: check_worker.start_checks)

    # what is done about findings, each in a new snapshot
    send_to_experts = ProjectMethod(lambda: remediation.send_to_experts)
    merge_duplicates = ProjectMethod(lambda: remediation.merge_duplicates)
    drop_rows = ProjectMethod(lambda: remediation.drop_rows)
    mask_personal_data = ProjectMethod(lambda: remediation.mask_personal_data)

    # findings and differences as a page
    compare_snapshots = ProjectMethod(lambda: check_page.compare_snapshots)
    render_check_page = ProjectMethod(lambda: check_page.render_check_page)
