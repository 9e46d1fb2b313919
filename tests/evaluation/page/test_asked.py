"""What a report says of the question."""

from preceptor.reporting.annotation_sections import _question_sentences


def test_guidelines_of_many_lines_dont_fill_the_report():
    """Guidelines in Markdown stood in the report in one paragraph, with their marks."""
    asked = {"name": "clause", "answers": ["Yes", "No"], "instructions": "\nDoes it say so?\n\n- **Yes**: outright.\n"}
    assert list(_question_sentences(asked))[1] == "Annotators were told: “Does it say so?”, with guidelines beside it."
    assert list(_question_sentences({**asked, "instructions": "Does it say so?"}))[1] == "Annotators were told: “Does it say so?”"
    assert len(list(_question_sentences({**asked, "instructions": ""}))) == 1
