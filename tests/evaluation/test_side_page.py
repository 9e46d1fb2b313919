"""The page of a comparison: all that was found is on it, texts stay texts, and little is said of little."""

from __future__ import annotations

from dataclasses import replace

from preceptor.evaluation.answer_pairs import pair_answers, read_votes
from preceptor.evaluation.model_comparison import compare_models
from preceptor.reporting.comparison_page import comparison_page
from preceptor.reporting.report import Report
from side_rounds import NAMES, Person, answers_of

HOSTILE = "<script>document.title = 'taken'</script>"


def page(answers, people, verdicts=None):
    pairs = pair_answers(answers)
    given = [(pair, person, person.answer({"responses": pair.responses})) for pair in pairs for person in people if not pair.is_same]
    said = [
        vote for pair, person, answer in given for vote in read_votes([pair], [pair.id], [person.name], [answer | {"reasons": HOSTILE}])
    ]
    found = compare_models(pairs, said, people=max(1, len(people)), verdicts=None if verdicts is None else verdicts(pairs))
    about = {each.subject: {"digest": each.digest, "sampling": {}} for each in answers}
    document = {"question": "round", "answers": about, **found, "judge": {"name": HOSTILE, "question": "Which?", "digest": "d"}}
    return comparison_page(Report.from_document(document).document)


def test_it_shows_wins_strengths_biases_people_and_examples():
    made = page([answers_of(name, 80, quality) for name, quality in zip(NAMES, (75, 50), strict=False)], [Person("ann"), Person("bob")])
    for words in (
        f"{NAMES[0]} is better",
        "How often the first wins",
        "Strength",
        "The place on the page",
        "Length",
        "ann",
        "people prefer",
    ):
        assert words in made
    assert ">nan" not in made.casefold()


def test_texts_from_outside_are_shown_as_text():
    one, two = (answers_of(name, 30, quality) for name, quality in zip(NAMES, (70, 40), strict=False))
    hostile = replace(one, subject=HOSTILE, texts=[f"{text} {HOSTILE}" for text in one.texts])
    made = page([hostile, two], [Person(HOSTILE)], verdicts=lambda pairs: {pair.id: (0.9, 0.2) for pair in pairs})
    assert "<script" not in made
    assert "&lt;script&gt;" in made


def test_three_models_and_a_judge_have_their_places():
    answers = [answers_of(name, 60, quality) for name, quality in zip(NAMES, (70, 50, 45), strict=True)]
    made = page(
        answers, [Person("ann")], verdicts=lambda pairs: {pair.id: (float(number % 3 > 0), 0.4) for number, pair in enumerate(pairs)}
    )
    assert made.count("with the judge on all prompts") >= 3
    assert "leads" in made or "Decided in part" in made


def test_before_any_vote_it_says_that_nothing_is_known():
    made = page([answers_of(name, 10, 50) for name in NAMES[:2]], [])
    assert "Not decided yet" in made
    assert "no prompt has all its votes yet" in made
