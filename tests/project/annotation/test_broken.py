"""Files of every format, broken in every way: words and nothing kept, or rows; never another error."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats.format_registry import formats
from preceptor.testing.broken_files import break_parts, read_parts, write_parts

EXAMPLES = Path(__file__).parents[2] / "formats" / "examples"
CASES = [
    pytest.param(name, path, id=path.name, marks=[pytest.mark.slow] if number else [])
    for name in formats.names()
    for number, path in enumerate(sorted([*EXAMPLES.glob(f"{name}.*"), *EXAMPLES.glob(f"{name}-*.*")]))
]
EACH = 12  # how many ways of breaking each example


@pytest.mark.parametrize(("name", "path"), CASES)
def test_a_broken_file_is_refused_in_words_or_read(tmp_path, name, path):
    project = Project.create(tmp_path / "project")
    every = [parts for parts in break_parts(read_parts(path)) if any(parts.values())]
    for number, parts in enumerate(every[:: max(1, len(every) // EACH)]):
        file = tmp_path / str(number) / path.name
        write_parts(parts, file)
        before = project.counts()
        kept = False
        with suppress(UserError):
            project.read(file, format=name)
            kept = True
        assert kept or project.counts() == before
    project.close()


def test_what_is_killed_half_way_is_not_in_and_the_same_command_brings_it_in(tmp_path, run):
    file = tmp_path / "rows.jsonl"
    said = '{"question": "tone", "kind": "choice", "answer": "%s", "annotator": "p%d"}'
    file.write_text(
        "".join(f'{{"id": "i-{n}", "text": "text {n}", "judgments": [{said % (("calm", "angry")[n % 2], n % 9)}]}}\n' for n in range(6_000))
    )
    assert run("init", tmp_path / "project").code == 0
    command = [sys.executable, "-m", "preceptor", "import", str(file), "--project", str(tmp_path / "project")]
    for delay in (0.2, 0.6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        queue = tmp_path / "project" / "preceptor.db-wal"
        while not (queue.exists() and queue.stat().st_size > 0) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()  # which may find it done
        process.wait()
        project = Project.open(tmp_path / "project")
        assert project.counts()["items"] in (0, 6_000)
        project.close()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    project = Project.open(tmp_path / "project")
    assert (project.counts()["items"], project.counts()["judgments"]) == (6_000, 6_000), done.stdout
    assert [question.name for question in project.questions()] == ["tone"]
    project.close()
