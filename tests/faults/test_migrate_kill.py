"""kill -9 of a migration while it asks, and while it trains: it goes on, and nothing is fetched or paid a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter

from hosted_lines import lines
from preceptor import Project
from preceptor.testing.fake_servers import NETWORK_FAULTS, FakeOpenAIServer

OPTIONS = ("epochs=8", "learning_rate=0.02", "dtype=float32", "batch_size=4", "patience=100", "evals_per_epoch=4")


def test_a_migration_goes_on_after_each_kill(tmp_path, chat_cache):
    folder = tmp_path / "shop"
    Project.create(folder).close()
    with FakeOpenAIServer.from_training_file(lines(0, 40), lines(40, 80), latency=0.02, troubles=NETWORK_FAULTS, every=7) as hosted:
        keys = {"OPENAI_API_KEY": hosted.key, "OPENAI_BASE_URL": hosted.base_url}
        environment = {**os.environ, **keys, "PRECEPTOR_CACHE": str(chat_cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "preceptor", "migrate", "openai", "--project", str(folder), "--json", "--teacher"]
        command += ["--max-cost", "1", "--train-on", "both", *(word for option in OPTIONS for word in ("-o", option))]

        def kill_when(reached) -> None:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 120
            while not reached():
                assert process.poll() is None, "it ended before the kill"
                assert time.monotonic() < until
                time.sleep(0.01)
            process.kill()
            process.wait()
            time.sleep(0.2)  # what was under way ends at the service

        kill_when(lambda: len(hosted.billed) >= 20)
        assert len(hosted.billed) < 80
        kill_when(lambda: list(folder.glob("runs/*/checkpoints/checkpoint-*")))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        moved = json.loads(done.stdout)["moved"][0]
        assert moved["migration"]["teacher"]["answers"] == 80
        assert moved["migration"]["teacher"]["again"] == 0
        assert Counter(each.mark for each in hosted.billed).most_common(1)[0][1] == 1
        assert len(hosted.billed) == 80
        fetched = {name: count for name, count in hosted.served.items() if name.endswith("/content")}
        assert fetched == {"GET /v1/files/file-1/content": 1, "GET /v1/files/file-2/content": 1}
        assert not list(folder.glob("migration/**/*.part"))
