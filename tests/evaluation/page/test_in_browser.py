"""The page in a true browser: nothing overflows a phone, and its text is legible there."""

import pytest

from preceptor.reporting.html_page import render_report


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(browser, document, tmp_path, width, scheme):
    file = tmp_path / "report.html"
    file.write_text(render_report(document), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert asked == [file.as_uri()], "the page fetches nothing else"
    escaping = """[...document.querySelectorAll('svg text')].filter(text => {
        const box = text.getBoundingClientRect(); return box.left < 0 || box.right > innerWidth; }).map(text => text.textContent)"""
    assert page.evaluate(escaping) == []
    scale = page.evaluate("Math.min(...[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width / 380))")
    assert 11.5 * scale >= (10.5 if width >= 390 else 8.5)
    page.close()


def test_on_paper_it_is_dark_on_white_whatever_the_screen_is(browser, document, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render_report(document), encoding="utf-8")
    page = browser.new_page(color_scheme="dark")
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    look = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert page.evaluate(look) == ["rgb(255, 255, 255)", "rgb(17, 17, 17)"]
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_texts_and_tokens_wrap(browser, text_document, tmp_path, width):
    file = tmp_path / "report.html"
    file.write_text(render_report(text_document), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('dd, .tokens')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    page.close()
