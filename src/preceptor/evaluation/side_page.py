"""A comparison as one self-contained page: who is better, how sure that is, what could mislead, and what people saw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.page import lay_out
from preceptor.evaluation.page.parts import Picture, Section, Table, Verdict, is_estimate, picture
from preceptor.evaluation.page.slices import slice_table
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import count, percent, sentence, signed_decimal, spread

Document = Mapping[str, Any]
SHOWN = 400  # characters of a text
UNIT, ANY = (0.0, 1.0), (-math.inf, math.inf)
HOW = (
    "Each prompt comes to one number, the mean of its people's votes, a tie being half. The interval holds at every look at once, so "
    "that asking may end as soon as it lies on one side of one half."
)


def comparison_page(document: Document) -> str:
    """The page of a comparison's document, as `Report.from_document` makes it plain."""
    names = " and ".join(document["models"])
    sections = [
        _wins(document), _strengths(document), _misleading(document), _judge(document), _slices(document), _examples(document),
        _people(document),
    ]  # fmt: skip
    return lay_out(
        f"{names}, side by side", _verdict(document), [section for section in sections if not section.is_empty], _facts(document)
    )


def _verdict(document: Document) -> Verdict:
    better = [match["better"] for match in document["matches"]]
    if all(better):
        headline = f"{document['ranking'][0]} is better" if len(better) == 1 else f"{document['ranking'][0]} leads"
        return Verdict("met", headline, list(document["words"]))
    return Verdict("undecided", "Not decided yet" if not any(better) else "Decided in part", list(document["words"]))


def _wins(document: Document) -> Section:
    drawn = [
        Row(f"{match['first']} against {match['second']}", Estimate.of(match["win_rate"]), strong=bool(match["better"]))
        for match in document["matches"]
        if is_estimate(match["win_rate"])
    ]
    pictures = (
        [picture(HOW, interval_plot, "How often the first wins", drawn, show=percent, limits=UNIT, mark=(0.5, "even"))] if drawn else []
    )
    rows = [
        [
            f"{each['first']} against {each['second']}",
            *(count(each[name]) for name in ("finished", "won", "tied", "lost", "same")),
            each["better"] or "open",
        ]
        for each in document["matches"]
    ]
    table = Table("Prompts", ["", "finished", "won", "tied", "lost", "same answer", "better"], rows)
    return Section("wins", "Who wins", [], pictures, [table])


def _strengths(document: Document) -> Section:
    if "strengths" not in document:
        return Section("strengths", "")
    rows = [Row(name, Estimate.of(document["strengths"][name])) for name in document["ranking"]]
    caption = "Log-odds, around their mean, from one model of all votes with ties and the order on the page."
    return Section("strengths", "How strong", [], [picture(caption, interval_plot, "Strength", rows, show=signed_decimal, limits=ANY)])


def _misleading(document: Document) -> Section:
    """What might decide in place of the answers: the place on the page, the length."""
    pictures = []
    if is_estimate(document.get("order_bias")):
        row = [Row("standing left adds", Estimate.of(document["order_bias"]))]
        caption = "Log-odds. The order is drawn anew for each person, so that a liking for a side cancels out."
        pictures.append(
            picture(caption, interval_plot, "The place on the page", row, show=signed_decimal, limits=ANY, mark=(0.0, "nothing"))
        )
    rows = [*_lengths(document)]
    if rows:
        caption = "How often the longer answer wins, and how often the first model would if both answers were of one length."
        pictures.append(picture(caption, interval_plot, "Length", rows, show=percent, limits=UNIT, mark=(0.5, "even")))
    return Section("misleading", "What could mislead", [], pictures)


def _lengths(document: Document) -> Iterator[Row]:
    for match in document["matches"]:
        found, two = match.get("length") or {}, f"{match['first']} against {match['second']}"
        for name, words in (("longer_wins", "the longer one wins"), ("at_equal_length", f"{match['first']} wins at equal length")):
            if is_estimate(found.get(name)):
                yield Row(words if len(document["matches"]) == 1 else f"{two}: {words}", Estimate.of(found[name]))


