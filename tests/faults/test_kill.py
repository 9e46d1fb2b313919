"""kill -9 at random moments: nothing acknowledged is lost, nothing is by halves, and what goes on ends as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = 10
SUBMIT = """
import sys
from preceptor import Project
project, person = Project.open(sys.argv[1]), sys.argv[2]
project.add_annotator(person)
while (slot := project.next(person)) is not None:
    print(project.submit(slot.slot, person, "positive", key=f"{person}/{slot.slot}"), flush=True)
"""


def judgments(folder: Path) -> int:
    """How many judgments the database holds, without opening the project."""
    with sqlite3.connect(f"file:{folder / 'preceptor.db'}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT count(*) FROM judgments").fetchone()[0]


@pytest.fixture(scope="module")
def recorded_cache(tmp_path_factory) -> Path:
    """A cache in which 120 texts with 20 ratings each stand for the recorded set of Amazon reviews: nothing is fetched."""
    from preceptor.models.base_models import VADER_ASSET
    from preceptor.pipeline.demo import VADER_FILES

    cache = tmp_path_factory.mktemp("cache")
    folder = cache / f"{VADER_ASSET.package}-{VADER_ASSET.version}-{VADER_ASSET.sha256[:12]}" / "content" / VADER_ASSET.folder
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    names = [f"{n // 3}_{n % 3}" for n in range(120)]
    centre, spread = draw.uniform(-3, 3, 120), draw.uniform(0.4, 1.6, 120)
    ratings = np.clip(np.rint(draw.normal(centre[:, None], spread[:, None], (120, 20))), -4, 4).astype(int).tolist()
    truth = (f"{name}\t0\tsentence {n} of the review, {n * n}\n" for n, name in enumerate(names))
    rated = (f"{name}\t0\t0\t{json.dumps(given)}\n" for name, given in zip(names, ratings, strict=True))
    (folder / f"{VADER_FILES['amazon']}_GroundTruth.txt").write_text("".join(truth))
    (folder / f"{VADER_FILES['amazon']}_anonDataRatings.txt").write_text("".join(rated))
    return cache


def start_demo(cache: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "preceptor", "demo", "--out", str(out), "--stop-after", "snapshot", "--json"]
    alone = {**os.environ, "PRECEPTOR_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(demo: subprocess.Popen[str]) -> dict:
    out, err = demo.communicate(timeout=200)
    assert demo.returncode == 0, err
    return json.loads(out)


def test_a_demo_that_is_killed_ten_times_ends_as_one_that_was_not(recorded_cache, tmp_path):
    """Each time after some random number of further judgments and a random moment more."""
    whole = finish(start_demo(recorded_cache, tmp_path / "whole"))
    rng, cut = random.Random(0), tmp_path / "cut"
    killed = 0
    for _ in range(KILLS):
        demo = start_demo(recorded_cache, cut)
        before = judgments(cut) if (cut / "preceptor.db").exists() and killed else 0
        enough = before + rng.randrange(max(whole["judgments"]["used"] // (KILLS + 2), 1))
        while demo.poll() is None and not (started(cut) and judgments(cut) >= enough):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.02))
        demo.kill()
        demo.communicate()
        killed += demo.returncode == -signal.SIGKILL
    assert killed == KILLS
    assert judgments(cut) < whole["judgments"]["used"]
    again = finish(start_demo(recorded_cache, cut))
    assert again["snapshot"] == whole["snapshot"]
    assert again["consensus"] == whole["consensus"]
    assert again["judgments"] == whole["judgments"]


def started(folder: Path) -> bool:
    """Whether the tables are there."""
    try:
        judgments(folder)
    except sqlite3.OperationalError:
        return False
    return True


def test_a_judgment_acknowledged_is_kept(tmp_path, fill):
    folder = fill(tmp_path / "shop")
    from preceptor import Project

    project = Project.open(folder)
    project.add_items({"id": f"new-{n}", "text": f"something new, number {n}"} for n in range(3000))
    project.close()
    acknowledged = 0
    for turn in range(3):
        people = [f"person-{turn}-{n}" for n in range(2)]
        workers = [subprocess.Popen([sys.executable, "-c", SUBMIT, folder, person], stdout=subprocess.PIPE, text=True) for person in people]
        for worker in workers:
            worker.stdout.readline()
        time.sleep(random.Random(turn).uniform(0.05, 0.3))
        for worker in workers:
            worker.kill()
        acknowledged += sum(1 + worker.communicate()[0].count("\n") for worker in workers)
        unsaid = judgments(folder) - 120 - acknowledged
        assert 0 <= unsaid <= 2 * (turn + 1)  # a worker may be killed between the commit and its word
    assert acknowledged > 6


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_is_cut_off_leaves_nothing(tmp_path, fill, held, how):
    folder = fill(tmp_path / "shop")
    with (folder / "more.csv").open("w") as file:
        file.write("id,text,label\n")
        file.writelines(f"m-{n},review number {n} with some words,positive\n" for n in range(200_000))
    command = [sys.executable, "-m", "preceptor", "import", "more.csv", "--question", "sentiment"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts)
    while not writing(running.pid):
        assert running.poll() is None, running.communicate()
        time.sleep(0.005)
    time.sleep(random.Random(int(how)).uniform(0.1, 0.6))
    running.send_signal(how)
    _, err = running.communicate(timeout=60)
    assert running.returncode == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in err
    assert held(folder) == {"items": 60, "judgments": 120, "snapshots": 0}


def hear_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def writing(pid: int) -> bool:
    """Whether the process holds the writers' queue."""
    with open("/proc/locks") as locks:
        return any("FLOCK" in line and "->" not in line and f" {pid} " in line for line in locks)
