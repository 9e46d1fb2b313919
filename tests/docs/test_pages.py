"""Every block of every page runs, top to bottom, in a folder of its own.

`python` blocks of one page share their names. `bash` blocks hold `preceptor` commands (and `cd`), run in this process;
one that ends with `# exit 3` must exit with that code, and `preceptor serve … &` serves until the page ends. A `toml` or
`csv` block after `<!-- file: NAME -->` becomes that file. A `text` block that begins with `error:` is what the command
above it must have told. `console` blocks concern the machine around (make, pip) and are not run; other `text` blocks are
shown only.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [path for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))] if "```" in path.read_text(encoding="utf-8")]
TECHNIQUES = (
    "choosing-a-technique", "distillation", "grounding", "imitation", "meta-learning", "preferences", "reinforcement", "self-training"
)  # fmt: skip
LANGUAGES = {"python", "bash", "toml", "csv", "jsonl", "console", "text", "json"}
FENCE = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    code: str
    line: int
    file: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(found["language"], found["code"], text.count("\n", 0, found.start("code")), found["file"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]):
    names: dict[str, object] = {"__name__": page.stem}
    with ExitStack() as servers:
        run_all(page, names, capsys, servers)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_block_of_a_technique_runs_with_the_real_models(name: str, real_page_folder: Path, capsys: pytest.CaptureFixture[str]):
    with ExitStack() as servers:
        run_all(ROOT / "docs" / f"{name}.md", {"__name__": name}, capsys, servers)


def run_all(page: Path, names: dict[str, object], capsys: pytest.CaptureFixture[str], servers: ExitStack) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page.name}:{block.line} has a block in {block.language or 'no language'}"
        if block.file is not None:
            Path(block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            code = "\n" * block.line + block.code  # so that a traceback names the page's own line
            exec(compile(code, str(page), "exec"), names)
        elif block.language == "bash":
            for line in block.code.replace("\\\n", " ").splitlines():
                if line.endswith(" &"):
                    servers.enter_context(serving(line.removesuffix(" &")))
                else:
                    run(line, f"{page.name}:{block.line}")
        elif block.language == "text" and block.code.startswith("error:"):
            assert capsys.readouterr().err.endswith(block.code), f"{page.name}:{block.line}"


@contextmanager
def serving(line: str) -> Iterator[None]:
    """`preceptor serve` in a process of its own, from when it is ready."""
    words = shlex.split(line)
    port = words[words.index("--port") + 1] if "--port" in words else "8000"
    server = subprocess.Popen([sys.executable, "-m", *words])
    try:
        until = time.monotonic() + 240
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                break
            assert server.poll() is None, f"{line} ended"
            assert time.monotonic() < until, f"{line} didn't come up"
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(120)


def run(line: str, where: str) -> None:
    words = shlex.split(line, comments=True)
    wanted = re.search(r"# exit (\d+)", line)
    if not words:
        return
    if words[0] == "cd":
        os.chdir(words[1])
        return
    from preceptor.cli.main import main

    assert words[0] == "preceptor", f"{where}: a bash block holds preceptor commands, not {line!r}"
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert ended.value.code == (int(wanted[1]) if wanted else 0), f"{where}: {line}"
