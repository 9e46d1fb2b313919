"""The names that others build on. One that comes or goes is decided here, and stands in CHANGELOG.md."""

from __future__ import annotations

from importlib import import_module

import pytest

FROZEN = {
    "preceptor": "Estimate Project UserError",
    "preceptor.curation": "Clusters GroupLeak Leak Pair Template TemplateLeak exact_key group_leaks leaks near_duplicates "
    "template_leaks templates",
    "preceptor.curation.personal": "DEFAULT_KINDS KINDS Finding Kind find mask new_key placeholder",
    "preceptor.domain": "Annotator AnnotatorQuality Composed Consensus Estimate Gold Item Judgment Model Question Release Run digest_of",
    "preceptor.evaluation": "Bound Decision Proof Report Written classification_estimates confusion decide label_estimates "
    "label_reliability labels_of paired paired_texts reliability text_estimates",
    "preceptor.formats": "Format Row Rows Source Target atomic_write formats read write",
    "preceptor.planning": "Beliefs Crowd Design Point Study curve design_study finish gain",
    "preceptor.project": "ROLES SCOPES Access Config Forbidden ImportReport Locked Project Visitor",
    "preceptor.questions": "Kind check_follows define is_asked kinds",
    "preceptor.recipes": "Progress Recipe Row Run TrainingData recipes",
    "preceptor.snapshots": "SPLITS Row Snapshot answers_of build_rows check_rows diff write_snapshot",
    "preceptor.store": "Assignment Connection Database Objects access aliases answers asides batched curations cycles deferrals documents "
    "erasing erasures events feedback gold items jobs journal live_settings people provenance questions records slots suspects uploads "
    "vectors",
}
PINNED = {
    "preceptor.evaluation.suites": "Measured Metric Policy Suite knowing_section metrics policy_section read_policy read_prompts "
    "read_suite task_section",
    "preceptor.aggregation": "Aggregator Judgments aggregate aggregators agreement pairwise",
    "preceptor.guidance": "Flag Pool Qualification StopRule Watch Work escalates flags is_gold_turn needs odds qualify wanted watch",
    "preceptor.models": "class_probabilities convert_gguf load_causal load_classifier load_tokenizer",
    "preceptor.statistics": "compare_paired confidence_sequence mean ppi_mean",
}
METHODS = (
    "active add_annotator add_gold add_items add_question address adjudicate answer asked check close compare config consensus "
    "counts create edit_options evaluate export feedback folder forget_questions form guide judge key_of lineage load_snapshot model "
    "models next note_address only_question open pass_on people plan predict prioritise question questions read release retract "
    "secret secret_at_hand snapshot snapshots status submit suggested take_back train"
)


@pytest.mark.parametrize("package", FROZEN)
def test_a_package_exports_these_names(package):
    assert set(import_module(package).__all__) == set(FROZEN[package].split())


@pytest.mark.parametrize("package", PINNED)
def test_a_growing_package_keeps_these_names(package):
    assert set(PINNED[package].split()) <= set(import_module(package).__all__)


@pytest.mark.parametrize("package", [*FROZEN, *PINNED])
def test_every_exported_name_is_there_and_says_what_it_is(package):
    module = import_module(package)
    for name in module.__all__:
        thing = getattr(module, name)
        assert not callable(thing) or thing.__doc__, name


def test_a_projects_methods_are_these(project):
    public = {name for name in dir(project) if not name.startswith("_")} - {"database", "objects"}
    assert public == set(METHODS.split())


def test_registries_know_what_is_built_in():
    from preceptor.aggregation import aggregators
    from preceptor.formats import formats
    from preceptor.questions import kinds
    from preceptor.recipes import recipes

    assert {"auto", "majority", "dawid_skene", "one_coin", "mace", "glad", "rating"} <= set(aggregators.names())
    assert {"csv", "tsv", "json", "jsonl", "parquet"} <= set(formats.names())
    assert {"choice", "rating"} <= set(kinds.names())
    assert {"classify", "contrastive", "few_shot", "linear_probe", "sft"} <= set(recipes.names())
