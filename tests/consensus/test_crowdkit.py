"""crowd-kit's interface. Its own tests run outside the repository (docs/crowdkit.md); these need pandas, and one needs crowd-kit."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from preceptor import UserError
from preceptor.compat import crowdkit
from preceptor.compat.crowdkit import bradley_terry, data_frames, label_aggregation, metrics

TWICE = pd.DataFrame(  # Dawid and Skene's first steps on this table are short enough to follow by hand
    [
        ("t1", "w1", "no"), ("t1", "w2", "yes"), ("t1", "w3", "yes"), ("t2", "w1", "yes"), ("t2", "w2", "yes"), ("t2", "w3", "no"),
        ("t3", "w1", "no"), ("t3", "w2", "no"), ("t3", "w3", "no"),
    ],
    columns=["task", "worker", "label"],
)  # fmt: skip


def crowd(seed=0, tasks=200, workers=20, each=5, labels=4):
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(labels, size=tasks), rng.beta(8, 3, workers)
    task = np.repeat(np.arange(tasks), each)
    worker = np.concatenate([rng.permutation(workers)[:each] for _ in range(tasks)])
    right = rng.random(len(task)) < skill[worker]
    label = np.where(right, truth[task], (truth[task] + rng.integers(1, labels, size=len(task))) % labels)
    names = np.array(["owl", "ant", "cow", "bee"])
    frame = pd.DataFrame({"task": [f"t{i}" for i in task], "worker": [f"w{i}" for i in worker], "label": names[label]})
    return frame, pd.Series(names[truth], index=[f"t{i}" for i in range(tasks)])


METHODS = ["MajorityVote", "Wawa", "ZeroBasedSkill", "DawidSkene", "OneCoinDawidSkene", "GLAD", "MACE"]


@pytest.mark.parametrize("name", METHODS)
def test_has_the_attributes_and_names(name):
    frame, truth = crowd()
    method = getattr(crowdkit, name)()
    labels = method.fit_predict(frame)
    assert labels is method.labels_
    assert (labels.name, labels.index.name) == ("agg_label", "task")
    assert (labels[truth.index] == truth).mean() > 0.8
    assert set(method.probas_.columns) == {"ant", "bee", "cow", "owl"}
    assert method.probas_.sum(axis=1).to_numpy() == pytest.approx(np.ones(200))
    assert (method.probas_.idxmax(axis=1) == labels).all()
    for attribute, series in vars(method).items():
        if isinstance(series, pd.Series) and attribute != "labels_":
            assert attribute == f"{series.name}s_"


@pytest.mark.filterwarnings("ignore")  # crowd-kit's own, on a new pandas
@pytest.mark.parametrize("name", ["DawidSkene", "OneCoinDawidSkene", "GLAD"])
def test_equals_crowd_kit(name):
    """On the same data; the others don't run on this pandas, break ties at random, or have a fault (docs/crowdkit.md)."""
    import crowdkit.aggregation as theirs  # slow to import

    frame, _ = crowd(tasks=60)
    one, other = getattr(crowdkit, name)().fit(frame), getattr(theirs, name)().fit(frame)
    assert other.probas_.loc[one.probas_.index, one.probas_.columns].to_numpy() == pytest.approx(one.probas_.to_numpy(), abs=1e-6)
    for attribute in ("errors_", "priors_", "skills_", "alphas_", "betas_"):
        if getattr(other, attribute, None) is not None:
            mine, yours = getattr(one, attribute), getattr(other, attribute)
            assert yours.reindex_like(mine).to_numpy() == pytest.approx(mine.to_numpy(), abs=1e-6)


def test_majority_votes_and_skills():
    vote = label_aggregation.MajorityVote().fit(TWICE)
    assert vote.labels_.to_dict() == {"t1": "yes", "t2": "yes", "t3": "no"}
    assert vote.probas_.loc["t1"].to_dict() == pytest.approx({"no": 1 / 3, "yes": 2 / 3})
    assert vote.skills_.to_dict() == pytest.approx({"w1": 2 / 3, "w2": 1, "w3": 2 / 3})
    weighted = label_aggregation.MajorityVote(on_missing_skill="value", default_skill=10).fit(TWICE, pd.Series({"w2": 1.0, "w3": 1.0}))
    assert weighted.labels_["t1"] == "no"


@pytest.mark.parametrize(
    ("options", "skills"),
    [({}, {"w1": 1.0}), ({"on_missing_skill": "ignore"}, {}), ({"on_missing_skill": "value"}, {}), ({"on_missing_skill": "guess"}, {})],
)
def test_unfit_skills_are_refused(options, skills):
    with pytest.raises(ValueError, match="skill"):
        label_aggregation.MajorityVote(**options).fit(TWICE, pd.Series(skills, dtype=float))


def test_workers_without_skill_can_be_ignored():
    vote = label_aggregation.MajorityVote(on_missing_skill="ignore").fit(TWICE, pd.Series({"w1": 1.0, "w2": 0.5}))
    assert vote.labels_["t1"] == "no"
    assert list(vote.skills_.index) == ["w1", "w2"]


