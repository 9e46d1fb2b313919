"""Takes the screenshots in docs/screens: a small made-up project, the real server, a real browser.

Run: python docs/take_screenshots.py (it needs Chromium).
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from preceptor import Project

SCREENS = Path(__file__).parent / "screens"
PORT = 8791
MOODS = ("negative", "neutral", "positive")
REVIEWS = (
    "The battery lasts two days, and the camera is better than my old one's.",
    "Arrived broken. Support answered after a week, and only to say no.",
    "It is a blue cable of two metres.",
    "Good value, though the manual is useless.",
    "I returned it: it hums, and the box smelled of glue.",
)
ANSWERS = (
    "You can return it within 30 days. I have sent the label to your address; print it and drop the parcel at any post office.",
    "Returns are possible in some cases. Please consult our website for further information about our policies.",
)
NOTE = "Started ibuprofen 400 mg on Monday. By Tuesday evening a rash on both arms; no fever. Stopped, and took cetirizine 10 mg."


def fill(folder: Path) -> dict[str, str]:
    """A project with four questions and people who have answered; links by role."""
    project = Project.create(folder, annotators={"address": f"http://127.0.0.1:{PORT}", "gold_share": 0})
    rng, mood = random.Random(1), {}
    project.add_items({"id": f"review-{n}", "content": f"{rng.choice(REVIEWS)}", "group": f"customer-{n // 4}"} for n in range(400))
    project.add_question("mood", "choice", MOODS, "How does the writer feel about the product?")
    project.add_question("about", "multilabel", ["quality", "price", "delivery", "support"], "What about?",
                         follows={"question": "mood", "answers": ["negative"]})  # fmt: skip
    for n in range(400):
        mood[f"review-{n}"] = rng.choice(MOODS)
    project.add_gold("mood", {f"review-{n}": mood[f"review-{n}"] for n in range(20)}, "The complaint outweighs the praise.")
    for person, ability in (("Ann", 0.9), ("Bo", 0.8), ("Cem", 0.55), ("Dana", 0.85)):
        project.add_annotator(person)
        for item, truth in list(mood.items())[:300]:
            if rng.random() < 0.8:
                said = truth if rng.random() < ability else rng.choice(MOODS)
                project.judge(item, "mood", annotator=person, answer=said, seconds=rng.gammavariate(3, 2))
    access = project.annotation.access
    links = {name: access.invite(name, role)["link"] for name, role in (("Eve", "annotator"), ("Mo", "owner"))}
    project.close()
    return links


def fill_kinds(folder: Path) -> str:
    """A project with one item to compare and one to mark; the link of who is asked."""
    project = Project.create(folder, annotators={"address": f"http://127.0.0.1:{PORT}", "gold_share": 0})
    project.add_items([{"id": "1", "prompt": "My kettle leaks. Can I send it back?", "responses": list(ANSWERS)}])
    project.add_question("better", "compare", instructions="Which answer helps the customer more?", reasons=True)
    link = project.annotation.access.invite("Eve")["link"]
    project.close()
    return str(link)


def fill_spans(folder: Path) -> str:
    """A project with one text to mark; the link of who is asked."""
    project = Project.create(folder, annotators={"address": f"http://127.0.0.1:{PORT}", "gold_share": 0})
    project.add_items([{"id": "1", "content": NOTE}])
    project.add_question("marks", "spans", ["drug", "effect"], "Mark each drug and each effect.")
    link = project.annotation.access.invite("Eve")["link"]
    project.close()
    return str(link)


class Serving:
    """The real server over a folder."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "preceptor", "serve", "--project", str(folder), "--port", str(PORT)]
        self.process = subprocess.Popen(command)

    def __enter__(self) -> None:
        for _ in range(300):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/ready"):
                return
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def shoot(page: Page, name: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(400)
    page.screenshot(path=SCREENS / f"{name}.png")


def main() -> None:
    """Six pages: three kinds of work, and what managers look at most."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        folder = Path(name)
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        links = fill(folder / "reviews")
        with Serving(folder / "reviews"):
            page = browser.new_page()
            page.goto(links["Eve"])
            page.keyboard.press("1")
            shoot(page, "work", 1280, 620)
            page = browser.new_context().new_page()
            page.goto(links["Mo"])
            page.wait_for_timeout(4000)
            for path, height in (("/manage", 800), ("/manage/people", 720), ("/manage/budget", 900)):
                page.goto(f"http://127.0.0.1:{PORT}{path}")
                page.wait_for_timeout(2500)
                page.goto(f"http://127.0.0.1:{PORT}{path}")
                shoot(page, path.rpartition("/")[2], 1280, height)
        for kind, make, width, height in (("compare", fill_kinds, 1280, 760), ("spans", fill_spans, 390, 760)):
            link = make(folder / kind)
            with Serving(folder / kind):
                page = browser.new_context(color_scheme="dark" if kind == "compare" else "light").new_page()
                page.goto(link)
                shoot(page, kind, width, height)
        browser.close()


if __name__ == "__main__":
    main()
