"""Which tests belong to the second tier, `make check`: what starts processes or a browser, runs whole pages, or simulates long.

A single test elsewhere is marked `integration`, and `slow` where only `make check-all` runs it. All others make up the first tier,
`make test`, which is to take no more than eight minutes on two quiet cores.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# Beginnings of "path under tests::name". Of the recipes, the first tier has those of classifiers.
INTEGRATION = (
    "cli/test_bad_input.py::test_a_missing_package",
    "cli/test_curating.py",
    "cli/test_dagger_command.py",
    "cli/test_main.py::test_a_reader_that_leaves_early",
    "cli/test_planning.py",
    "docs/test_pages.py",
    "end_to_end/",
    "evaluation/judges/test_verdict_regression.py",
    "evaluation/test_faithfulness.py",
    "examples/",
    "faults/",
    "formats/test_atomic.py",
    "formats/training/test_broken_input.py",
    "house/test_imports.py",
    "models/test_family_table.py",
    "planning/test_flags.py::test_the_honest",
    "planning/test_forecast.py::test_the_band",
    "planning/test_replays.py",
    "project/annotation/test_broken.py",
    "project/documents/test_judging.py",
    "project/documents/test_searched.py",
    "project/documents/test_training.py",
    "project/pipeline/test_cycling.py",
    "project/pipeline/test_gathering.py",
    "project/pipeline/test_moving.py",
    "project/pipeline/test_preferring.py",
    "project/pipeline/test_recorded.py",
    "project/pipeline/test_replaying.py",
    "project/pipeline/test_sources.py",
    "project/pipeline/test_tool_projects.py",
    "project/release/test_check.py",
    "project/release/test_inputs.py",
    "project/release/test_remaking.py",
    "project/runs/test_adjudicating.py",
    "project/runs/test_answering.py",
    "project/runs/test_choosing.py",
    "project/runs/test_costing.py",
    "project/runs/test_faithfulness_suite.py",
    "project/runs/test_forgetting.py",
    "project/runs/test_hosted.py",
    "project/runs/test_labels.py",
    "project/runs/test_loggers.py",
    "project/runs/test_pairs.py",
    "project/runs/test_planning.py",
    "project/runs/test_rag_ablation.py",
    "project/runs/test_reinforcing.py",
    "project/runs/test_repeating.py",
    "project/runs/test_reward_checks.py",
    "project/runs/test_rewards.py",
    "project/runs/test_rows.py",
    "project/runs/test_running.py",
    "project/runs/test_self_training.py",
    "project/runs/test_techniques.py",
    "project/runs/test_texts.py",
    "project/runs/test_ties.py",
    "project/snapshots/test_acting.py",
    "project/snapshots/test_curating.py",
    "project/test_quickstart.py",
    "property/test_curated.py",
    "property/test_retraction.py",
    "property/test_snapshots.py",
    "quality/test_duplicates.py::test_order_is_irrelevant_in_buckets",
    "storage/test_database_url.py::test_no_command",
    "training/rewards/test_rewards.py",
    "training/rl/test_asking.py",
    "training/rl/test_guarded_runs.py",
    "training/rl/test_reinforcing.py",
    "training/test_dagger.py",
    "training/test_distillation.py",
    "training/test_diverging.py",
    "training/test_dpo.py",
    "training/test_kto.py",
    "training/test_labels.py",
    "training/test_raft.py",
    "training/test_reptile.py",
    "training/test_retention.py",
    "training/test_reward.py",
    "training/test_room.py",
    "training/test_run_file.py",
    "training/test_self_training.py",
    "training/test_setfit.py",
    "training/test_sft.py",
    "training/test_watching.py",
    "web/manage/test_checks.py",
    "web/manage/test_curating.py",
    "web/manage/test_releases.py",
    "web/manage/test_removal.py",
    "web/openai/test_killed.py",
    "web/openai/test_load.py",
    "web/openai/test_operations.py",
    "web/openai/test_owners.py",
    "web/openai/test_people_and_sources.py",
    "web/openai/test_upstream.py",
    "web/test_lines.py",
    "web/test_roles.py",
    "web/test_schema.py",
)
# Further cases of what the second tier tries once or twice: only `make check-all` runs these.
EXHAUSTIVE = (
    "faults/test_full_disk.py::test_on_a_full_disk",
    "models/test_families.py",
    "training/test_retention.py::test_a_killed_ladder",
    "training/test_retention.py::test_auto_meets",
    "training/test_retention.py::test_each_remedy",
    "web/manage/test_in_browser.py::test_every_page_is_in_shape[1280",
)
OTHER_PROCESSES = frozenset({"browser", "server", "own_server"})  # fixtures that start them
# Runs that are killed and go on, and simulations of what intervals cover and alarms miss.
SLOWER = re.compile(r"(?<![a-z])kill|interrupted|test_coverage|interval\w*_(hold|cover)|hold_their|false_alarm|hardly_ever_alarms")
# What runs a second time on PostgreSQL: storage and properties, in the first tier too; all else only `make check-all` runs there.
ON_BOTH_DATABASES = ("storage/", "property/")
# And in the second tier faults, the loop, of each service what rests on the database (locks, times, odd characters, triggers), and of
# each router one test that reads and writes.
POSTGRESQL_SMOKE = (
    "end_to_end/",
    "faults/",
    "project/annotation/test_interchange.py::test_everything_moves_to_another_project[postgresql-jsonl",
    "project/annotation/test_interchange.py::test_times_and_all",
    "project/documents/test_documents.py::test_another_server",
    "project/documents/test_documents.py::test_what_was_erased",
    "project/jobs/test_owners.py::test_a_job_never_begins",
    "project/monitoring/test_deferring.py::test_a_person_answers_before_all_else",
    "project/monitoring/test_feedback.py::test_thumbs_are_judgments",
    "project/monitoring/test_kept.py::test_odd_letters",
    "project/monitoring/test_quality.py::test_from_answers_to_the_figure",
    "project/pipeline/test_cycling.py::test_a_turn_ends_with_a_model",
    "project/pipeline/test_cycling.py::test_another_process",
    "project/release/test_erasing.py::test_a_document_goes_with_its_index",
    "project/release/test_erasing.py::test_nothing_of_an_item_remains",
    "project/release/test_erasing.py::test_the_log_shows",
    "project/runs/test_over_http.py",
    "project/test_access.py::test_attempts_at_the_same_moment",
    "project/test_access.py::test_of_two_rotations",
    "project/test_lost_database.py",
    "web/manage/test_live_page.py::test_a_manager_sees",
    "web/openai/test_owners.py",
    "web/test_api.py::test_a_question_is_added",
    "web/test_api.py::test_an_answer_that_is_none",
    "web/test_api.py::test_an_id_with_other_content",
    "web/test_api.py::test_consensus_as_a_document",
    "web/test_api.py::test_somebody_is_invited",
    "web/test_api.py::test_the_same_key",
    "web/test_doors.py::test_a_link_signs_in",
    "web/test_doors.py::test_name_and_password",
    "web/test_opinions.py::test_whoever_has_the_link",
    "web/test_security.py::test_who_is_revoked",
)
BROKEN_FILES, OF_EACH_KIND = "broken_files_are_refused", ("csv.csv", "jsonl.jsonl")


def is_integration(path: str, name: str, fixtures: Collection[str], parameters: Collection[str]) -> bool:
    """Tell by a test's path under tests/, its name, its fixtures and its parameters whether it belongs to the second tier."""
    return (
        f"{path}::{name}".startswith(INTEGRATION)
        or SLOWER.search(name.partition("[")[0]) is not None
        or not OTHER_PROCESSES.isdisjoint(fixtures)
        or ("postgresql" in parameters and not path.startswith(ON_BOTH_DATABASES))
    )


def is_exhaustive(path: str, name: str, parameters: Collection[str] = ()) -> bool:
    """Tell whether a test is for `make check-all` alone: further kinds of broken files, and what PostgreSQL hardly changes."""
    return (
        f"{path}::{name}".startswith(EXHAUSTIVE)
        or (BROKEN_FILES in name and not any(f"[{kind}]" in name for kind in OF_EACH_KIND))
        or ("postgresql" in parameters and not f"{path}::{name}".startswith((*ON_BOTH_DATABASES, *POSTGRESQL_SMOKE)))
    )
