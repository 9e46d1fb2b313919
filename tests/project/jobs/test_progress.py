"""What a job tells while it trains: each stage, each step, and when it will be done."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from preceptor.jobs import fine_tuning_runner
from preceptor.jobs.worker import job_niceness
from preceptor.training import TrainingProgress

BEGUN = 1_000_000.0


@pytest.fixture
def told(monkeypatch):
    """A watch whose clock goes by hand, and what it tells: (message, data, estimated finish after the beginning)."""
    clock, said = SimpleNamespace(now=BEGUN), []
    monkeypatch.setattr(fine_tuning_runner.time, "time", lambda: clock.now)

    def say(job, message, *, data=None, estimated_finish=None):
        said.append((message, data, None if estimated_finish is None else estimated_finish - BEGUN))

    watch = fine_tuning_runner._JobProgressReporter(SimpleNamespace(add_event=say), SimpleNamespace(id="job"), last_progress_time=BEGUN)

    def see(seconds: float, stage: str, done: int, total: int, **fields: float) -> None:
        clock.now += seconds
        watch.report_progress(TrainingProgress(stage, done, total, fields))

    return SimpleNamespace(see=see, said=said)


def test_a_slow_run_tells_of_each_stage_and_step_and_when_it_will_be_done(told):
    """Beside a busy server 48 rows took half an hour without one event or an estimate."""
    for number in range(5):
        told.see(30, "measuring number formats", number, 5)
    for rate, ahead in ((1e-4, 50), (2e-4, 30)):  # two rates of twenty steps, and thirty steps of training
        for step in range(1, 21):
            told.see(10, f"trying learning rate {rate:g}", step, 20, steps_ahead=ahead)
    for step in range(1, 31):
        told.see(10, "training", step, 30, training_loss=2.0)
    told.see(1, "reading texts", 0, 1)
    messages = [message for message, _, _ in told.said]
    assert len(messages) == 5 + 20 + 20 + 30 + 1
    assert messages[0] == "Measuring number formats: step 0/5"
    assert messages[5] == "Trying learning rate 0.0001: step 1/20"
    assert messages[-1] == "Reading texts"
    estimates = [finish for _, _, finish in told.said]
    assert estimates[:5] == [None] * 5
    assert estimates[5:75] == [150 + 700] * 70  # all steps take ten seconds, and it knows from the first on
    assert [data for _, data, _ in told.said if data is not None][-1] == {"step": 30, "total_steps": 30, "train_loss": 2.0}


def test_a_fast_run_tells_about_once_a_second_and_whenever_it_was_validated(told):
    for step in range(1, 101):
        told.see(0.1, "training", step, 100, **({"validation_loss": 1.0} if step >= 33 else {}))
    steps = [data["step"] for _, data, _ in told.said]
    assert len(steps) <= 13
    assert {1, 33, 100} <= set(steps)
    assert told.said[-1][2] == pytest.approx(10, abs=1)


def test_a_resumed_run_counts_the_steps_that_it_takes_itself(told):
    told.see(60, "training", 51, 100)
    assert told.said[-1][2] == 60 + 49 * 60
    told.see(2, "training", 52, 100)
    assert told.said[-1][2] == 62 + 48 * 31


@pytest.mark.parametrize(("workers", "share"), [(1, 0.2), (2, 0.2), (3, 0.2), (4, 0.2), (16, 1 / 17)])
def test_a_job_gives_way_but_keeps_a_fifth_of_a_core_or_as_much_as_a_worker(workers, share):
    """Linux weighs a process by 1.25 to the power of minus its niceness, sched(7)."""
    got = 1 / (1 + workers * 1.25 ** job_niceness(workers))
    assert got >= share - 1e-9
    assert job_niceness(workers) == 0 or 1 / (1 + workers * 1.25 ** (job_niceness(workers) + 1)) < share
