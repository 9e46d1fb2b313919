"""What has changed of what is served: new words and lengths in prompts, confidence, quality; and nothing where nothing has."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from preceptor.errors import NotFoundError
from preceptor.monitoring import live_report as live_watching
from preceptor.monitoring.live_quality import ResponseVerdict
from preceptor.monitoring.live_report import detect_live_drift
from preceptor.monitoring.response_log import LoggedResponse

WORDS = ["order", "parcel", "shoes", "return", "refund", "late", "size", "colour", "card", "gift"]


def texts(rng, n, words=WORDS, length=6):
    return [" ".join(rng.choice(words, size=length)) for _ in range(n)]


def watched(monkeypatch, prompts, sure, good):
    """What is watched of a model that was trained on 300 rows and calibrated on 200 answers, by what it is."""
    rng = np.random.default_rng(0)
    sides = {"train": texts(rng, 300), "validation": texts(rng, 60)}
    rows = lambda side: [SimpleNamespace(content={"prompt": text, "completion": "so"}) for text in sides[side]]  # noqa: E731
    project = SimpleNamespace(
        model=lambda name: SimpleNamespace(manifest={"snapshot": "s"}), load_snapshot=lambda name: SimpleNamespace(rows=rows)
    )
    ranked = SimpleNamespace(confidence=rng.beta(6, 2, 200))
    monkeypatch.setattr(live_watching, "load_calibration", lambda project, model: {"ranked": ranked})
    kept = [
        LoggedResponse(f"a-{k}", "m", "", None, {"messages": [{"role": "user", "content": text}]}, float(confidence), 1.0, k, None)
        for k, (text, confidence) in enumerate(zip(prompts, sure, strict=True))
    ]
    judged = [ResponseVerdict(f"i-{k}", f"a-{k}", "m", "", f"g-{k}", float(each), 1.0, None, (), k, k) for k, each in enumerate(good)]
    return {each.signal: each for each in detect_live_drift(project, "m", kept, judged)}


def test_nothing_has_changed(monkeypatch):
    rng = np.random.default_rng(1)
    found = watched(monkeypatch, texts(rng, 200), rng.beta(6, 2, 200), rng.random(250) < 0.8)
    assert not any(each.drifted for each in found.values())
    assert all("no change is seen" in each.summary for each in found.values())
    assert found["lengths of prompts"].distance.low < 0.05


def test_each_change_is_called_where_it_is(monkeypatch):
    rng = np.random.default_rng(2)
    asked = texts(rng, 100) + texts(rng, 100, ["visa", "embassy", *WORDS[:4]], 14)
    good = np.concatenate([rng.random(150) < 0.85, rng.random(250) < 0.5])
    found = watched(monkeypatch, asked, np.concatenate([rng.beta(6, 2, 100), rng.beta(2, 2, 100)]), good)
    assert {what for what, each in found.items() if each.drifted} == set(found)
    assert found["lengths of prompts"].distance.low > 0.2
    assert found["live quality"].periods[0].value > found["live quality"].periods[-1].high
    assert found["live quality"].to_dict()["evidence"] >= 20


def test_a_base_has_no_rows_to_compare_with_and_says_so(monkeypatch):
    def none(*_):
        raise NotFoundError("no model")

    monkeypatch.setattr(live_watching, "load_calibration", none)
    kept = [LoggedResponse("a", "m", "", None, {"messages": [{"role": "user", "content": "so"}]}, None, 0.0, 1.0, None)]
    found = detect_live_drift(SimpleNamespace(model=none, load_snapshot=none), "smollm2", kept, [])
    assert [each.evidence for each in found] == [None] * 4
    assert all("too little to compare with" in each.summary for each in found)
