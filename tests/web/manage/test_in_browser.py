"""All managers' pages in a true browser, at both sizes and in the dark: nothing overflows, axe finds nothing serious, no fault."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.snapshots import curation
from preceptor.storage import artifacts, items, questions, suspects
from preceptor.types import Model
from preceptor.web.app import create_app

PAGES = (
    "/manage", "/manage/agreement", "/manage/people", "/manage/people/zed", "/manage/invite", "/manage/retract/zed", "/manage/items",
    "/manage/items?view=uncertain", "/manage/items?view=flagged", "/manage/items/i-001", "/manage/questions",
    "/manage/questions/edit?name=mood", "/manage/import", "/manage/export", "/manage/budget", "/manage/releases",
    "/manage/releases/m-good", "/manage/releases/m-open", "/manage/releases/m-bare", "/manage/releases/m-open/report",
    "/manage/log", "/review", "/review/2", "/curate", "/curate/item?question=mood&item=i-007&done=i-006", "/work/guidelines",
    "/manage/checks", "/manage/checks/frozen", "/manage/checks/frozen?finding=balance", "/manage/erase/i-001",
)  # fmt: skip


def suspect(project: Project) -> None:
    """Two rows for /curate, and an example with the guidelines."""
    with project.database.writing() as connection:
        question, _ = questions.get(connection, "mood")
        keys = items.keys(connection, ["i-006", "i-007", "i-008"])
        found = {"target": {"neutral": 0.9, "negative": 0.1}, "model": {"positive": 0.8, "neutral": 0.2}, "others": ["i-020"]}
        rows = [(key, f"people and the model differ about {id_}", 1.0 - key / 100, found) for id_, key in keys.items()]
        suspects.add_suspects(connection, question, "0" * 64, "label errors", rows)
    curation.curate_item(project, "i-006", "mood", "relabel", answer="positive", reason="thanks are joy", example=True, by="boss")


@pytest.fixture(scope="module")
def served(tmp_path_factory, filled, measured):
    """The address of a server of a small project, and an owner's link."""
    project = Project.create(tmp_path_factory.mktemp("served") / "reviews", gate={"bounds": ["accuracy.low >= 0.7"], "max_slice_gap": 0.1})
    filled(project)
    for name, accuracy in (("m-good", 0.85), ("m-open", 0.72)):
        measured(project, name, accuracy)
    with project.database.writing() as connection:
        bare = Model("m-bare", project.folder, {"recipe": "classify", "base": "minilm"})
        artifacts.add_model(connection, bare, run="r", snapshot=project.load_snapshot("frozen").digest)
    project.release("m-open", by="boss", override="one customer, for a week", note="watched by ann")
    suspect(project)
    project.check("frozen", vectors=False)
    project.add_annotator("cleo")
    held = project.next("cleo", "mood")
    project.skip(held.slot, "cleo", reason="two languages", flag=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(project.folder), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it was ready"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}", AccessControl(project).invite("boss", "owner")["link"]
    server.should_exit = True
    thread.join(20)
    project.close()


@pytest.fixture(scope="module")
def signed_in(browser, served):
    """The cookies of an owner: a link works in the first browser that opens it, and no other."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(served[0] + urlsplit(served[1]).path)
    assert page.url == f"{served[0]}/manage"
    state = context.storage_state()
    context.close()
    return state


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_every_page_is_in_shape(browser, served, signed_in, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=signed_in)
    page, faults = context.new_page(), []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    for address in PAGES:
        assert page.goto(served[0] + address).status == 200, address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], address
    assert faults == []
    context.close()


def test_the_editor_previews_while_one_types_and_without_a_script(browser, served, signed_in):
    for script in (True, False):
        context = browser.new_context(storage_state=signed_in, java_script_enabled=script)
        page = context.new_page()
        page.goto(f"{served[0]}/manage/questions/edit")
        page.fill("[name=name]", "is it kind")
        page.fill("[name=options]", "kind\nunkind\n<img src=x>")
        if not script:
            page.get_by_role("button", name="Preview").click()
        sync_api.expect(page.locator("#preview").get_by_label("unkind")).to_be_visible()
        sync_api.expect(page.locator("#preview").get_by_label("<img src=x>")).to_be_visible()
        context.close()


def test_by_keyboard_from_the_table_to_a_paused_person(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served[0]}/manage/people?sort=accuracy&order=rising")
    page.get_by_role("link", name="zed").press("Enter")
    page.get_by_role("button", name="Pause").press("Enter")
    sync_api.expect(page.get_by_role("button", name="Ask them again")).to_be_visible()
    context.close()


def test_a_reviewer_marks_passages_in_code_points(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served[0]}/manage/questions/edit")
    page.fill("[name=name]", "names")
    page.select_option("[name=kind]", "spans")
    page.fill("[name=options]", "person\nplace")
    page.get_by_role("button", name="Save").click()
    page.goto(f"{served[0]}/manage/import")
    page.set_input_files(
        "[name=file]", {"name": "one.csv", "mimeType": "text/csv", "buffer": "id,text\nzz,😀 Ann went to Rome.\n".encode()}
    )
    page.get_by_role("button", name="Import").click()
    page.goto(f"{served[0]}/manage/items?question=names&q=zz")
    page.get_by_role("link", name="zz").click()
    slot = page.locator("section", has=page.get_by_role("heading", name="names")).get_attribute("id").removeprefix("slot-")
    page.goto(f"{served[0]}/review/{slot}")
    page.evaluate("""const area = document.querySelector('.markable').firstChild, range = document.createRange();
        range.setStart(area, 3); range.setEnd(area, 7); getSelection().removeAllRanges(); getSelection().addRange(range);""")
    page.get_by_role("button", name="person").click()
    sync_api.expect(page.locator(".marks")).to_contain_text("person: Ann")
    page.get_by_role("button", name="Answer").click()
    sync_api.expect(page.locator("tr.own")).to_contain_text("person 2–5")
    context.close()


def test_a_model_is_let_out_by_keyboard_and_without_a_script(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{served[0]}/manage/releases")
    page.get_by_role("link", name="m-open").press("Enter")
    page.get_by_label("Why, although a bound isn't met?").fill("the board accepts it")
    page.get_by_role("button", name="Release against the gate").press("Enter")
    sync_api.expect(page.get_by_text("Released against the gate by boss").first).to_be_visible()
    sync_api.expect(page.get_by_text("the board accepts it").first).to_be_visible()
    page.get_by_role("link", name="The whole report").press("Enter")
    sync_api.expect(page.get_by_role("heading", name="Released against the gate")).to_be_visible()
    context.close()


def test_curating_says_what_is_missing_where_it_is_missing(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served[0]}/curate/item?question=mood&item=i-007")
    focused = "document.activeElement"
    page.keyboard.press("l")
    page.keyboard.press("Enter")
    assert page.evaluate(f"[{focused}.name, {focused}.validationMessage]") == ["settled", "Choose the right answer."]
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert page.evaluate(f"[{focused}.name, {focused}.validationMessage]") == ["reason", "Say why: a rejection needs a reason."]
    page.keyboard.type("no mood in it")
    assert page.evaluate("document.getElementById('decision').checkValidity()")
    context.close()


def test_a_phone_shows_few_rows_of_a_finding_and_no_hint_about_keys(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{served[0]}/curate/item?question=mood&item=i-007")
    assert not page.locator(".keyed").is_visible()
    page.goto(f"{served[0]}/manage/checks/frozen")
    for finding in page.locator("section.finding").all():
        shown = [row for row in finding.locator("tbody tr").all() if row.is_visible()]
        assert len(shown) <= 5
        if finding.locator("tbody tr").count() > 5:
            assert finding.get_by_role("link", name="All ").is_visible()
    context.close()


def wait_for_row(page, name):
    """Until its page is there with its script, which is what hears keys."""
    sync_api.expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.wait_for_load_state()


def test_rows_are_curated_by_keys_and_without_a_script(browser, served, signed_in):
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served[0]}/curate")
    page.get_by_role("link", name="Begin with the first").press("Enter")
    wait_for_row(page, "i-007")
    page.keyboard.press("k")
    wait_for_row(page, "i-008")
    page.keyboard.press("u")
    wait_for_row(page, "i-007")
    page.keyboard.press("w")
    page.keyboard.type("k")  # a letter of the text, no key
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    wait_for_row(page, "i-008")
    context.close()
    context = browser.new_context(storage_state=signed_in, java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{served[0]}/curate/item?question=mood&item=i-008")
    page.get_by_role("radio", name="Reject").check()
    page.get_by_role("button", name="Decide").press("Enter")
    sync_api.expect(page.get_by_role("alert")).to_contain_text("needs a reason")
    page.get_by_role("textbox", name="Why?").fill("no mood in it")
    page.get_by_role("button", name="Decide").press("Enter")
    sync_api.expect(page.get_by_text("Nothing waits for a decision")).to_be_visible()
    context.close()
