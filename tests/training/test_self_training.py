from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import UserError
from preceptor.models import class_probabilities
from preceptor.models.batching import pad_sequences
from preceptor.models.loading import load_classifier, prepare_classifier
from preceptor.training import TrainingRun, recipes
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import build_label_examples
from preceptor.training.noisy_student import (
    NoisyStudentObjective,
    PseudoLabels,
    RoundScore,
    compare_round_scores,
    drop_token_attention,
    estimate_pseudo_label_accuracy,
    pseudo_label_weight,
    select_label_queries,
    select_pseudo_labels,
)
from preceptor.training.recipe import FeedbackPending, UnlabelledItem

OPTIONS = {"learning_rate": 3e-3, "epochs": 2, "dtype": "float32", "rounds": 1}
OF_CLASSIFY = {"learning_rate": 3e-3, "epochs": 2, "dtype": "float32", "min_steps": 12, "evals_per_epoch": 1}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr("preceptor.training.self_training.MIN_STEPS", 6)
    monkeypatch.setattr("preceptor.training.self_training.EVALUATIONS", 1)


@pytest.fixture
def enough_steps(monkeypatch):
    monkeypatch.setattr("preceptor.training.self_training.MIN_STEPS", 12)


@pytest.fixture
def few(snapshot):
    """Thirty labelled rows of the ninety."""
    return replace(snapshot, train=snapshot.train[:30])


@pytest.fixture
def make_run(base, unjudged):
    texts = [UnlabelledItem(row.id, {"text": row.text}, row.group) for row in unjudged]
    return lambda folder, snapshot, **more: TrainingRun(folder, base, snapshot, base_name="tiny", unlabelled=lambda: iter(texts), **more)


def train(run, **options):
    recipe = recipes.get("self_training")
    return recipe(run, recipe.Options.parse({**OPTIONS, **options}, of="self_training"))


def told(model):
    return model.manifest["self_training"]


class TestPseudoLabels:
    TABLE = np.array([[0.95, 0.05], [0.97, 0.03], [0.99, 0.01], [0.02, 0.98], [0.6, 0.4], [0.45, 0.55]])

    def test_are_those_of_enough_confidence_and_sharpen_what_the_teacher_says(self):
        found = select_pseudo_labels(self.TABLE, confidence=0.9, fewest=1)
        assert set(found.texts) <= {0, 1, 2, 3}
        assert found.certainty.tolist() == self.TABLE[found.texts].max(axis=1).tolist()
        assert found.targets == pytest.approx(self.TABLE[found.texts] ** 2 / (self.TABLE[found.texts] ** 2).sum(axis=1, keepdims=True))
        assert found.confidence == 0.9

    def test_of_an_answer_are_no_more_than_its_estimated_share_the_surest_first(self):
        found = select_pseudo_labels(self.TABLE, confidence=0.9, fewest=1)
        assert found.prior == pytest.approx(self.TABLE.mean(axis=0))
        assert found.counts == [3, 1]  # of four, 0.663 and 0.337, each rounded up
        many = np.repeat(np.array([[0.99, 0.01], [0.3, 0.7]]), [60, 40], axis=0)
        many[:60, 0] -= np.arange(60) / 1000
        many[:60, 1] += np.arange(60) / 1000
        some = select_pseudo_labels(many, confidence=0.7, fewest=1)
        share = many.mean(axis=0)
        assert some.counts == [min(60, int(np.ceil(100 * share[0]))), min(40, int(np.ceil(100 * share[1])))]
        skewed = select_pseudo_labels(np.vstack([many[:60], np.full((400, 2), 0.5)]), confidence=0.9, fewest=1)
        assert skewed.counts == [int(np.ceil(60 * skewed.prior[0])), 0]
        assert skewed.texts.tolist() == list(range(skewed.counts[0]))

    def test_of_less_confidence_are_taken_where_only_few_have_it_but_none_below_a_half(self):
        assert select_pseudo_labels(self.TABLE, confidence=0.98, fewest=4).confidence == 0.95
        table = np.array([[0.4, 0.3, 0.3], [0.45, 0.35, 0.2], [0.55, 0.25, 0.2]])
        found = select_pseudo_labels(table, confidence=0.9, fewest=3)
        assert (found.confidence, found.texts.tolist()) == (0.5, [2])

    def test_are_none_of_texts_that_people_answered_by_now(self):
        for confidence in (0.9, 0.0):
            found = select_pseudo_labels(self.TABLE, confidence=confidence, fewest=1, known=[0, 3]).texts.tolist()
            assert found
            assert not {0, 3} & set(found)

    def test_weigh_at_most_their_share_of_peoples_rows_in_all_and_one_row_each(self):
        assert 400 * pseudo_label_weight(400, 100.0, 1.0) == pytest.approx(100)
        assert pseudo_label_weight(50, 100.0, 1.0) == 1.0
        assert pseudo_label_weight(0, 100.0, 1.0) == 0.0


