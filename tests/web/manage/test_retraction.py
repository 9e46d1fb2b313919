"""The preview of a retraction is what then happens."""

import re

from preceptor.release.retraction import preview_retraction


def tops(project):
    fitted = project.consensus("mood")
    return dict(zip(fitted.items, fitted.top, strict=True))


def test_the_preview_is_what_then_happens_and_changes_nothing(small, words):
    small.project.add_annotator("zed")
    small.project.judge("fresh", "mood", annotator="zed", answer="positive")
    before, browser = tops(small.project), small.browser()
    page = words(browser.get("/manage/retract/zed"))
    assert tops(small.project) == before
    previewed = preview_retraction(small.project, "zed")
    assert f"Judgments taken out {previewed.judgments} Answers that change {previewed.changes}" in page
    assert "nothing: nobody else has answered" in page
    browser.post("/manage/retract/zed", 422, reason="  ")
    assert 'role="alert"' in browser.page
    assert tops(small.project) == before
    browser.post("/manage/retract/zed", reason="answers at random")
    assert "61 judgments of 'zed' no longer count , by the-owner . On record: answers at random" in words(browser.get(browser.leads_to))
    assert "made again" not in browser.page  # nothing rested on them
    after = tops(small.project)
    changed = {item: (top, after.get(item)) for item, top in before.items() if after.get(item) != top}
    (effect,) = previewed.effects
    assert previewed.judgments == 61
    assert effect.unanswered == 1
    assert {change.item: (change.before, change.after) for change in effect.changes} == changed
    assert len(changed) > 1
    assert "Nothing: no judgment of theirs stands" in browser.get("/manage/retract/zed")
    log = words(browser.get("/manage/log"))
    assert re.search(r"Annotator retracted just now the-owner", log)


def test_an_items_history_keeps_what_was_retracted(small):
    browser = small.browser()
    small.project.retract("zed", by="boss", reason="asleep")
    page = browser.get("/manage/items/i-001")
    assert page.count('class="gone"') == 1
    assert "retracted by boss: asleep" in page
