"""Dawid–Skene: the 1979 table, one objective that never falls, priors that help where data are few, gold, warm starts."""

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.dawid_skene import ConfusionPrior, ConfusionTables
from preceptor.consensus.em import EMStep, build_truths, run_squarem
from preceptor.errors import UserError
from preceptor.testing import simulate_crowd

# 45 patients; observer 1 judged three times, observers 2 to 5 once (Dawid & Skene 1979, table 1)
ANAESTHETIC = """1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212 1211111
1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222"""
OBSERVER = (1, 1, 1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def anaesthetic():
    rows = [
        (patient, who, int(said)) for patient, row in enumerate(ANAESTHETIC.split(), 1) for who, said in zip(OBSERVER, row, strict=True)
    ]
    item, annotator, answer = zip(*rows, strict=True)
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer, repeats="all")


def accuracy(consensus, truth):
    top = dict(zip(consensus.items, consensus.top, strict=True))
    return np.mean([top[item] == answer for item, answer in truth.items()])


def log_loss(consensus, truth):
    column = {answer: k for k, answer in enumerate(consensus.answers)}
    rows = dict(zip(consensus.items, consensus.posterior, strict=True))
    return -np.mean([np.log(max(rows[item][column[answer]], 1e-6)) for item, answer in truth.items()])


def test_the_1979_table_is_reproduced(anaesthetic):
    c = aggregate(anaesthetic, "dawid_skene", prior="none", smoothing=0, tolerance=1e-13)
    model = c.annotators.model
    assert len(anaesthetic) == 315
    assert model.shares[:4] == pytest.approx([0.3996, 0.4220, 0.1118, 0.0667], abs=5e-5)
    assert np.diag(c.annotators[1].confusion) == pytest.approx([0.8895, 0.8764, 0.6612, 0.4444], abs=5e-5)
    assert np.bincount(c.posterior.argmax(axis=1)).tolist() == [18, 19, 5, 3]
    tables = ConfusionTables(build_truths(anaesthetic, None, smoothing=0), ConfusionPrior("none"))
    found = tables.step(np.concatenate([model.tables.ravel(), model.shares]), np.zeros((1, 4, 4)))
    assert found.objective == pytest.approx(-192.8909, abs=5e-5)


def test_small_data_are_driven_by_the_prior(anaesthetic):
    """Four patients change class under a prior of one pseudo-judgment: why the prior is an option."""
    plain = aggregate(anaesthetic, "dawid_skene", prior="none", smoothing=0)
    drawn = aggregate(anaesthetic, "dawid_skene", prior="diagonal", off=0.5, diagonal=1.0, smoothing=0.5)
    assert sum(a != b for a, b in zip(plain.top, drawn.top, strict=True)) == 4


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("gold", [0, 15])
def test_every_step_and_every_leap_climbs(kinds, gold):
    crowd = simulate_crowd(items=150, seed=3)
    j = Judgments.from_columns(**crowd.columns)
    tables = ConfusionTables(build_truths(j, dict(list(crowd.truth.items())[:gold]), kinds=kinds), ConfusionPrior("diagonal"))
    seen = []

    def watched(params):
        found = tables.step(params, tables.pseudo_counts(np.zeros((1, 3, 3 * kinds)))[0])
        after = tables.step(found.next_params, tables.pseudo_counts(np.zeros((1, 3, 3 * kinds)))[0])
        assert after.objective >= found.objective + found.expected_gain - 1e-9, "a step keeps what it promises"
        seen.append(found.objective)
        return found

    first = tables.truths.initial_posterior()
    start = tables.split(tables._maximise(tables.counts(first), tables.pseudo_counts(tables.counts(first))[0], first))
    end = run_squarem(watched, np.concatenate([part.ravel() for part in start]), tables.project, gain=1e-8, limit=500)
    assert end.converged
    assert end.objective == pytest.approx(max(seen), abs=1e-9)


def test_a_fall_of_the_objective_is_an_error():
    def falling(params):
        return EMStep(-params[0], np.ones((1, 1)), params + 1.0, 1.0)

    with pytest.raises(ArithmeticError, match="lowered its objective"):
        run_squarem(falling, np.array([0.0]), lambda params: params, gain=1e-9, limit=10)