class TestNoise:
    def test_hides_tokens_but_neither_end_nor_padding(self):
        mask = pad_sequences([list(range(40)), list(range(10)), [1, 2]], 0)["attention_mask"]
        torch.manual_seed(0)
        seen = torch.stack([drop_token_attention(mask, 0.3) for _ in range(200)]).float()
        assert seen[:, 0, 1:39].mean() == pytest.approx(0.7, abs=0.02)
        for row, last in enumerate((39, 9, 1)):
            assert seen[:, row, 0].min() == seen[:, row, last].min() == 1
            assert not seen[:, row, last + 1 :].any()

    def test_is_in_training_only(self, snapshot, base):
        from preceptor.models.loading import load_tokenizer

        tokenizer = load_tokenizer(base)
        rows = build_label_examples(snapshot.train[:8], snapshot.answers, tokenizer, max_tokens=32, hard=False)
        plain, noisy = (
            ClassificationObjective(base, snapshot.answers, tokenizer),
            NoisyStudentObjective(base, snapshot.answers, tokenizer, token_mask_rate=0.5),
        )
        model = prepare_classifier(base, snapshot.answers, tokenizer.pad_token_id).eval()
        batch = plain.batch(rows, range(8))
        assert noisy.loss(model, batch) != plain.loss(model, batch)
        assert replace(noisy, token_mask_rate=0.0).loss(model, batch) == plain.loss(model, batch)
        assert noisy.validate(model, rows).loss == plain.validate(model, rows).loss


