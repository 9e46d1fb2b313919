"""The names that others build on. One that comes or goes is decided here, and stands in CHANGELOG.md."""

from __future__ import annotations

from importlib import import_module

import pytest

FROZEN = {
    "preceptor": "Estimate Project UserError",
    "preceptor.evaluation": (
        "GateDecision GeneratedAnswers ParityCheck ReleaseBound classification_estimates "
        "confusion_matrix decide_release detect_labels generation_estimates label_estimates "
        "label_reliability paired_classification_estimates paired_generation_estimates "
        "reliability_points"
    ),
    "preceptor.formats": "FileFormat FileRow FormatReader FormatSource FormatTarget atomic_write formats read write",
    "preceptor.quality": (
        "DuplicateClusters DuplicatePair GroupLeak TemplateLeak TextLeak TextTemplate exact_key "
        "find_group_leaks find_leaks find_near_duplicates find_template_leaks find_templates"
    ),
    "preceptor.quality.pii": "DEFAULT_PII_KINDS PII_KINDS PiiFinding PiiKind find_pii mask_pii new_mask_key pii_placeholder",
    "preceptor.questions": "QuestionKind check_follow_up define_question is_follow_up_asked kinds",
    "preceptor.storage": (
        "Connection Database ObjectStore SlotAssignment access aliases answers artifacts batched "
        "chunk_vectors curations deferrals documents erasures events external_annotations feedback gold "
        "items jobs judgment_log model_settings people pipeline_runs provenance questions slots suspects "
        "uploads"
    ),
    "preceptor.training": "Recipe TrainingData TrainingProgress TrainingRow TrainingRun recipes",
}
PINNED = {
    "preceptor.consensus": (
        "Aggregator Judgments OnlineDawidSkene PairwiseOptions PairwisePreferences aggregate "
        "aggregate_multilabel aggregators agreement fit_pairwise"
    ),
    "preceptor.evaluation.judges": (
        "CalibratedScores CaseJudge GenerationChooser JudgeAgreement JudgeCase JudgeDrift JudgeProbe "
        "LikelihoodChooser OptionChooser OrderedVerdicts PairCase PairJudge RubricJudge calibrate_scores "
        "impute_missing label_efficiency measure_agreement measure_drift parse_verdict"
    ),
    "preceptor.evaluation.suites": "EvaluationSuite generation_section read_suite selective_prediction_section",
    "preceptor.generation": (
        "AccessDenied AnswerStore HostedAnswer HostedProvider LocalClassifier LocalProvider Message "
        "OpenAIClient OptionPrompt OptionScorer TextGenerator UpstreamClient UpstreamOverloaded "
        "UpstreamUnavailable chat_prompt classify_by_prompt plain_prompt read_prices"
    ),
    "preceptor.models": (
        "TextClassifier class_probabilities convert_gguf count_parameters embed_texts load_causal "
        "load_classifier load_tokenizer prepare_classifier"
    ),
    "preceptor.planning": (
        "AccuracyAlarm CrowdModel ForecastPoint ItemBeliefs JudgmentReplay OperatingCharacteristic "
        "PlannedQuery QualificationResult QualificationRule QuerySelection SelectionMix StopRule "
        "StopRuleAudit StudyDesign StudyPlan allocate_judgments audit_stop_rule design_study "
        "forecast_completion forecast_curve forecast_gain full_redundancy has_required_skills is_audited "
        "is_gold_due lure_weights monitor_accuracy operating_characteristic qualify_annotator "
        "recalibration_scale replay_judgments select_queries should_escalate target_judgment_counts "
        "trivial_gold_warning"
    ),
    "preceptor.statistics": (
        "ChangeEvidence ReliabilityBin accuracy_against_consensus apply_temperature bootstrap "
        "brier_scores calibration_estimates clopper_pearson_interval compare_paired "
        "compare_suite_accuracy confidence_sequence confidence_sequence_path cross_fit_token_confidence "
        "detect_change effective_labels estimate_active_mean estimate_at_interim estimate_mean "
        "estimate_proportion expected_calibration_error fit_temperature fit_token_confidence holm_adjust "
        "labelling_probabilities log_loss_rows mcnemar neyman_allocation ppi_mean ppi_paired ppi_ratio "
        "ppi_sequence ppi_sequence_path ppi_stratified predict_token_confidence preference_estimates "
        "ranked_probability_scores reliability_curve residual_spreads retained_log_probability "
        "rogan_gladen sample_by_probability strata_by_score token_features wilson_interval"
    ),
}
METHODS = (
    "add_annotator add_gold add_items add_question address adjudicate annotation check close compare config consensus counts "
    "create curation documents edit_options evaluate evaluation export feedback folder form_questions judge lineage "
    "load_snapshot model models monitoring next only_question open people plan predict prioritise question questions read "
    "release releases retract set_address skip snapshot snapshots status submit train training update_redundancy "
    "withdraw_answer"
)


@pytest.mark.parametrize("package", FROZEN)
def test_a_package_exports_these_names(package):
    assert set(import_module(package).__all__) == set(FROZEN[package].split())


@pytest.mark.parametrize("package", PINNED)
def test_a_growing_package_keeps_these_names(package):
    assert set(PINNED[package].split()) <= set(import_module(package).__all__)


def test_every_exported_name_is_there_and_says_what_it_is(subtests):
    for package in [*FROZEN, *PINNED]:
        with subtests.test(package=package):
            module = import_module(package)
            for name in module.__all__:
                thing = getattr(module, name)
                assert not callable(thing) or thing.__doc__, name


def test_a_projects_methods_are_these(project):
    public = {name for name in dir(project) if not name.startswith("_")} - {"cache", "database", "objects"}
    assert public == set(METHODS.split())


def test_registries_know_what_is_built_in():
    from preceptor.consensus import aggregators
    from preceptor.formats import formats
    from preceptor.questions import kinds
    from preceptor.training import recipes

    assert {"auto", "majority", "dawid_skene", "one_coin", "mace", "glad", "rating"} <= set(aggregators.names())
    assert {"csv", "tsv", "json", "jsonl", "parquet"} <= set(formats.names())
    assert {"choice", "rating"} <= set(kinds.names())
    assert {"classify", "setfit", "in_context", "linear_probe", "sft"} <= set(recipes.names())
