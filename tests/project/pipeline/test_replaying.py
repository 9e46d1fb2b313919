"""What asking adaptively buys, told against all that could have been bought."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Project
from preceptor.pipeline import demo
from preceptor.pipeline.demo import RATERS_PER_TEXT, SENTIMENT_CUTS, SENTIMENT_LABELS, SENTIMENT_SCALE, RecordedJudgments, code_sentiment


def made(items: int, seed: int = 0) -> RecordedJudgments:
    """Ratings that people could have given to texts that are more or less clear, 3 texts a document."""
    random = np.random.default_rng(seed)
    centre, spread = random.uniform(-3, 3, items), random.uniform(0.4, 1.6, items)
    ratings = np.clip(np.rint(random.normal(centre[:, None], spread[:, None], (items, RATERS_PER_TEXT))), -4, 4).astype(np.int64)
    names = [f"{n // 3}_{n % 3}" for n in range(items)]
    rows = [{"id": name, "text": f"sentence {n} of the document", "group": name.split("_")[0]} for n, name in enumerate(names)]
    return RecordedJudgments("made", rows, dict(zip(names, ratings, strict=True)), 0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A project whose recorded people were asked until every answer was certain, and the recording."""
    recorded = made(120)
    project = Project.create(tmp_path_factory.mktemp("demo") / "p", **demo.DEMO_SETTINGS)
    project.add_items(recorded.rows)
    project.add_question(demo.DEMO_QUESTION, "rating", SENTIMENT_SCALE, cuts=SENTIMENT_CUTS, labels=SENTIMENT_LABELS, panel=RATERS_PER_TEXT)
    demo.replay_annotators(project, recorded, lambda progress: None)
    yield project, recorded
    project.close()


def test_all_are_certain_or_asked_to_the_end(asked):
    project, _ = asked
    fitted = project.consensus(demo.DEMO_QUESTION)
    rule = project.config.redundancy
    assert ((fitted.certainty >= rule.confidence_threshold) | (fitted.judgment_counts == rule.max_judgments)).all()
    assert fitted.judgment_counts.min() >= rule.min_judgments


def test_each_item_got_its_first_ratings_and_no_others(asked):
    project, recorded = asked
    given = {}
    for row in project.export("judgments"):
        given.setdefault(row["item"], []).append(row["answer"])
    assert {item: recorded.answers[item][: len(answers)].tolist() for item, answers in given.items()} == given


def test_the_sections_say_what_was_spent_and_what_it_gave(asked):
    project, recorded = asked
    sections = demo.measure_replay(project, demo.DEMO_QUESTION, recorded)
    judgments, consensus = sections["judgments"], sections["consensus"]
    assert judgments["available"] == 120 * RATERS_PER_TEXT
    assert judgments["used"] == project.status()["judgments"] == sum(count * items for count, items in judgments["per_item_histogram"])
    assert judgments["fraction"] == judgments["fraction_estimate"].value == judgments["used"] / judgments["available"]
    assert judgments["fraction"] < 0.6
    fitted = project.consensus(demo.DEMO_QUESTION)
    truth = {item: SENTIMENT_LABELS[code_sentiment(np.array([recorded.answers[item].mean()]))[0]] for item in fitted.items}
    agrees = np.mean([truth[item] == top for item, top in zip(fitted.items, fitted.top, strict=True)])
    assert consensus["accuracy"].value == pytest.approx(agrees)
    assert consensus["accuracy"].n == 40
    assert consensus["accuracy"].value >= consensus["fixed_same_cost_accuracy"].value
    assert consensus["certainty"]["claimed"] == pytest.approx(consensus["accuracy"].value, abs=0.04)
    assert consensus["unbought_accuracy"].value < consensus["accuracy"].value
    assert consensus["fixed_curve"][-1]["accuracy"] == consensus["fixed_curve"][-1]["fraction"] == 1
    last = consensus["curve"][-1]
    assert (last["fraction"], last["accuracy"]) == (pytest.approx(judgments["fraction"]), pytest.approx(agrees))


def test_asking_sees_nothing_that_was_not_bought(asked, tmp_path):
    """With everything beyond what was bought replaced by nonsense, the same is bought and the same concluded."""
    project, recorded = asked
    bought = {item: int(count) for item, count in counts(project).items()}
    hidden = {item: np.where(np.arange(RATERS_PER_TEXT) < bought[item], ratings, 99) for item, ratings in recorded.answers.items()}
    blind = RecordedJudgments("blind", recorded.rows, hidden, 0)  # a 99 is not on the scale: asking for one raises
    other = Project.create(tmp_path / "p", **demo.DEMO_SETTINGS)
    other.add_items(blind.rows)
    other.add_question(demo.DEMO_QUESTION, "rating", SENTIMENT_SCALE, cuts=SENTIMENT_CUTS, labels=SENTIMENT_LABELS, panel=RATERS_PER_TEXT)
    demo.replay_annotators(other, blind, lambda progress: None)
    assert counts(other) == bought
    assert np.array_equal(other.consensus(demo.DEMO_QUESTION).posterior, project.consensus(demo.DEMO_QUESTION).posterior)
    other.close()


def counts(project):
    fitted = project.consensus(demo.DEMO_QUESTION)
    return dict(zip(fitted.items, fitted.judgment_counts.tolist(), strict=True))