@pytest.mark.parametrize(("items", "per_item"), [(300, 3), (1000, 5)])
def test_priors_help_where_data_are_few(items, per_item):
    """The ordering of `majority < without prior < with prior` in log loss, and no loss of accuracy to any (mean of 4 crowds)."""
    figures = {"majority": [], "none": [], "diagonal": [], "ability": []}
    for seed in range(4):
        crowd = simulate_crowd(items=items, annotators=60, answers=4, per_item=per_item, seed=seed)
        j = Judgments.from_columns(**crowd.columns)
        for prior, found in figures.items():
            c = aggregate(j, "majority") if prior == "majority" else aggregate(j, "dawid_skene", prior=prior)
            found.append((accuracy(c, crowd.truth), log_loss(c, crowd.truth)))
    mean = {prior: np.mean(found, axis=0) for prior, found in figures.items()}
    assert mean["ability"][1] < mean["diagonal"][1] < mean["none"][1]
    assert mean["ability"][0] >= max(mean["none"][0], mean["majority"][0]) - 0.002


def test_the_truth_is_found_where_data_are_many():
    crowd = simulate_crowd(items=3000, annotators=20, per_item=6, seed=2)
    c = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene")
    found = np.stack([quality.confusion for quality in c.annotators.values()])
    assert np.abs(found - crowd.confusion).max() < 0.08
    assert accuracy(c, crowd.truth) > 0.97


def test_people_who_err_together_on_hard_items_want_two_kinds():
    """Half of the negatives look positive to two people in five; one table each takes a split vote for a positive."""
    rng = np.random.default_rng(5)
    truth = rng.integers(2, size=1500)
    hard = (rng.random(1500) < 0.5) & (truth == 0)
    right = np.where(hard, 0.6, 0.97)
    item = np.repeat(np.arange(1500), 6)
    annotator = np.concatenate([rng.permutation(25)[:6] for _ in range(1500)])
    answer = np.where(rng.random(len(item)) < right[item], truth[item], 1 - truth[item])
    j = Judgments.from_columns(item=item, annotator=annotator, answer=answer)
    one, two = (aggregate(j, "dawid_skene", kinds=kinds) for kinds in (1, 2))
    assert log_loss(two, dict(enumerate(truth))) < 0.8 * log_loss(one, dict(enumerate(truth)))


def test_a_constant_annotator_has_no_influence():
    crowd = simulate_crowd(items=300, seed=1)
    columns = crowd.columns
    more = {"item": sorted(crowd.truth), "annotator": ["parrot"] * 300, "answer": ["answer-00001"] * 300}
    plain = aggregate(Judgments.from_columns(**columns), "dawid_skene")
    parrot = aggregate(Judgments.from_columns(**{name: columns[name] + more[name] for name in columns}), "dawid_skene")
    assert np.abs(plain.posterior - parrot.posterior).mean() < 0.02
    assert accuracy(parrot, crowd.truth) >= accuracy(plain, crowd.truth) - 0.01


def test_perfect_annotators_leave_no_doubt():
    crowd = simulate_crowd(items=100, answers=2, skill=(1e9, 1.0))
    c = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene")
    assert accuracy(c, crowd.truth) == 1.0
    assert c.certainty.min() > 0.99


def test_a_gold_answer_against_everyone_is_obeyed_and_named():
    crowd = simulate_crowd(items=200, skill=(50, 1))
    gold = dict(list(crowd.truth.items())[:20])
    gold["item-00003"] = next(a for a in ("answer-00000", "answer-00001") if a != crowd.truth["item-00003"])
    c = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene", gold)
    assert c.top[3] == gold["item-00003"]
    assert any("item-00003" in note and "contradict" in note for note in c.notes)


def adversaries():
    """Seven of ten people say the opposite of what is so."""
    rng = np.random.default_rng(4)
    truth = rng.integers(2, size=400)
    item = np.repeat(np.arange(400), 5)
    annotator = np.concatenate([rng.permutation(10)[:5] for _ in range(400)])
    right = rng.random(2000) < np.where(annotator < 3, 0.9, 0.1)
    return Judgments.from_columns(item=item, annotator=annotator, answer=np.where(right, truth[item], 1 - truth[item])), dict(
        enumerate(truth)
    )


def test_adversaries_in_the_majority_are_seen_through_with_gold():
    j, truth = adversaries()
    c = aggregate(j, "dawid_skene", {item: truth[item] for item in range(20)})
    assert accuracy(c, truth) > 0.95
    assert any("against the majority" in note for note in c.notes)


def test_adversaries_in_the_majority_are_warned_of_without_gold():
    j, truth = adversaries()
    c = aggregate(j, "dawid_skene")
    assert accuracy(c, truth) < 0.1
    assert any("only gold can tell" in note for note in c.notes)


