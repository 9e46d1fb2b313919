"""What the chosen base would read and learn of each row: texts that are cut, and rows that training would leave out."""

from __future__ import annotations

from collections import Counter

from preceptor.errors import UserError
from preceptor.evaluation.plots import histogram
from preceptor.models import load_tokenizer
from preceptor.models.loading import reading_limit
from preceptor.project.bases import start_folder
from preceptor.project.checking.findings import Drawing, Finding, Suspect, excerpt, rows_in_words
from preceptor.project.checking.subject import Subject
from preceptor.recipes.row_facts import RowFact, row_facts

BARS = 24


def truncation(subject: Subject) -> Finding:
    """Rows of which the base wouldn't read all, or that would teach it nothing, by the limits that training has unless told otherwise."""
    if subject.base is None:
        raise UserError("it needs the model that the rows shall train: --base NAME")
    writes = subject.snapshot.target_kind == "text"
    recipe = "sft" if writes else "classify"
    folder = start_folder(subject.project, subject.base)
    tokenizer = load_tokenizer(folder)
    limit = min(_usual(recipe), reading_limit(folder, tokenizer))
    splits = {side: [subject.rows[at] for at in places] for side, places in subject.sides.items() if places}
    facts = row_facts(splits, tokenizer, limit, writes=writes)
    wrong = [fact for fact in facts if fact.problem]
    found = [
        Suspect(fact.id, fact.words, float(fact.tokens) / limit, document={"tokens": fact.tokens, "lost": excerpt(fact.lost)})
        for fact in wrong
    ]
    found.sort(key=lambda suspect: (-suspect.score, suspect.item))
    told = f"which reads {limit:,} tokens by {recipe}'s max_tokens or its own limit"
    words = f"{rows_in_words(len(found), len(facts))} don't fit {subject.base}, {told}"
    left_out = any(fact.problem != "cut" for fact in wrong)
    return Finding("truncation", "Lengths for the base", words, len(found), found, "drop" if left_out else "none", _drawn(facts, limit))


def _usual(recipe: str) -> int:
    """How many tokens of a row a recipe reads unless told otherwise."""
    from preceptor.recipes import recipes

    return int(recipes.get(recipe).Options.model_fields["max_tokens"].default)


def _drawn(facts: list[RowFact], limit: int) -> list[Drawing]:
    if not facts:
        return []
    longest = max(fact.tokens for fact in facts)
    width = max(1, -(-longest // BARS))
    counts = Counter(fact.tokens // width for fact in facts)
    bars = [(f"{place * width}", float(counts[place])) for place in range(longest // width + 1)]
    title = "Tokens of a row"
    return [Drawing(title, str(histogram(title, bars, x_label="tokens, from", y_label="rows")), f"{limit:,} tokens are read.")]
