"""Train, evaluate and compare a project's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.runs.auto_recipe import RecipeChoice
    from preceptor.runs.comparison import COMPARISON_INSTRUCTIONS, ComparisonOptions
    from preceptor.runs.cost_plan import CostEstimate, plan_costs
    from preceptor.runs.human_feedback import WaitsForHumans
    from preceptor.runs.judgment_plan import JudgmentPlan
    from preceptor.runs.named_judges import JudgeHosting
    from preceptor.runs.plan_page import JUDGMENTS_CAPTION, allocation_summary, build_cost_table, judgments_summary, render_plan_page
    from preceptor.runs.suite_answers import is_answers_file, read_recorded_answers
    from preceptor.runs.suite_runner import SuiteOptions
    from preceptor.runs.training import RepeatedRun, training_summary

__all__ = [
    "COMPARISON_INSTRUCTIONS",
    "JUDGMENTS_CAPTION",
    "ComparisonOptions",
    "CostEstimate",
    "JudgeHosting",
    "JudgmentPlan",
    "RecipeChoice",
    "RepeatedRun",
    "SuiteOptions",
    "WaitsForHumans",
    "allocation_summary",
    "build_cost_table",
    "is_answers_file",
    "judgments_summary",
    "plan_costs",
    "read_recorded_answers",
    "render_plan_page",
    "training_summary",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "auto_recipe": "RecipeChoice",
        "comparison": "COMPARISON_INSTRUCTIONS ComparisonOptions",
        "cost_plan": "CostEstimate plan_costs",
        "human_feedback": "WaitsForHumans",
        "judgment_plan": "JudgmentPlan",
        "named_judges": "JudgeHosting",
        "plan_page": "JUDGMENTS_CAPTION allocation_summary build_cost_table judgments_summary render_plan_page",
        "suite_answers": "is_answers_file read_recorded_answers",
        "suite_runner": "SuiteOptions",
        "training": "RepeatedRun training_summary",
    },
)
