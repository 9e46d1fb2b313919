"""The four promises of human guidance as figures: scalable, flexible, accurate, seamless.

Scalable and accurate are read from what `serve_load` and `replays` measured last; flexible is counted; seamless is
measured here: in a fresh environment, the commands and minutes from `pip install` to the first live judgment over
HTTP, and from the last judgment to a report.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preceptor.questions import kinds

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench-results"
WORDS = {"negative": "bad awful broken poor worst", "positive": "good great love fine best"}
QUESTION = {"name": "mood", "kind": "choice", "options": list(WORDS), "instructions": "How does the writer feel?"}


class Newcomer:
    """A folder with a fresh environment, in which commands are counted and timed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands, self.started = folder, 0, time.monotonic()
        self.environment = {**os.environ, "PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}"}

    def run(self, *command: str) -> str:
        """One command that a newcomer types; what it printed."""
        self.commands += 1
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def reset(self) -> None:
        self.commands, self.started = 0, time.monotonic()

    def so_far(self, stretch: str) -> dict[str, Any]:
        """What this stretch has taken."""
        return {"from": stretch, "commands": self.commands, "minutes": round((time.monotonic() - self.started) / 60, 2)}


def seamless() -> list[dict[str, Any]]:
    """The two stretches."""
    with tempfile.TemporaryDirectory() as name:
        new = Newcomer(Path(name))
        (new.folder / "question.json").write_text(json.dumps(QUESTION))
        texts = write_reviews(new.folder / "reviews.csv")
        subprocess.run([sys.executable, "-m", "venv", str(new.folder / "venv")], check=True)
        new.reset()
        new.run("pip", "install", "--quiet", f"{ROOT}[web,train]")
        new.run("preceptor", "init", "reviews")
        new.run("preceptor", "question", "add", "question.json", "--project", "reviews")
        new.run("preceptor", "import", "reviews.csv", "--project", "reviews")
        token = json.loads(new.run("preceptor", "people", "invite", "ann", "--project", "reviews", "--json"))["token"]
        port = free_port()
        new.commands += 1
        server = subprocess.Popen(["preceptor", "serve", "--project", "reviews", "--port", str(port)], cwd=new.folder, env=new.environment)
        try:
            call = caller(port, token)
            wait_for(lambda: call("/health/ready"))
            answer_one(call, texts)
            first = new.so_far("pip install to the first live judgment")
            while answer_one(call, texts):
                pass
        finally:
            server.terminate()
            server.wait(20)
        new.reset()
        digest = json.loads(new.run("preceptor", "snapshot", "create", "mood", "--project", "reviews", "--json"))["digest"]
        command = ("train", "classify", "--snapshot", digest, "--base", "minilm", "--project", "reviews", "--json")
        model = json.loads(new.run("preceptor", *command))["model"]
        new.run("preceptor", "evaluate", model, "--project", "reviews", "--json")
        return [first, new.so_far("the last of 300 judgments to a report")]


def write_reviews(path: Path) -> dict[str, str]:
    """300 short reviews of 60 customers; which mood each has, by its id."""
    rng, truth = random.Random(0), {}
    lines = ["id,text,group"]
    for number in range(300):
        mood = rng.choice(list(WORDS))
        truth[f"r-{number}"] = mood
        lines.append(f"r-{number},{' '.join(rng.choices(WORDS[mood].split(), k=5))} number {number},customer-{number // 5}")
    path.write_text("\n".join(lines) + "\n")
    return truth


def caller(port: int, token: str) -> Callable[..., Any]:
    def call(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    return call


def answer_one(call: Callable[..., Any], truth: dict[str, str]) -> bool:
    """Ask for work and answer it; False when nothing is left."""
    work = call("/api/v1/next")
    if work is not None:
        call("/api/v1/judgments", {"slot": work["slot"], "answer": truth[work["item"]["id"]]})
    return work is not None


def wait_for(ready: Callable[[], Any]) -> None:
    for _ in range(600):
        try:
            ready()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server didn't come up")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kept(name: str) -> Any:
    """What a bench found when it was measured last; nothing when it never was."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["found"] if path.exists() else None


def run() -> dict[str, Any]:
    """One table a promise."""
    return {
        "scalable": scalable(kept("serve_load")),
        "flexible": [{"kinds_of_questions_under_one_contract": len(kinds.names()), "kinds": ", ".join(kinds.names())}],
        "accurate": [each for each in kept("replays") or [] if each["set"] != "mean"],
        "seamless": seamless(),
    }


def scalable(found: Any) -> list[dict[str, Any]]:
    """Judgments a second over HTTP, from the rows of `serve_load`."""
    return list((found or {}).get("rows", []))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
