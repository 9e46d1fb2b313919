"""Offer the work of people as `project.annotation`: access, assigned work, adjudication, items, questions and progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectPart, ProjectService

if TYPE_CHECKING:
    from preceptor.annotation import (
        access_control,
        adjudication,
        assignment,
        consensus_index,
        dashboard,
        implicit_questions,
        project_status,
        question_admin,
    )
else:
    globals().update(
        lazy_modules(
            "preceptor.annotation",
            "access_control adjudication assignment consensus_index dashboard implicit_questions project_status question_admin",
        )
    )


class AnnotationService(ProjectService):
    """The work of people: who may do what, what is assigned, adjudication, items with their answers, progress."""

    # people, their credentials and sessions
    access = ProjectPart(lambda: access_control.AccessControl)
    list_annotators = ProjectMethod(lambda: access_control.list_annotators)
    get_annotator = ProjectMethod(lambda: access_control.get_annotator)
    count_active_judgments = ProjectMethod(lambda: access_control.count_active_judgments)

    # work that is assigned
    load_assigned_work = ProjectMethod(lambda: assignment.load_assigned_work)
    load_held_work = ProjectMethod(lambda: assignment.load_held_work)
    submit_answer = ProjectMethod(lambda: assignment.submit_answer)
    load_suggestion = ProjectMethod(lambda: assignment.load_suggestion)
    list_slot_questions = ProjectMethod(lambda: assignment.list_slot_questions)
    load_annotator_stats = ProjectMethod(lambda: assignment.load_annotator_stats)

    # decisions about escalated items, and the history of each item
    load_item_history = ProjectMethod(lambda: adjudication.load_item_history)
    list_item_questions = ProjectMethod(lambda: adjudication.list_item_questions)
    list_escalated_items = ProjectMethod(lambda: adjudication.list_escalated_items)
    load_review_case = ProjectMethod(lambda: adjudication.load_review_case)
    adjudicate_slot = ProjectMethod(lambda: adjudication.adjudicate_slot)

    # items by their consensus, and the audit log
    list_item_page = ProjectMethod(lambda: consensus_index.list_item_page)
    list_events = ProjectMethod(lambda: consensus_index.list_events)

    # progress, from metrics that are computed in the background
    count_last_day = ProjectMethod(lambda: dashboard.count_last_day)
    dashboard = ProjectPart(lambda: dashboard.DashboardCache)

    # counts of everything
    summarize_totals = ProjectMethod(lambda: project_status.summarize_totals)

    # changes of questions
    edit_options = ProjectMethod(lambda: question_admin.edit_options)

    # questions that come with files
    choose_snapshot_question = ProjectMethod(lambda: implicit_questions.choose_snapshot_question)
