"""`preceptor train dagger --human-feedback`: ends while it waits for experts, and goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from preceptor import Project
from tiny_models import NEXT, save_decoder

OPTIONS = (
    "rounds=1",
    "budget=3",
    "candidate_pool=6",
    "samples=0",
    "epochs=1",
    "learning_rate=1e-2",
    "dtype=float32",
    "adapter=none",
    "max_tokens=64",
)


def answer(asked: str) -> str:
    return f"It is {NEXT[asked.split()[3].strip('?,')]}."


def test_it_waits_for_experts_and_goes_on_when_they_have_answered(run: Callable[..., Any], tmp_path: Path):
    base = save_decoder("llama", tmp_path / "tiny-llama")
    with closing(Project.create(tmp_path / "help")) as project:
        project.add_question("answer", "write", instructions="Answer the customer.")
        asked = [f"What comes after {word}{', ' * times}?" for times in range(5) for word in NEXT]
        project.add_items([{"id": f"i-{number}", "prompt": text} for number, text in enumerate(asked)])
        project.add_annotator("eve")
        for number, text in enumerate(asked[:20]):
            project.judge(f"i-{number}", "answer", annotator="eve", answer=answer(text))
        project.snapshot("answer", name="v1")
    command = ["train", "dagger", "--project", tmp_path / "help", "--snapshot", "v1", "--base", base, "--human-feedback"]
    command += [word for option in OPTIONS for word in ("-o", option)]
    waiting = run(*command)
    assert waiting.code == 3
    assert "3 of 3 answers of round 1 wait for an expert's correction" in waiting.out
    with closing(Project.open(tmp_path / "help")) as project:
        while (work := project.next("eve")) is not None and work.question == "answer-correct":
            assert work.content["completion"] is not None
            project.submit(work.slot, "eve", answer(work.content["prompt"]))
    done = run(*command, "--json")
    assert done.code == 0, done.err
    with closing(Project.open(tmp_path / "help")) as project:
        manifest = project.model(done.document["model"]).manifest
    assert [each["asked"] for each in manifest["dagger"]["rounds"]] == [3]
    assert manifest["dagger"]["curve"][-1]["corrections"] == 3