def test_a_given_class_prior_is_kept():
    j = Judgments.from_columns(item=["a"], annotator=[1], answer=["x"], answers=["x", "y"])
    sure = aggregate(j, "dawid_skene", class_prior={"x": 0.99, "y": 0.01}).posterior[0, 0]
    unsure = aggregate(j, "dawid_skene", class_prior={"x": 0.01, "y": 0.99}).posterior[0, 0]
    assert sure > 0.95 > 0.5 > unsure


@pytest.mark.parametrize("prior", [{"x": 1.0}, {"x": 1.0, "y": 0.0}, {"x": 1.0, "z": 1.0}])
def test_a_class_prior_covers_the_answers(prior):
    j = Judgments.from_columns(item=["a"], annotator=[1], answer=["x"], answers=["x", "y"])
    with pytest.raises(UserError, match="class prior"):
        aggregate(j, "dawid_skene", class_prior=prior)


def test_an_items_own_prior_enters_by_its_weight():
    crowd = simulate_crowd(items=100, per_item=2)
    j = Judgments.from_columns(**crowd.columns)
    sure = np.full((100, 3), 0.01)
    sure[np.arange(100), [j.answers.index(crowd.truth[item]) for item in j.items]] = 0.98
    helped = aggregate(j, "dawid_skene", item_prior=sure)
    assert accuracy(helped, crowd.truth) > accuracy(aggregate(j, "dawid_skene"), crowd.truth)
    ignored = aggregate(j, "dawid_skene", item_prior=sure, item_prior_weight=0.0)
    equal = aggregate(j, "dawid_skene", class_prior=dict.fromkeys(j.answers, 1.0))
    assert np.allclose(ignored.posterior, equal.posterior, atol=1e-6)
    with pytest.raises(UserError, match="item prior has shape"):
        aggregate(j, "dawid_skene", item_prior=sure[:50])


def test_a_warm_start_ends_where_a_cold_one_does():
    crowd = simulate_crowd(items=2000, annotators=40, answers=4, seed=7)
    rows = len(crowd.item)
    j = Judgments.from_columns(**{name: column[: rows * 99 // 100] for name, column in crowd.columns.items()})
    before = aggregate(j, "dawid_skene")
    all_of_it = Judgments.from_columns(**crowd.columns)
    cold, warm = aggregate(all_of_it, "dawid_skene"), aggregate(all_of_it, "dawid_skene", start=before)
    assert warm.iterations * 2 <= cold.iterations
    assert np.abs(cold.posterior - warm.posterior).mean() < 1e-3
    assert np.mean(cold.posterior.argmax(axis=1) != warm.posterior.argmax(axis=1)) < 1e-3


def test_any_consensus_can_be_gone_on_from():
    crowd = simulate_crowd(items=200)
    j = Judgments.from_columns(**crowd.columns)
    start = aggregate(j.select_rows(j.item_code < 150), "majority")
    assert accuracy(aggregate(j, "dawid_skene", start=start), crowd.truth) > 0.85


def test_new_people_and_items_join_a_warm_start():
    crowd = simulate_crowd(items=200)
    some = [row for row in range(1000) if crowd.annotator[row] != "person-00004" and crowd.item[row] < "item-00150"]
    before = aggregate(
        Judgments.from_columns(**{name: [column[row] for row in some] for name, column in crowd.columns.items()}), "dawid_skene"
    )
    c = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene", start=before)
    assert len(c.items) == 200
    assert accuracy(c, crowd.truth) > 0.85


def test_a_crowd_of_strangers_is_served():
    """100,000 people with one judgment each: no table of their own can be learnt, and none is paid for."""
    rng = np.random.default_rng(0)
    truth = rng.integers(20, size=20_000)
    item = np.repeat(np.arange(20_000), 5)
    answer = np.where(rng.random(100_000) < 0.8, truth[item], rng.integers(20, size=100_000))
    j = Judgments.from_columns(item=item, annotator=np.arange(100_000), answer=answer)
    c = aggregate(j, "dawid_skene")
    assert (c.posterior.argmax(axis=1) == truth).mean() > 0.95
    assert any("share one table" in note for note in c.notes)
    assert c.annotators[5].judgments == 1


def test_a_method_says_what_it_does_not_take():
    j = Judgments.from_columns(item=["a"], annotator=[1], answer=["x"])
    with pytest.raises(UserError, match="takes no start"):
        aggregate(j, "majority", start=aggregate(j, "majority"))
    with pytest.raises(UserError, match="did you mean 'dawid_skene'"):
        aggregate(j, "david_skene")
    with pytest.raises(UserError, match="no option is called 'kind'"):
        aggregate(j, "dawid_skene", kind=2)
