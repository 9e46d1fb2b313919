"""Offer what is served as `project.monitoring`: logged answers, feedback, deferrals, confidence, live quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectPart, ProjectService

if TYPE_CHECKING:
    from preceptor.monitoring import answer_confidence, deferred_answers, live_quality, live_report, response_log, user_feedback
else:
    globals().update(
        lazy_modules(
            "preceptor.monitoring",
            "answer_confidence deferred_answers live_quality live_report response_log user_feedback",
        )
    )


class MonitoringService(ProjectService):
    """What is served: logged answers, feedback, deferrals, confidence, live quality, drift."""

    # answers that were served
    response_log = ProjectPart(lambda: response_log.ResponseLog)

    # what users say about them
    feedback = ProjectPart(lambda: user_feedback.UserFeedback)

    # calls that people answer
    deferrals = ProjectPart(lambda: deferred_answers.DeferredAnswers)

    # confidence in answers, and the thresholds below which people answer
    estimate_confidence = ProjectMethod(lambda: answer_confidence.estimate_confidence)
    find_temperature_mismatch = ProjectMethod(lambda: answer_confidence.find_temperature_mismatch)
    get_threshold = ProjectMethod(lambda: answer_confidence.get_threshold)
    set_threshold = ProjectMethod(lambda: answer_confidence.set_threshold)
    calibrate_confidence = ProjectMethod(lambda: answer_confidence.calibrate_confidence)

    # live quality, costs and drift
    run_tasks = ProjectMethod(lambda: live_report.run_monitoring_tasks)
    build_live_report = ProjectMethod(lambda: live_report.build_live_report)

    # the random sample that measures quality
    queue_sampled_responses = ProjectMethod(lambda: live_quality.queue_sampled_responses)
