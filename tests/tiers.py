"""Which tests belong to the second tier, `make check`: what starts processes or a browser, runs whole pages, or simulates long.

A single test elsewhere is marked `integration`. All others make up the first tier, `make test`, which is to take no more than eight
minutes on two quiet cores.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# Beginnings of "path under tests::name". Of the recipes, the first tier has those that most people train with.
INTEGRATION = (
    "cli/test_bad_input.py::test_a_missing_package",
    "cli/test_main.py::test_a_reader_that_leaves_early",
    "docs/test_pages.py",
    "end_to_end/",
    "examples/",
    "faults/",
    "formats/test_atomic.py",
    "formats/training/test_broken_input.py",
    "house/test_imports.py",
    "models/test_families.py",
    "project/importing/test_broken.py",
    "project/moving/test_moving.py",
    "recipes/reinforcing/test_asking.py",
    "recipes/reinforcing/test_guarded_runs.py",
    "recipes/reinforcing/test_reinforcing.py",
    "recipes/rewarding/test_rewards.py",
    "recipes/test_contrastive.py",
    "recipes/test_distil.py",
    "recipes/test_imitate.py",
    "recipes/test_kto.py",
    "recipes/test_raft.py",
    "recipes/test_reptile.py",
    "recipes/test_retention.py",
    "recipes/test_reward.py",
    "recipes/test_self_train.py",
    "serving/test_killed.py",
    "serving/test_operations.py",
    "web/test_roles.py",
)
OTHER_PROCESSES = frozenset({"browser", "server", "own_server"})  # fixtures that start them
SLOWER = re.compile(r"(?<![a-z])kill|interrupted|test_coverage")  # runs that are killed and go on, and simulated coverage
ON_BOTH_DATABASES = ("store/", "property/")  # in the first tier, too; what lies above them sees only the store
BROKEN_FILES, OF_EACH_KIND = "broken_files_are_refused", ("csv.csv", "jsonl.jsonl")


def is_integration(path: str, name: str, fixtures: Collection[str], parameters: Collection[str]) -> bool:
    """Tell by a test's path under tests/, its name, its fixtures and its parameters whether it belongs to the second tier."""
    return (
        f"{path}::{name}".startswith(INTEGRATION)
        or SLOWER.search(name.partition("[")[0]) is not None
        or not OTHER_PROCESSES.isdisjoint(fixtures)
        or ("postgresql" in parameters and not path.startswith(ON_BOTH_DATABASES))
        or (BROKEN_FILES in name and not any(f"[{kind}-" in name for kind in OF_EACH_KIND))
    )
