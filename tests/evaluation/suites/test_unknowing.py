"""Who says that they don't know, and who only writes about the unknown."""

from __future__ import annotations

from preceptor.evaluation.suites.abstention import is_abstention
from preceptor.quality.text_normalization import normalize_characters

UNKNOWN = [
    "I don't know.",
    "I'm not sure about that.",
    "I do not have enough information to answer.",
    "The passage doesn't mention the year.",
    "There is no information about this in the provided sources.",
    "This cannot be determined from the text.",
    "I couldn't find anything about that in the documents.",
    "It's unclear from the context.",
    "Sorry, I have no information on that.",
    "The document does not say who signed it.",
    "I am unable to verify that claim.",
    "Unknown",
    "Not stated.",
    "I'd need more details to answer that.",
    "Nobody knows.",
    "I don't have data on events after 2023.",
    "No answer is given in the text.",
    "The answer isn't in the text.",
    "I can't say for certain.",
    "There's not enough context to tell.",
    "Based on the sources, I cannot determine the price.",
    "That information is not available.",
    "The sources provided do not contain the answer.",
    "I have no idea.",
    "We don't know that yet.",
    "Neither source gives a date.",
]
KNOWN = [
    "It was 1969.",
    "I know that it is Paris.",
    "The company does not provide figures by region, but total sales were 3.2 million dollars in 2019 and 3.5 in 2020, up 9 %.",
    "Scientists do not know why, but the leading theory is that the star collapsed under its own weight about a billion years ago.",
    "No, the plan has no deductible.",
    "Yes.",
    "The unknown soldier was buried in 1920 in Westminster Abbey.",
    "You can't know the result before Friday.",
    "The policy does not cover water damage.",
    "Information is available at the desk.",
]


def test_it_says_so(subtests):
    for text in UNKNOWN:
        with subtests.test(text=text):
            assert is_abstention(normalize_characters(text).text)


def test_it_does_not(subtests):
    for text in KNOWN:
        with subtests.test(text=text):
            assert not is_abstention(normalize_characters(text).text)


def test_unsure_and_then_an_answer_is_an_answer():
    assert not is_abstention("I'm not sure, but it was most likely built in 1889 for the world's fair in Paris by Eiffel.")


def test_what_people_write_seldom_says_so(shared_rows):
    """Conclusions of papers speak of the unknown; at most five in a thousand are taken for an admission."""
    texts = [row["long_answer"] for row in shared_rows("tasks/pubmedqa")]
    assert sum(is_abstention(normalize_characters(text).text) for text in texts) <= len(texts) / 200
