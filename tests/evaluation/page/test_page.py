"""The page is one valid, self-contained HTML file for whatever stages are done."""

import copy
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.evaluation import decide_release
from preceptor.reporting.html_page import render_report

VOID = {"meta", "br", "link", "img", "input", "hr"}
SECTIONS = [
    "title", "preceptor", "created", "seed", "seconds", "stages", "question", "data", "judgments", "consensus", "snapshot",
    "snapshot_summary", "training", "models", "comparison", "learning_curve", "cost", "release", "examples", "lineage", "split", "slices",
    "previous", "suites", "truth",
]  # fmt: skip


class Page(HTMLParser):
    """Walks a page; tags must balance. Keeps ids, links, headings and what is fetched."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.targets, self.headings, self.fetched, self.tags = [], [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.targets += [attributes["href"]] if "href" in attributes else []
        self.fetched += [attributes[name] for name in ("src", "srcset", "data", "action") if name in attributes]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        raise AssertionError(f"<{tag}/> closes itself, which HTML doesn't know")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(html):
    """Everything that holds for every page."""
    page = Page(html)
    assert page.fetched == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(target.startswith("#") and target[1:] in page.ids for target in page.targets)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?:|url\(|@import|\bundefined\b|\bNone\b|\bnan\b|\binf\b|Infinity|Estimate\(", html)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(deeper - above <= 1 for above, deeper in zip(page.headings, page.headings[1:], strict=False))
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(drawing)
    return page


def text_of(html):
    return " ".join(re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_the_whole_page_is_valid(document):
    page = check(render_report(document))
    assert page.tags.count("svg") == 27
    assert set(page.ids) >= {
        "question", "judgments", "quality", "faults", "release", "growth", "cost", "snapshot", "training", "lineage",
    }  # fmt: skip
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.tags.count("figure") == page.tags.count("figcaption")


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(SECTIONS)))
def test_any_subset_of_sections_renders(document, chosen):
    check(render_report({key: document[key] for key in chosen}))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parts_of_sections_may_be_absent(document, data):
    part = copy.deepcopy(document)
    inner = [(key, name) for key, value in part.items() if isinstance(value, dict) for name in value]
    for key, name in data.draw(st.sets(st.sampled_from(inner), max_size=30)):
        del part[key][name]
    check(render_report(part))


def test_nothing_at_all_says_so():
    assert "Nothing has been measured yet" in text_of(render_report({}))


def test_guidance_alone_tells_its_story(document):
    page = render_report({key: document[key] for key in ("title", "question", "data", "judgments", "consensus")})
    text = text_of(page)
    assert "People's answers are in; no model has been measured yet" in text.replace("&#39;", "'")
    assert "21,432 of 74,160 available judgments" in text
    assert "How good the model is" not in text


def test_people_and_items_cannot_inject(document):
    """An item's text, its id, answers, titles and names are shown as text wherever they stand."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    part = copy.deepcopy(document)

    def spoil(value):
        if isinstance(value, dict):
            return {(key if depth_known(key) else hostile): spoil(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner) for inner in value]
        return hostile if isinstance(value, str) and value not in ("met", "missed", "undecided", "t") else value

    def depth_known(key):
        return key not in ("negative", "neutral", "positive")

    html = render_report(spoil(part))
    page = check(html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("decision", "words"),
    [("met", "every bound is met"), ("missed", "a bound is missed"), ("undecided", "too little evidence"), ("other", "no bound was set")],
)
def test_the_verdict_comes_first_and_in_words(document, decision, words):
    html = render_report({**document, "release": {**document["release"], "decision": decision}})
    verdict = html[html.index("<header>") : html.index("</header>")]
    assert words in verdict
    assert "answers 78 of 100 unseen items" in verdict
    assert "a model 6 times its size" in verdict


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.1, 0.3, "It beats"), (-0.3, -0.1, "It falls behind"), (-0.1, 0.2, "No difference from")]
)
def test_a_comparison_claims_no_more_than_its_interval(document, low, high, words):
    difference = {**document["comparison"]["tuned_minus_zero_shot"], "value": (low + high) / 2, "low": low, "high": high}
    assert words in text_of(render_report({**document, "comparison": {"tuned_minus_zero_shot": difference}}))


