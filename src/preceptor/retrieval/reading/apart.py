"""Reading in a process of its own, with bounded memory and processor time: a bad file costs no more than that, and harms nobody."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import warnings
from dataclasses import astuple

from preceptor.errors import UserError
from preceptor.retrieval.reading.extracted import Block, Extracted
from preceptor.retrieval.reading.html import read_html
from preceptor.retrieval.reading.markdown import read_markdown
from preceptor.retrieval.reading.pdf import read_pdf

MEMORY = 3 << 30  # bytes of address space that reading one file may take
_READERS = {"html": read_html, "markdown": read_markdown}
_START = 30.0  # seconds for the process to begin and end in, on a machine with much to do


def read_apart(media: str, data: bytes, name: str, *, seconds: float, most_characters: int) -> Extracted:
    """A PDF, a page of HTML, or Markdown; UserError when it can't be read, or takes more than so many seconds of a processor."""
    command = [sys.executable, "-m", __name__, media, str(round(seconds) + 1), str(most_characters)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=4 * seconds + _START, check=False)
    except subprocess.TimeoutExpired:
        raise _too_long(media, name, seconds) from None
    if done.returncode < 0:  # killed by the limit
        raise _too_long(media, name, seconds)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["its reader ended without a word"])[-1]
        hint = "make it anew with another program, or add its text"
        raise UserError(f"can't be read as {media}: {reason:.200}", hint, where=name) from None
    if "error" in told:
        raise UserError(told["error"], told["hint"], where=name)
    blocks = [Block(start, end, kind, tuple(headings)) for start, end, kind, headings in told["blocks"]]
    return Extracted(media, told["title"], told["text"], blocks)


def _too_long(media: str, name: str, seconds: float) -> UserError:
    hint = "divide it, make it anew with another program, or raise read_seconds in [retrieval] of preceptor.toml"
    return UserError(f"takes more than {seconds:g} seconds, or {MEMORY >> 30} GB of memory, to read as {media}", hint, where=name)


def _child(media: str, seconds: int, most_characters: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")  # what a file is blamed for is told once, by us; this process reads nothing else
    logging.disable()
    data = sys.stdin.buffer.read()
    try:
        found = _READERS[media](data, "") if media in _READERS else read_pdf(data, "", most_characters=most_characters)
        told = {"title": found.title, "text": found.text, "blocks": [astuple(block) for block in found.blocks]}
    except UserError as error:
        told = {"error": error.message, "hint": error.hint}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