def _judge(document: Document) -> Section:
    """A judge beside people: its agreement first."""
    judged = [match for match in document["matches"] if match.get("judge")]
    if not judged:
        return Section("judge", "")
    about = document.get("judge") or {}
    said = f"{about.get('name', 'The judge')} was asked “{about.get('question', '')}” about each pair in both orders."
    pictures = [each for match in judged for each in _of_judge(match)]
    drift = about.get("drift") or {}
    return Section("judge", "A judge beside people", [said, *([drift["words"]] if drift else [])], pictures)


def _of_judge(match: Document) -> Iterator[Picture]:
    found, two = match["judge"], f"{match['first']} against {match['second']}"
    agrees = found.get("agreement") or {}
    names = (
        ("agrees with people", agrees.get("plain")), ("the same, balanced over whom people prefer", agrees.get("balanced")),
        ("takes what stands first", found.get("first_place")), ("turns with the order", found.get("flip_rate")),
    )  # fmt: skip
    rows = _rows(names)
    if rows:
        yield picture(
            "One half is what a coin would do.", interval_plot, f"{two}: the judge", rows, show=percent, limits=UNIT, mark=(0.5, "coin")
        )
    rates = (("people alone", found.get("people")), ("with the judge on all prompts", found.get("with_judge")))
    drawn = _rows(rates)
    if len(drawn) == 2:
        caption = "For one look, after a planned number of votes. People alone decide."
        yield picture(caption, interval_plot, f"{two}: win rate", drawn, show=percent, limits=UNIT, mark=(0.5, "even"))


def _rows(named: Sequence[tuple[str, Any]]) -> list[Row]:
    return [Row(words, Estimate.of(value)) for words, value in named if is_estimate(value)]


def _slices(document: Document) -> Section:
    tables = [
        slice_table(f"How often {match['first']} wins against {match['second']}", match["slices"])
        for match in document["matches"]
        if (match.get("slices") or {}).get("found")
    ]
    said = "Each slice beside all other prompts; the last column is corrected for how many slices were looked at."
    return Section("slices", "Where it differs", [said] if tables else [], [], tables)


def _examples(document: Document) -> Section:
    tables = [
        Table(
            f"{match['first']} against {match['second']}", ["prompt", match["first"], match["second"], "people prefer"], rows, numeric=False
        )
        for match in document["matches"]
        if (rows := [_example(match, example) for example in match.get("examples") or ()])
    ]
    return Section("examples", "Where people were of one mind", tables=tables)


def _example(match: Document, example: Document) -> list[str]:
    value = example["value"]
    name, share = (match["first"], value) if value > 0.5 else (match["second"], 1 - value)
    texts = (example["prompt"], *(example["answers"][model] for model in (match["first"], match["second"])))
    return [*(text if len(text) <= SHOWN else f"{text[:SHOWN]} […]" for text in texts), f"{name}\n{percent(share)} of votes"]


def _people(document: Document) -> Section:
    people: Sequence[Document] = document.get("annotators") or ()
    rows = [
        [
            str(each["annotator"]),
            count(each["votes"]),
            spread(Estimate.of(each["with_others"])) if is_estimate(each["with_others"]) else "–",
        ]
        for each in people
    ]
    caption = "How often a vote is that of most others on the same pair; 50 % is chance"
    table = Table(caption, ["person", "votes", "with others"], rows)
    said = [f"{each['winner'] or 'tie'}: {each['reasons']}" for each in document.get("reasons") or ()]
    return Section(
        "people", "Who judged", [sentence(note) + "." for note in document.get("notes") or ()], [], [table] if rows else [], points=said
    )


def _facts(document: Document) -> list[tuple[str, str]]:
    facts = [("round", str(document.get("question", ""))), ("votes", count(document["votes"])), ("votes a pair", str(document["people"]))]
    facts.append(("prompts", f"{count(document['prompts'])}, of which {count(document['asked'])} before people"))
    return facts + [(f"answers of {name}", str(about["digest"])[:12]) for name, about in (document.get("answers") or {}).items()]