def test_dawid_skene_takes_its_first_step_from_votes():
    start = label_aggregation.DawidSkene(n_iter=0).fit(TWICE)
    assert start.priors_.to_dict() == pytest.approx({"no": 5 / 9, "yes": 4 / 9})
    assert start.errors_.loc[("w1", "no"), "no"] == pytest.approx((1 / 3 + 1) / (5 / 3))
    assert start.errors_.groupby("worker").sum().to_numpy() == pytest.approx(np.ones((3, 2)))
    once = label_aggregation.DawidSkene(n_iter=1).fit(TWICE)
    scores = start.priors_ * start.errors_.loc[("w1", "no")] * start.errors_.loc[("w2", "yes")] * start.errors_.loc[("w3", "yes")]
    assert once.probas_.loc["t1"].to_numpy() == pytest.approx((scores / scores.sum()).to_numpy())
    assert label_aggregation.DawidSkene().fit(crowd()[0]).loss_history_ == sorted(
        label_aggregation.DawidSkene().fit(crowd()[0]).loss_history_
    )


def test_dawid_skene_obeys_gold_and_initial_errors():
    fixed = label_aggregation.DawidSkene().fit(TWICE, true_labels=pd.Series({"t1": "no", "unseen": "no"}))
    assert fixed.probas_.loc["t1", "no"] == pytest.approx(1)
    errors = label_aggregation.DawidSkene(n_iter=0).fit(TWICE).errors_
    assigned = label_aggregation.DawidSkene(n_iter=0, initial_error_strategy="assign").fit(TWICE, initial_error=1 - errors).errors_
    assert assigned.loc[errors.index].to_numpy() == pytest.approx(1 - errors.to_numpy(), abs=1e-9)
    added = label_aggregation.DawidSkene(n_iter=0, initial_error_strategy="addition").fit(TWICE, initial_error=99 * errors).errors_
    assert np.abs(added - errors).to_numpy().max() < 0.02
    with pytest.raises(ValueError, match=r"should be 1\.0"):
        label_aggregation.DawidSkene(initial_error_strategy="assign").fit(TWICE, initial_error=0 * errors)


@pytest.mark.parametrize("name", ["MajorityVote", "Wawa", "ZeroBasedSkill", "DawidSkene", "OneCoinDawidSkene", "GLAD"])
@pytest.mark.parametrize("column", ["task", "worker", "label"])
def test_a_missing_column_is_named(name, column):
    with pytest.raises(KeyError, match=column):
        getattr(crowdkit, name)().fit(TWICE.drop(columns=column))


@pytest.mark.parametrize("name", ["MajorityVote", "DawidSkene", "OneCoinDawidSkene", "GLAD", "BinaryRelevance"])
def test_nothing_gives_nothing(name):
    assert getattr(crowdkit, name)().fit_predict(pd.DataFrame([], columns=["task", "worker", "label"])).empty


def test_predict_before_fit_is_refused():
    with pytest.raises(UserError, match="no skills yet"):
        label_aggregation.Wawa().predict(TWICE)


def test_gold_weights_votes():
    frame, truth = crowd()
    method = label_aggregation.GoldMajorityVote()
    labels = method.fit_predict(frame, truth[:100])
    assert (labels[truth.index] == truth).mean() > 0.9
    assert method.skills_["w0"] == pytest.approx(data_frames.get_accuracy(frame, truth[:100], by="worker")["w0"])


def test_glad_gradient_equals_finite_differences():
    from preceptor.compat.crowdkit.data_frames import CrowdTable
    from preceptor.compat.crowdkit.label_aggregation import _GladModel

    table = CrowdTable.from_frame(crowd(tasks=10)[0])
    model = _GladModel(table, table.label, np.log(np.full(4, 0.25)), np.ones(len(table.workers) + len(table.tasks)))
    x = np.random.default_rng(0).normal(size=len(model.mean))
    probas, h = model.posterior(x + 0.1), 1e-6
    slopes = [(model.loss(x + h * e, probas)[0] - model.loss(x - h * e, probas)[0]) / (2 * h) for e in np.eye(len(x))]
    assert model.loss(x, probas)[1] == pytest.approx(slopes, abs=1e-5)


def test_mace_restarts_differ_and_the_best_is_kept():
    frame, truth = crowd()
    labels = label_aggregation.MACE(n_restarts=3).fit_predict(frame)
    assert (labels[truth.index] == truth).mean() > 0.85
    many = pd.DataFrame({"task": ["t"] * 3000, "worker": np.arange(3000), "label": ["a", "b", "a"] * 1000})
    assert label_aggregation.MACE(n_restarts=1).fit_predict_proba(many).loc["t"].sum() == pytest.approx(
        1
    )  # products of 3,000 don't underflow


