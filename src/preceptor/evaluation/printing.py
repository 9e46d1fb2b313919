"""A page printed to PDF by Chromium, with its own style for paper."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from preceptor.errors import UserError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120


def print_pdf(html: str, path: str | Path) -> None:
    """Write a self-contained page as PDF; a reader sees the old file or the whole new one.

    UserError when no Chromium is on the PATH, or when it fails or takes longer than two minutes.
    """
    from preceptor.formats.atomic import atomic_write

    data = printed(html)
    with atomic_write(Path(path)) as file:
        file.write(data)


def printed(html: str) -> bytes:
    """The PDF of a self-contained page."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        hint = "install it (apt-get install chromium), or open the HTML page in a browser and print it"
        raise UserError("printing to PDF needs Chromium, and none is on the PATH", hint)
    with tempfile.TemporaryDirectory() as folder:
        page, made = Path(folder) / "page.html", Path(folder) / "page.pdf"
        page.write_text(html, encoding="utf-8")
        try:
            done = subprocess.run(_command(program, page, made), capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(f"Chromium didn't print the page within {SECONDS} seconds", "try again on a machine that does less") from None
        if not made.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"Chromium couldn't print the page: {said}", "open the HTML page in a browser and print it")
        return made.read_bytes()


def _command(program: str, page: Path, made: Path) -> list[str]:
    flags = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-pdf-header-footer"]
    flags += [f"--user-data-dir={page.parent / 'profile'}", f"--print-to-pdf={made}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # it refuses its sandbox to root; the page forbids itself all scripts
    return [program, *flags, page.as_uri()]
