"""Offer runs as `project.training` and `project.evaluation`: what prepares and follows `Project.train` and `Project.evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectService

if TYPE_CHECKING:
    from preceptor.runs import (
        auto_recipe,
        claim_audit,
        comparison,
        expert_audit,
        method_comparison,
        named_judges,
        parity_check,
        prediction,
        suite_answers,
        training,
    )
else:
    globals().update(
        lazy_modules(
            "preceptor.runs",
            "auto_recipe claim_audit comparison expert_audit method_comparison named_judges parity_check prediction suite_answers training",
        )
    )


class TrainingService(ProjectService):
    """Training beside `Project.train`: which recipe, what a run would read, runs again, and predictions of what was trained."""

    # the choice of a recipe
    select_recipe = ProjectMethod(lambda: auto_recipe.select_recipe)

    # learning curves
    compare_methods = ProjectMethod(lambda: method_comparison.compare_methods)

    # a run before it begins
    preview_training = ProjectMethod(lambda: training.preview_training)
    load_repeated_run = ProjectMethod(lambda: training.load_repeated_run)

    # what a trained model answers
    predict_probabilities = ProjectMethod(lambda: prediction.predict_probabilities)
    load_predictor = ProjectMethod(lambda: prediction.load_predictor)


class EvaluationService(ProjectService):
    """Evaluation beside `Project.evaluate`: comparisons by people, judges, audits, and parity."""

    # blind comparison by people
    load_compared_answers = ProjectMethod(lambda: comparison.load_compared_answers)
    compare_side_by_side = ProjectMethod(lambda: comparison.compare_side_by_side)

    # judges by name
    load_rubric_judge = ProjectMethod(lambda: named_judges.load_rubric_judge)
    load_pair_judge = ProjectMethod(lambda: named_judges.load_pair_judge)

    # experts' answers about test rows
    queue_expert_sample = ProjectMethod(lambda: expert_audit.queue_expert_sample)

    # claims in answers, and people's verdicts about them
    load_claim_pairs = ProjectMethod(lambda: claim_audit.load_claim_pairs)
    audit_claims = ProjectMethod(lambda: claim_audit.audit_claims)

    # whether what is served is what was measured
    check_parity = ProjectMethod(lambda: parity_check.check_parity)
    check_upstream_parity = ProjectMethod(lambda: parity_check.check_upstream_parity)

    # answers of models to prompts
    find_subject = ProjectMethod(lambda: suite_answers.find_subject)
    generate_answers = ProjectMethod(lambda: suite_answers.generate_answers)
