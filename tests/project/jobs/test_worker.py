"""Jobs are done by one worker at a time, go on where a killed worker left them, and end when they are cancelled."""

from __future__ import annotations

import subprocess
import time

import pytest

from preceptor import Project
from preceptor.errors import NotFoundError, UserError
from preceptor.jobs.fine_tuning_jobs import FineTuningQueue
from preceptor.jobs.queue import JobQueue
from preceptor.jobs.worker import JobHandler, JobWorker, run_job
from preceptor.storage import jobs as kept
from preceptor.training import TrainingProgress

WORK = JobHandler("work", "work", lambda project, job: None, message="begun")


@pytest.fixture
def shop(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    project = Project.create(tmp_path / "shop")
    yield project
    project.close()


@pytest.fixture
def queue(shop):
    return JobQueue(shop)


@pytest.fixture
def processes(monkeypatch):
    """The processes that workers start, which do nothing."""
    started = []

    class Process:
        code = None
        killed = False

        def __init__(self, command, **_):
            self.command = command
            started.append(self)

        def poll(self):
            return self.code

        def kill(self):
            self.killed, self.code = True, -9

        def wait(self):
            return self.code

    monkeypatch.setattr(subprocess, "Popen", Process)
    return started


def claim(queue, worker: str, seconds: float = 60.0):
    return queue.claim("work", "work", "queued", "running", worker=worker, seconds=seconds)


def test_of_a_subject_one_job_is_unfinished(queue):
    first = queue.enqueue("work", "a", {"n": 1})
    assert queue.enqueue("work", "a", {"n": 2}) == first
    assert queue.enqueue("work", "b", {}).id != first.id
    assert queue.enqueue("other", "a", {}).id != first.id
    queue.fail(first.id, "no")
    again = queue.enqueue("work", "a", {"n": 3})
    assert (again.document, again.status, again.error) == ({"n": 3}, "queued", "")
    assert queue.find_latest("work", "a") == again
    assert (queue.get(first.id).status, queue.get(first.id).error) == ("failed", "no")


def test_one_worker_has_a_job_until_its_lease_expires(queue):
    one, two = queue.enqueue("work", "a", {}), queue.enqueue("work", "b", {})
    assert claim(queue, "x", 0.05).id == one.id
    assert claim(queue, "y") is None  # one is done at a time
    queue.renew([one.id], "y", 60)  # which isn't its to prolong
    time.sleep(0.06)
    taken = claim(queue, "y")
    assert (taken.id, taken.worker, taken.status) == (one.id, "y", "running")
    run_job(queue.project, WORK, JobQueue(queue.project).get(one.id))
    queue.release(one.id, "y")
    assert queue.get(one.id).status == "succeeded"
    assert claim(queue, "y").id == two.id


def test_who_lost_a_lease_ends_nothing(queue):
    queue.enqueue("work", "a", {})
    lost = claim(queue, "x", 0.0)
    mine = claim(queue, "y")
    run_job(queue.project, WORK, lost)
    queue.release(lost.id, "x")
    assert (queue.get(lost.id).status, queue.get(lost.id).worker) == ("running", "y")
    run_job(queue.project, WORK, mine)
    assert queue.get(lost.id).status == "succeeded"


def test_progress_is_shown_while_it_runs(queue):
    queue.enqueue("work", "a", {})
    job = claim(queue, "x")
    assert job.stage == "starting"
    queue.progress_callback(job)(TrainingProgress("reading", 1, 4))
    assert queue.get(job.id).stage == "reading, 25%"
    run_job(queue.project, WORK, job)
    queue.set_stage(job, "late")
    assert queue.get(job.id).stage == "starting"


def test_an_error_is_told_and_a_fault_of_a_programs_job_is_not(queue):
    def fail(error):
        def run(project, job):
            raise error

        return run

    for error, told in ((UserError("no rows", "add some"), "no rows"), (ValueError("secret"), "ValueError: secret")):
        queue.enqueue("work", "a", {})
        job = claim(queue, "x")
        run_job(queue.project, JobHandler("work", "work", fail(error)), job)
        queue.release(job.id, "x")
        assert told in queue.get(job.id).error
    queue.enqueue("work", "a", {})
    job = claim(queue, "x")
    with pytest.raises(ValueError, match="secret"):
        run_job(queue.project, JobHandler("work", "work", fail(ValueError("secret")), hides_errors=True), job)
    assert queue.get(job.id).error == ""


def test_a_cancelled_job_is_killed_before_the_next_begins(shop, queue, processes):
    one, two = queue.enqueue("work", "a", {}), queue.enqueue("work", "b", {})
    worker, other = JobWorker(shop, [WORK], "m"), JobWorker(shop, [WORK], "m")
    worker.check_jobs()
    assert processes[0].command[2:6] == ["m", str(shop.folder.resolve()), one.id, "work"]
    queue.change_status(one.id, "cancelled", of=("running",), message="cancelled")
    other.check_jobs()
    assert len(processes) == 1  # while the process lives, nothing else begins
    worker.check_jobs()
    assert processes[0].killed
    assert [process.command[4] for process in processes] == [one.id, two.id]
    assert queue.get(one.id).status == "cancelled"


def test_a_worker_that_ends_leaves_its_job_to_the_next(shop, queue, processes):
    job = queue.enqueue("work", "a", {})
    worker, other = JobWorker(shop, [WORK], "m"), JobWorker(shop, [WORK], "m")
    worker.check_jobs()
    worker.stop()
    assert processes[0].killed
    other.check_jobs()
    assert (len(processes), queue.get(job.id).worker, queue.get(job.id).crashes) == (2, other.name, 0)
    with shop.database.reading() as connection:
        events, _ = kept.list_events(connection, job.id, after=None, limit=9)
    assert [event["message"] for event in events] == ["begun"]


def test_a_process_whose_lease_was_lost_is_killed(shop, queue, processes, monkeypatch):
    monkeypatch.setattr("preceptor.jobs.worker.LEASE_SECONDS", 0.0)
    job = queue.enqueue("work", "a", {})
    worker = JobWorker(shop, [WORK], "m")
    worker.check_jobs()
    assert claim(queue, "y").id == job.id
    worker.check_jobs()
    assert processes[0].killed
    assert queue.get(job.id).worker == "y"
    worker.end_expired()
    assert len(processes) == 1


@pytest.mark.parametrize(("most", "status"), [(1, "failed"), (2, "running"), (None, "running")])
def test_a_killed_process_is_begun_again_as_often_as_the_handler_allows(shop, queue, processes, monkeypatch, most, status):
    monkeypatch.setattr("preceptor.jobs.worker._CRASH_PAUSE_SECONDS", 0.0)
    job = queue.enqueue("work", "a", {})
    worker = JobWorker(shop, [JobHandler("work", "work", WORK.run, max_crashes=most)], "m")
    worker.check_jobs()
    processes[0].code = -9
    worker.check_jobs()
    found = queue.get(job.id)
    assert (found.status, len(processes)) == (status, 1 + (status == "running"))
    assert found.error == ("the process ended with signal 9; memory may have run out; the server's log may know more" if most == 1 else "")


def test_a_program_sees_fine_tuning_jobs_only(shop, queue):
    job = queue.enqueue("work", "a", {})
    with pytest.raises(NotFoundError):
        FineTuningQueue(shop).get(job.id)
    assert FineTuningQueue(shop).list_page(after=None, limit=9) == ([], False)