def games(seed=0, options=6, n=2000, workers=10):
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=options)
    left = rng.integers(options, size=n)
    right = (left + rng.integers(1, options, size=n)) % options
    won = rng.random(n) < 1 / (1 + np.exp(strength[right] - strength[left]))
    frame = pd.DataFrame({"worker": rng.integers(workers, size=n), "left": left, "right": right, "label": np.where(won, left, right)})
    return strength, frame


def test_bradley_terry_reaches_the_maximum():
    strength, frame = games()
    fitted = bradley_terry.BradleyTerry(n_iter=1000, tol=1e-10).fit(frame)
    assert len(fitted.loss_history_) > 10  # crowd-kit stops after two steps
    log = np.log(fitted.scores_)
    assert (log - log.mean()).to_numpy() == pytest.approx(strength - strength.mean(), abs=0.3)
    chance = 1 / (1 + np.exp(log[frame["right"]].to_numpy() - log[frame["left"]].to_numpy()))
    wins = pd.Series((frame["label"] == frame["left"]).to_numpy() - chance)
    slope = wins.groupby(frame["left"]).sum() - wins.groupby(frame["right"]).sum()
    assert np.abs(slope).max() < 1e-3  # expected and observed wins agree: the score equations


def test_noisy_bradley_terry_gradient_equals_finite_differences():
    from preceptor.compat.crowdkit.bradley_terry import _NoisyLikelihood

    _, frame = games(n=50)
    sign = np.where(frame["label"] == frame["left"], 1.0, -1.0)
    rows = _NoisyLikelihood(frame["left"].to_numpy(), frame["right"].to_numpy(), frame["worker"].to_numpy(), sign, 6, 10, 0.1)
    x, h = np.random.default_rng(0).normal(size=26), 1e-6
    slopes = [(rows.loss(x + h * e)[0] - rows.loss(x - h * e)[0]) / (2 * h) for e in np.eye(26)]
    assert rows.loss(x)[1] == pytest.approx(slopes, abs=1e-5)


def test_noisy_bradley_terry_finds_the_careless():
    _, frame = games(n=5000)
    careless = frame["worker"] < 3
    frame.loc[careless, "label"] = frame.loc[careless, "left"]  # they click left whatever is shown
    fitted = bradley_terry.NoisyBradleyTerry().fit(frame)
    assert fitted.skills_[:3].max() < fitted.skills_[3:].min()
    assert fitted.biases_[:3].min() > 0.9


def test_a_label_of_neither_side_is_refused():
    with pytest.raises(ValueError, match="row 1 is neither"):
        bradley_terry.BradleyTerry(n_iter=1).fit(pd.DataFrame({"left": ["a"], "right": ["b"], "label": ["tie"]}))


def test_alpha_is_krippendorffs():
    assert metrics.alpha_krippendorff(TWICE) == pytest.approx(1 - (2 / 3 + 2 / 3) / 3 / (2 * 5 * 4 / (9 * 8)))
    from preceptor.consensus import Judgments, agreement

    frame, _ = crowd()
    j = Judgments.from_columns(item=frame["task"], annotator=frame["worker"], answer=frame["label"])
    assert metrics.alpha_krippendorff(frame) == pytest.approx(agreement(j).value)
    far = metrics.alpha_krippendorff(frame, distance=lambda a, b: float(abs(ord(a[0]) - ord(b[0]))))
    assert far != metrics.alpha_krippendorff(frame)


def test_consistency_and_uncertainty_follow_their_definitions():
    skills = pd.Series({"w1": 0.9, "w2": 0.6, "w3": 0.7})
    yes = 0.1 * 0.6 * 0.7
    no = 0.9 * 0.4 * 0.3
    assert metrics.consistency(TWICE, skills, by_task=True)["t1"] == pytest.approx(yes / (yes + no))
    share = np.array([0.9 + 0.4 + 0.3, 0.1 + 0.6 + 0.7]) / 3
    assert metrics.uncertainty(TWICE, skills, aggregate=False)["t1"] == pytest.approx(-(share * np.log(share)).sum())
    sure = pd.Series({"w1": 1.0, "w2": 1.0, "w3": 1.0})
    assert metrics.consistency(TWICE, sure, by_task=True).to_dict() == {"t1": 0.0, "t2": 0.0, "t3": 1.0}  # they can't all be right
    with pytest.raises(AssertionError, match="without a skill"):
        metrics.uncertainty(TWICE, skills[:2])


def test_binary_relevance_takes_lists():
    lists = pd.DataFrame({"task": ["t1", "t1", "t1"], "worker": list("abc"), "label": [["x", "y"], ["x"], ["y", "x", "z"]]})
    assert label_aggregation.BinaryRelevance().fit_predict(lists)["t1"] == ["x", "y"]


def test_the_import_needs_no_pandas():
    code = "import sys; sys.modules['pandas'] = None; from preceptor.compat.crowdkit import DawidSkene; DawidSkene().fit(None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pandas isn't installed" in done.stderr
