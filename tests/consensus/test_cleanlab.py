"""cleanlab.multiannotator's interface; its own tests run outside the repository (docs/crowdkit.md)."""

import numpy as np
import pandas as pd
import pytest

from preceptor.compat.cleanlab import multiannotator


def crowd(seed=0, items=60, annotators=8, classes=4):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=items)
    wide = np.where(rng.random((items, annotators)) < 0.7, truth[:, None], rng.integers(classes, size=(items, annotators))).astype(float)
    wide[rng.random((items, annotators)) < 0.5] = np.nan
    wide[np.isnan(wide).all(axis=1), 0] = 0
    model = rng.dirichlet(np.ones(classes), size=items)
    model[np.arange(items), truth] += 0.7
    frame = pd.DataFrame(wide, columns=[f"a{j}" for j in range(annotators)], index=[f"i{i}" for i in range(items)])
    return frame, model / model.sum(axis=1, keepdims=True), truth


def test_frames_have_the_names_and_shapes():
    frame, model, truth = crowd()
    found = multiannotator.get_label_quality_multiannotator(frame, model, return_weights=True)
    quality, detailed, stats = found["label_quality"], found["detailed_label_quality"], found["annotator_stats"]
    assert list(quality.columns) == ["consensus_label", "consensus_quality_score", "annotator_agreement", "num_annotations"]
    assert list(quality.index) == list(frame.index)
    assert list(detailed.columns) == [f"quality_annotator_a{j}" for j in range(8)]
    assert (detailed.isna().to_numpy() == frame.isna().to_numpy()).all()
    assert list(stats.columns) == ["annotator_quality", "agreement_with_consensus", "worst_class", "num_examples_labeled"]
    assert set(stats.index) == set(frame.columns)
    assert stats["annotator_quality"].is_monotonic_increasing
    assert isinstance(found["model_weight"], float)
    assert found["annotator_weight"].shape == (8,)
    assert (quality["consensus_label"] == truth).mean() > 0.9


def test_several_consensus_methods_stand_side_by_side():
    frame, model, _ = crowd()
    both = multiannotator.get_label_quality_multiannotator(frame, model, consensus_method=["majority_vote", "best_quality"])[
        "label_quality"
    ]
    assert (both["consensus_label"].to_numpy() == multiannotator.get_majority_vote_label(frame, model)).all()
    alone = multiannotator.get_label_quality_multiannotator(frame, model)["label_quality"]
    assert (both["consensus_label_best_quality"] == alone["consensus_label"]).all()


def test_agreement_needs_no_model():
    frame, model, _ = crowd()
    by_people = multiannotator.get_label_quality_multiannotator(frame, model, quality_method="agreement")["label_quality"]
    assert (by_people["consensus_quality_score"] == by_people["annotator_agreement"]).all()


def test_one_model_is_an_ensemble_of_one():
    frame, model, _ = crowd()
    one = multiannotator.get_label_quality_multiannotator(frame, model, return_weights=True)
    many = multiannotator.get_label_quality_multiannotator_ensemble(frame, model[None], return_weights=True)
    pd.testing.assert_frame_equal(one["label_quality"], many["label_quality"])
    assert many["model_weight"] == pytest.approx([one["model_weight"]])


def test_worst_class_is_right_least_often():
    wide = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 2], [1, 1, 1], [2, 2, 2], [2, 2, 1]], dtype=float)
    stats = multiannotator.get_label_quality_multiannotator(wide, np.full((6, 3), 1 / 3), quality_method="agreement")["annotator_stats"]
    assert stats.loc[0, "worst_class"] == 1  # right once of twice; 0 and 2 always
    assert stats.loc[2, "worst_class"] == 1


def test_active_learning_asks_where_least_is_known():
    frame, model, _ = crowd()
    labelled, unlabelled = multiannotator.get_active_learning_scores(frame, model, model[:10])
    assert labelled.shape == (60,)
    assert unlabelled.shape == (10,)
    assert unlabelled.mean() < labelled.mean()
    split = (frame.nunique(axis=1) > 1).to_numpy()
    assert labelled[split].mean() < labelled[~split].mean()
    none, alone = multiannotator.get_active_learning_scores(pred_probs_unlabeled=model)
    assert len(none) == 0
    assert alone == pytest.approx((model.max(axis=1) + 1 / 4) / 2)


def test_one_annotator_falls_back_on_the_model():
    frame, model, _ = crowd()
    single = frame.iloc[:, :1].fillna(0)
    scores, _ = multiannotator.get_active_learning_scores(single, model)
    own = model[np.arange(60), single["a0"].astype(int)]
    assert scores == pytest.approx((2 * own + 1 / 4) / 3)


@pytest.mark.parametrize("sharper", [0.5, 3.0])
def test_temperature_undoes_over_and_underconfidence(sharper):
    rng = np.random.default_rng(0)
    calibrated = rng.dirichlet(np.ones(4), size=3000)
    labels = np.array([[rng.choice(4, p=p) for _ in range(3)] for p in calibrated], dtype=float)
    told = multiannotator.temp_scale_pred_probs(calibrated, 1 / sharper)
    assert multiannotator.find_best_temp_scaler(labels, told) == pytest.approx(sharper, rel=0.3)


def test_long_becomes_wide():
    long = pd.DataFrame({"task": [1, 1, 2], "annotator": ["a", "b", "a"], "label": [0, 1, 2]})
    wide = multiannotator.convert_long_to_wide_dataset(long)
    assert wide.loc[1, "b"] == 1
    assert np.isnan(wide.loc[2, "b"])
    assert wide.columns.name is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f, p: (f.assign(a0=np.nan), p), r"Annotators \['a0'\] did not label"),
        (lambda f, p: (f.mask(f.index.to_series() == "i3"), p), r"Examples \[3\] do not have"),
        (lambda f, p: (f, p[:, :2]), "at least 4 columns"),
        (lambda f, p: (f, p[:10]), "same length"),
        (lambda f, p: (f, p[None]), "ensemble version"),
        (lambda f, p: (f.to_numpy()[:, 0], p), "2D array"),
        (lambda f, p: (f.astype(object).where(f.isna(), "x"), p), "numbers of classes"),
        (lambda f, p: (f.iloc[:, :1].fillna(0), p), "one label only"),
    ],
)
def test_faults_are_value_errors(spoil, said):
    frame, model, _ = crowd()
    with pytest.raises(ValueError, match=said):
        multiannotator.get_label_quality_multiannotator(*spoil(frame, model))


def test_unknown_methods_are_refused():
    frame, model, _ = crowd()
    with pytest.raises(ValueError, match="not a valid consensus method"):
        multiannotator.get_label_quality_multiannotator(frame, model, consensus_method="vote")
    with pytest.raises(ValueError, match="not a valid quality method"):
        multiannotator.get_label_quality_multiannotator(frame, model, quality_method="vote")
    with pytest.raises(ValueError, match="only applicable to the crowdlab"):
        multiannotator.get_label_quality_multiannotator(frame, model, quality_method="agreement", return_weights=True)