class TestGuard:
    def standing(self, loss, seed=0):
        random = np.random.default_rng(seed)
        return RoundScore(random.normal(loss, 0.2, 200), (random.random(200) < 0.7).astype(float))

    def test_stops_what_raises_the_validation_loss_by_more_than_a_standard_error(self):
        alone, groups = self.standing(0.8), [str(number // 2) for number in range(200)]
        for loss, hurts in ((0.6, False), (0.79, False), (0.81, False), (0.9, True)):
            verdict = compare_round_scores(self.standing(loss, 1), alone, groups)
            assert verdict.hurts == hurts
            assert verdict.loss.n == 100
        error = (verdict.loss.high - verdict.loss.value) / 2
        near, beyond = (replace(verdict.loss, value=share * error, high=share * error + 2 * error) for share in (0.9, 1.1))
        assert (replace(verdict, loss=near).hurts, replace(verdict, loss=beyond).hurts) == (False, True)

    def test_of_rows_of_one_group_which_bound_nothing_stops_whatever_is_worse(self):
        alone = self.standing(0.8)
        worse, better = (
            compare_round_scores(self.standing(0.9, 1), alone, ["a"] * 200),
            compare_round_scores(self.standing(0.7, 1), alone, ["a"] * 200),
        )
        assert worse.loss.high == np.inf
        assert (worse.hurts, better.hurts) == (True, False)

    def test_says_how_accuracy_changed_too(self):
        alone = RoundScore(np.full(60, 0.7), np.tile([1.0, 0.0, 0.0], 20))
        better = RoundScore(np.full(60, 0.6), np.tile([1.0, 1.0, 0.0], 20))
        assert compare_round_scores(better, alone, list(map(str, range(60)))).accuracy.value == pytest.approx(1 / 3)


class TestAsking:
    PROBABILITIES = np.array([[0.9, 0.1]] * 20 + [[0.52, 0.48], [0.45, 0.55], [0.7, 0.3]])

    def pseudo(self):
        return PseudoLabels(np.arange(20), self.PROBABILITIES[:20], self.PROBABILITIES[:20, 0], 0.9, self.PROBABILITIES.mean(axis=0))

    def test_half_is_a_sample_of_pseudo_labels_and_half_is_in_doubt(self):
        found = select_label_queries(self.PROBABILITIES, self.pseudo(), 4, 0)
        assert found.doubtful == (20, 21)
        assert len(set(found.audited)) == 2
        assert found.audited == select_label_queries(self.PROBABILITIES, self.pseudo(), 4, 0).audited
        drawn = {text for seed in range(60) for text in select_label_queries(self.PROBABILITIES, self.pseudo(), 4, seed).audited}
        assert len(drawn) == 20

    def test_nobody_is_asked_again_about_what_is_still_in_doubt(self):
        found = select_label_queries(self.PROBABILITIES, self.pseudo(), 4, 0, known=[20])
        assert found.doubtful == (21, 22)

    def test_people_say_how_many_pseudo_labels_are_right(self):
        said = {text: {"a": float(text % 4 != 0), "b": float(text % 4 == 0)} for text in range(16)}
        found = estimate_pseudo_label_accuracy(self.pseudo(), said, ("a", "b"))
        assert found.value == pytest.approx(0.75, abs=0.05)
        assert found.low < 0.75 < found.high
        assert estimate_pseudo_label_accuracy(self.pseudo(), dict(list(said.items())[:3]), ("a", "b")) is None


@pytest.mark.usefixtures("enough_steps")
def test_the_student_learns_from_texts_that_nobody_judged_and_says_what_became_of_it(few, make_run, tmp_path):
    heard = []
    model = train(make_run(tmp_path / "run", few, progress=heard.append), pseudo_label_weight=2)
    manifest, (first,) = model.manifest, told(model)["rounds"]
    assert (manifest["recipe"], told(model)["texts"]) == ("self_training", 90)
    assert manifest["rows"] == {"train": 30, "validation": 48}
    assert sum(first["pseudo_labels"].values()) > 10
    assert told(model)["kept"] == (None if first["hurts"] else 1)
    assert manifest["summary"][0] != ""
    assert any("Round 1 took" in sentence for sentence in manifest["summary"])
    assert {each.stage for each in heard} >= {"supervised: training", "round 1: training"}
    probabilities = class_probabilities(model.path, [row.text for row in few.validation])
    parity = json.loads((model.path / "parity.json").read_text())
    said = np.exp([parity["rows"][row.id] for row in few.validation[: len(parity["rows"])]])
    assert said == pytest.approx(probabilities[: len(said)], abs=1e-5)
    assert not (tmp_path / "run" / "rounds").exists()
    assert train(make_run(tmp_path / "run", few, progress=pytest.fail), pseudo_label_weight=2) == model


def flipped(snapshot):
    """The same texts, labelled wrong: each answer named as another."""
    names = snapshot.answers
    other = dict(zip(names, [*names[1:], names[0]], strict=True))
    turned = {
        split: [replace(row, target={other[answer]: share for answer, share in row.target.items()}) for row in snapshot.rows(split)]
        for split in ("train", "validation")
    }
    return replace(snapshot, **turned, digest="f" * 64)


@pytest.mark.usefixtures("enough_steps")
def test_a_broken_seed_model_is_stopped_and_peoples_labels_alone_decide(snapshot, few, base, make_run, tmp_path):
    classify = recipes.get("classify")
    parsed = classify.Options.parse({**OF_CLASSIFY, "min_steps": 40}, of="classify")
    broken = classify(TrainingRun(tmp_path / "broken", base, flipped(snapshot)), parsed)
    alone = classify(TrainingRun(tmp_path / "alone", base, few), classify.Options.parse(OF_CLASSIFY, of="classify"))
    calibrated = train(make_run(tmp_path / "calibrated", few), teacher=str(broken.path), rounds=3)
    assert told(calibrated)["teacher"]["hurts"]
    assert told(calibrated)["teacher"]["loss"]["value"] > 0
    assert told(calibrated)["rounds"] == []
    assert any("it taught nothing" in sentence for sentence in calibrated.manifest["summary"])
    # Believed against the evidence, as a model that is wrong and sure of it would be elsewhere, the rounds' guard alone must stop it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("preceptor.training.self_training.SelfTrainingRounds._teacher_is_worse", lambda *_: False)
        patch.setattr("preceptor.training.self_training.fit_temperature", lambda *_: 0.3)
        believed = train(make_run(tmp_path / "believed", few), teacher=str(broken.path), rounds=3)
    first = told(believed)["rounds"][0]
    assert len(told(believed)["rounds"]) == 1
    assert sum(first["pseudo_labels"].values()) > 10
    assert first["validation_change"]["loss"]["low"] > 0
    assert any("No round helped" in sentence for sentence in believed.manifest["summary"])
    assert told(believed)["kept"] is told(calibrated)["kept"] is None
    asked = [row.text for row in few.validation]
    for model in (calibrated, believed):
        assert class_probabilities(model.path, asked) == pytest.approx(class_probabilities(alone.path, asked), abs=1e-6)


@pytest.mark.usefixtures("enough_steps")
def test_an_earlier_model_that_knows_as_much_teaches(snapshot, few, base, make_run, tmp_path):
    classify = recipes.get("classify")
    parsed = classify.Options.parse({**OF_CLASSIFY, "min_steps": 40}, of="classify")
    earlier = classify(TrainingRun(tmp_path / "earlier", base, snapshot), parsed)
    model = train(make_run(tmp_path / "taught", few), teacher=str(earlier.path))
    assert not told(model)["teacher"]["hurts"]
    assert told(model)["teacher"]["accuracy"]["value"] >= 0
    assert sum(told(model)["rounds"][0]["pseudo_labels"].values()) > 10
    assert any("the teacher that was named is -" in sentence for sentence in model.manifest["summary"])


class People:
    """Answer what is true, once they are there."""

    def __init__(self, rows, there=True):
        self.truth, self.there, self.asked = {row.id: row.target for row in rows}, there, []

    def __call__(self, kind, asked):
        assert kind == "label"
        self.asked.append([each.id for each in asked])
        return {each.id: self.truth[each.id] for each in asked} if self.there else {}


def test_people_label_what_decides_and_audit_what_the_teacher_said(few, make_run, unjudged, tmp_path):
    people, wish = People(unjudged, there=False), {"queries_per_round": 16, "adapter": "head"}
    with pytest.raises(FeedbackPending, match=r"16 of 16 texts of round 1 wait for people's labels"):
        train(make_run(tmp_path / "run", few, ask=people), **wish)
    people.there = True
    model = train(make_run(tmp_path / "run", few, ask=people), **wish)
    assert people.asked[0] == people.asked[1]
    assert len(people.asked) == 2
    (first,) = told(model)["rounds"]
    assert (first["asked"], first["answered"], told(model)["people_answered"]) == (16, 16, 16)
    assert 0 < first["right"]["value"] <= 1
    assert any("By people's answers" in sentence for sentence in model.manifest["summary"])
    straight = train(make_run(tmp_path / "straight", few, ask=People(unjudged)), **wish)
    assert straight.manifest["weights"] == model.manifest["weights"]
    again = People(unjudged)
    train(make_run(tmp_path / "rounds", few, ask=again), **wish, rounds=2)
    assert len(again.asked) == 2
    assert not {*again.asked[0]} & {*again.asked[1]}, "nobody is asked twice"


class Killed(BaseException):
    pass


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(few, make_run, tmp_path):
    def dying_at(stage, step):
        def die(progress):
            if (progress.stage, progress.done) == (stage, step):
                raise Killed

        return die

    whole = train(make_run(tmp_path / "whole", few), pseudo_label_weight=2)
    for stage, step in (("supervised: training", 4), ("round 1: training", 5)):
        with pytest.raises(Killed):
            train(make_run(tmp_path / "run", few, progress=dying_at(stage, step)), pseudo_label_weight=2)
    model = train(make_run(tmp_path / "run", few), pseudo_label_weight=2)
    assert model.manifest["weights"] == whole.manifest["weights"]
    assert model.manifest["id"] == whole.manifest["id"]


def test_what_cant_be_self_trained_is_refused_at_once(few, base, make_run, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="there is nothing to self-train on"):
        train(TrainingRun(folder, base, few, unlabelled=lambda: iter(())))
    same = [UnlabelledItem("x", {"text": few.validation[0].text}, "x")]
    with pytest.raises(UserError, match="there is nothing to self-train on"):
        train(TrainingRun(folder, base, few, unlabelled=lambda: iter(same)))
    with pytest.raises(UserError, match="this run has no project"):
        train(TrainingRun(folder, base, few))
    with pytest.raises(UserError, match="queries_per_round=4 needs people who label"):
        train(make_run(folder, few), queries_per_round=4)
    with pytest.raises(UserError, match="the targets of this snapshot are texts"):
        train(make_run(folder, replace(few, answers=())))
    with pytest.raises(UserError, match="'neutral'"):
        train(make_run(folder, replace(few, train=[row for row in few.train if max(row.target, key=row.target.get) != "neutral"])))
    with pytest.raises(UserError, match="several labels may apply"):
        train(make_run(folder, replace(few, target_kind="multilabel")))
    torch.manual_seed(0)
    prepare_classifier(base, ("yes", "no"), 0).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="the teacher answers yes, no"):
        train(make_run(folder, few), teacher=str(tmp_path / "other"))
    assert not folder.exists()


def test_a_head_alone_learns_too_and_the_encoder_stays(few, base, make_run, tmp_path):
    heard = []
    model = train(make_run(tmp_path / "run", few, progress=heard.append), adapter="head", rounds=3)
    assert {each.stage for each in heard} == {"reading texts"}
    before, after = prepare_classifier(base, few.answers, 0), load_classifier(model.path)
    assert all(torch.equal(weights, after.body.state_dict()[name]) for name, weights in before.body.state_dict().items())
    rounds = told(model)["rounds"]
    assert (len(rounds), any(each["hurts"] for each in rounds)) == (3, False)
    losses = [each["validation_change"]["loss"]["value"] for each in rounds]
    assert told(model)["kept"] == 1 + int(np.argmin(losses))
    assert f"round {told(model)['kept']}, the best of 3 on the validation rows, which flatters" in " ".join(model.manifest["summary"])
    assert model.manifest["probe"]["penalty"] > 0
    probe = recipes.get("linear_probe")
    alone = probe(TrainingRun(tmp_path / "alone", base, few), probe.Options.parse({"dtype": "float32"}, of="linear_probe"))
    change = model.manifest["history"][0]["validation_loss"] - alone.manifest["history"][0]["validation_loss"]
    assert change == pytest.approx(min(losses), abs=1e-5)
    assert change < 0


def test_a_head_alone_needs_an_encoder(few, decoder, make_run, tmp_path):
    run = replace(make_run(tmp_path / "run", few), base=decoder)
    with pytest.raises(UserError, match="is not an encoder"):
        train(run, adapter="head")


def test_a_dry_run_counts_the_texts(few, make_run, tmp_path):
    recipe = recipes.get("self_training")
    shown = recipe.preview(make_run(tmp_path / "run", few), recipe.Options.parse({}, of="self_training"))
    assert (shown["rows"], shown["unlabelled"]) == ({"train": 30, "validation": 48}, 90)
    assert not (tmp_path / "run").exists()