def test_the_learning_curve_claims_growth_only_beyond_chance(document):
    flat = [{**at, "accuracy": document["learning_curve"][0]["accuracy"]} for at in document["learning_curve"]]
    assert "doesn't show that more judgments" in text_of(render_report({"learning_curve": flat})).replace("&#39;", "'")
    steep = copy.deepcopy(flat)
    steep[-1]["accuracy"] = {**flat[0]["accuracy"], "value": 0.95, "low": 0.92, "high": 0.98}
    assert "still climbs" in text_of(render_report({"learning_curve": steep}))


def test_a_gate_without_bounds_claims_nothing(document):
    release = decide_release([], {}).to_dict()
    page = text_of(render_report({"models": document["models"], "release": release}))
    assert "no bound says what is good enough" in page
    assert "accuracy.low &gt;= 0.8" in page, "what to set"
    assert "Good enough" not in page


def test_rows_that_judged_other_models_are_told_with_the_confidence_that_the_gate_takes(document):
    openings = {"rows": {"others": 3.0, "rows": 20, "of": 21}, "house": {"others": 0.0, "rows": 0, "of": 8}}
    page = text_of(render_report({"models": document["models"], "split": {"name": "test"}, "openings": openings}))
    assert "20 of these 21 test rows had judged other models before this one, 3.0 models a row" in page
    assert "99.69 % confidence instead of 95 %" in page
    assert "house" not in page


def test_an_unknown_price_leaves_a_dash():
    cost = {"judgments": {"used": 10, "price_each": None, "total": None}, "run": {"seconds": 3.0, "price_per_hour": None, "total": None}}
    assert "judgments 10 – –" in text_of(render_report({"cost": cost}))


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    """WCAG 2.2's contrast ratio of two #rrggbb colours."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mixed(colour, paper, share):
    pairs = ((int(colour[k : k + 2], 16), int(paper[k : k + 2], 16)) for k in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def test_contrast_is_enough_in_light_dark_and_print(document):
    style = re.search(r"<style>(.*?)</style>", render_report(document), re.DOTALL).group(1)
    themes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(themes) == 3
    for theme in themes:
        colours = {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:]) for name, value in theme.items()}
        for ground in ("paper", "raised"):
            for ink in ("ink", "soft", "accent", "met", "missed", "undecided"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for fill in ("accent", "other"):  # a heat map's darkest cell, under its number
            assert contrast(colours["ink"], mixed(colours[fill], colours["paper"], 0.5)) >= 4.5, fill


def test_a_report_on_texts_shows_them_and_runs_nothing(text_document):
    html = render_report(text_document)
    check(html)
    text = text_of(html)
    for words in (
        "On unseen items, the model&#39;s answers share 61 of 100 words with the reference (plausibly 55 to 67); 41.0\u00a0% are the same",
        "The references have become more probable than to its base, by 2.50 nats a token (plausibly +2.300 to +2.700).",
        "at most 48 tokens long, twice the longest reference: 3 of 120 ran into that limit",
        "Rows that could not be measured: 2 × the completion is empty.",
        "Parity holds: merged, reloaded, served",
        "Word F1 0.25. −4.500 nats a token of the reference.",
    ):
        assert words.replace("\u00a0", " ") in text.replace("\u00a0", " ")
    assert "<dd>(nothing)</dd>" in html, "a base that wrote empty lines only"
    assert "101 tokens before" in html
    assert "Rows that were learnt from, and those left out" in html
    assert "1 × &lt;b&gt; &amp; so on; 2 × the completion is empty" in html
    assert "<mark>&lt;u&gt;↵\n</mark>" in html
    assert "<span>&lt;i&gt;</span>" in html
    assert "Exact match" in text


def test_an_exact_match_of_labels_is_drawn_once(text_document):
    part = copy.deepcopy(text_document)
    before = Page(render_report(part)).tags.count("svg")
    part["models"]["tuned"]["accuracy"] = part["models"]["tuned"]["exact_match"]
    assert Page(render_report(part)).tags.count("svg") == before
