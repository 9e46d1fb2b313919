"""A snapshot's rows with sources before each question and citations in each answer, made once a run and kept in its folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.models.template import Unfit, render, turns_of
from preceptor.recipes.examples import top_answer
from preceptor.recipes.grounded.cited import cited
from preceptor.recipes.grounded.sources import Choice, Chooser
from preceptor.recipes.recipe import Row, Split, TrainingData
from preceptor.recipes.weighing import Answered
from preceptor.retrieval.layout import Source, as_data, question_of, with_sources

REASONS = {"no golden": "no source is known that bears its answer out"}


@dataclass(frozen=True, slots=True)
class GroundedRow(Answered):
    """A row whose conversation holds the sources. golden: numbers of the golden ones, from 1 on. shown: how many sources."""

    golden: tuple[int, ...]
    shown: int


@dataclass(frozen=True)
class GroundedData:
    """In place of the snapshot that it was made from, under its digest. documents: what its sources are, for lineage."""

    digest: str
    answers: tuple[str, ...]
    target_kind: str
    splits: Mapping[str, Sequence[GroundedRow]]
    left_out: Mapping[str, Sequence[str]]
    documents: Sequence[Mapping[str, Any]]

    def rows(self, split: Split) -> Iterator[GroundedRow]:
        return iter(self.splits.get(split, ()))

    def to_dict(self) -> dict[str, Any]:
        splits = {split: [asdict(row) for row in rows] for split, rows in self.splits.items()}
        return {"splits": splits, "left_out": dict(self.left_out), "documents": list(self.documents)}

    @classmethod
    def from_dict(cls, snapshot: TrainingData, kept: Mapping[str, Any]) -> GroundedData:
        splits = {split: [GroundedRow(**{**row, "golden": tuple(row["golden"])}) for row in rows] for split, rows in kept["splits"].items()}
        return cls(snapshot.digest, snapshot.answers, snapshot.target_kind, splits, kept["left_out"], kept["documents"])


@dataclass(frozen=True)
class Grounder:
    """How rows are made. special: the tokenizer's special tokens; max_tokens: of a row, distractors are dropped until it has no more."""

    chooser: Chooser
    quotes: bool
    tokenizer: Any
    special: Collection[str]
    max_tokens: int

    def data(self, snapshot: TrainingData, rows: Mapping[str, Sequence[Row]]) -> GroundedData:
        """UserError where a split has no row whose answer a source bears out."""
        made: dict[str, list[GroundedRow]] = {}
        left_out: dict[str, list[str]] = {}
        documents: dict[str, dict[str, Any]] = {}
        for split, given in rows.items():
            found = [(row, self._chosen(row)) for row in given]
            made[split] = [self._row(row, choice) for row, choice in found if choice is not None]
            left_out[split] = [row.id for row, choice in found if choice is None]
            documents |= {each["digest"]: each for _, choice in found if choice for each in map(_known, choice.sources)}
            if not made[split]:
                raise UserError(
                    f"no row of the {split} split has a source that bears its answer out",
                    'give items "sources" (the golden ones marked "golden": true), or add the documents that hold the answers',
                )
        return GroundedData(snapshot.digest, snapshot.answers, snapshot.target_kind, made, left_out, [*documents.values()])

    def _chosen(self, row: Row) -> Choice | None:
        choice = self.chooser.choose(row, self._asked(row), list(row.target))
        return None if choice is None else self._defused(choice)

    def _asked(self, row: Row) -> str:
        return question_of(turns_of(row.content, "")[:-1])

    def _defused(self, choice: Choice) -> Choice:
        """With texts as the model reads them, which quotes are taken from."""
        read = (replace(each, text=as_data(each.text, self.special)) for each in choice.sources)
        return replace(choice, sources=tuple(read))

    def _row(self, row: Row, choice: Choice) -> GroundedRow:
        while True:
            made = self._made(row, choice)
            spare = [at for at in range(len(choice.sources)) if at not in choice.golden]
            if not spare or self._fits(made):
                return made
            choice = _without(choice, spare[-1])

    def _made(self, row: Row, choice: Choice) -> GroundedRow:
        turns, question = turns_of(row.content, "")[:-1], self._asked(row)
        target: dict[str, float] = {}
        for answer, chance in row.target.items():
            said = cited(answer, question, choice, quotes=self.quotes)
            target[said] = target.get(said, 0.0) + chance
        content = {"messages": with_sources(turns, choice.sources, self.special)}
        golden = tuple(at + 1 for at in sorted(choice.golden))
        return GroundedRow(row.id, content, target, row.weight, row.group, golden, len(choice.sources))

    def _fits(self, row: GroundedRow) -> bool:
        """Whether it can be trained on as long as it is; what is wrong with it otherwise is for training to say."""
        try:
            render(self.tokenizer, turns_of(row.content, top_answer(row)), self.max_tokens)
        except Unfit as unfit:
            return unfit.reason != "too long"
        return True


def _without(choice: Choice, at: int) -> Choice:
    kept = [place for place in range(len(choice.sources)) if place != at]
    return Choice(
        tuple(choice.sources[place] for place in kept), frozenset(new for new, place in enumerate(kept) if place in choice.golden)
    )


def _known(source: Source) -> dict[str, Any]:
    """What a manifest keeps of a source: where it stands, and its text's digest."""
    return {"document": source.document, "version": source.version, "chunk": source.chunk, "digest": digest_of([source.text])[:16]}
