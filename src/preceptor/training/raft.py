"""Fine-tune a causal model to answer from retrieved sources and cite them (RAFT, Zhang et al., 2024).

Rows get sources before each question and citations in each answer, once a run; they are kept in the run's folder. The model learns to cite
the sources that support the answer, and to ignore the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pydantic import Field

from preceptor.errors import UserError
from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, refuse_quantized
from preceptor.models.causal_lm import check_causal, prepare_tokenizer
from preceptor.models.chat_template import RenderError, build_conversation, get_special_tokens, render_conversation
from preceptor.registry import OptionsBase
from preceptor.retrieval.grounded_prompt import GroundingSource, extract_question, insert_sources, neutralize_source
from preceptor.training.examples import (
    SingleAnswerRow,
    TrainingExamples,
    format_exclusion_reasons,
    list_excluded_rows,
    read_rows,
    resolve_max_tokens,
    top_answer,
)
from preceptor.training.forgetting import RetentionMethod, causal_general_data, fit_task
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.raft_sources import SourceSelection, SourceSelector, add_citation, build_row_search
from preceptor.training.recipe import SplitName, TrainingData, TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.training.sft import SFTObjective, SFTOptions, prepare_sft, preview_sft, sft_train_config, to_sft_options
from preceptor.types import Model, json_digest

GROUNDING_EXCLUSION_REASONS = {"no golden": "no source is known that bears its answer out"}


@dataclass(frozen=True, slots=True)
class GroundedRow(SingleAnswerRow):
    """A row whose conversation includes the sources.

    golden: numbers of the golden sources, from 1 on. shown: number of sources.
    """

    golden: tuple[int, ...]
    shown: int


@dataclass(frozen=True)
class GroundedData:
    """Grounded rows in place of those of the snapshot that they were made from, under its digest.

    splits: rows of each split. excluded: ids of rows without a golden source, by split. documents: identifies the sources, for lineage.
    """

    digest: str
    answers: tuple[str, ...]
    target_kind: str
    splits: Mapping[str, Sequence[GroundedRow]]
    excluded: Mapping[str, Sequence[str]]
    documents: Sequence[Mapping[str, Any]]

    def rows(self, split: SplitName) -> Iterator[GroundedRow]:
        """Iterate over the rows of a split."""
        return iter(self.splits.get(split, ()))

    def to_dict(self) -> dict[str, Any]:
        """Return rows, excluded ids and documents as a JSON object."""
        splits = {split: [asdict(row) for row in rows] for split, rows in self.splits.items()}
        return {"splits": splits, "left_out": dict(self.excluded), "documents": list(self.documents)}

    @classmethod
    def from_dict(cls, snapshot: TrainingData, kept: Mapping[str, Any]) -> GroundedData:
        """Restore the data of a snapshot from `to_dict`."""
        splits = {split: [GroundedRow(**{**row, "golden": tuple(row["golden"])}) for row in rows] for split, rows in kept["splits"].items()}
        return cls(snapshot.digest, snapshot.answers, snapshot.target_kind, splits, kept["left_out"], kept["documents"])


@dataclass(frozen=True)
class GroundedDataBuilder:
    """Build grounded rows from a snapshot's rows.

    selector: selects the sources. quotes: whether answers quote the golden source. special: the tokenizer's special tokens. max_tokens: of
    a row; distractors are dropped until it has no more.
    """

    selector: SourceSelector
    quotes: bool
    tokenizer: Any
    special: Collection[str]
    max_tokens: int

    def build(self, snapshot: TrainingData, rows: Mapping[str, Sequence[TrainingRow]]) -> GroundedData:
        """Build the grounded rows of each split.

        Raises UserError where a split has no row whose answer a source supports.
        """
        made: dict[str, list[GroundedRow]] = {}
        left_out: dict[str, list[str]] = {}
        documents: dict[str, dict[str, Any]] = {}
        for split, given in rows.items():
            found = [(row, self._select_sources(row)) for row in given]
            made[split] = [self._row(row, choice) for row, choice in found if choice is not None]
            left_out[split] = [row.id for row, choice in found if choice is None]
            documents |= {each["digest"]: each for _, choice in found if choice for each in map(_source_manifest, choice.sources)}
            if not made[split]:
                raise UserError(
                    f"no row of the {split} split has a source that bears its answer out",
                    'give items "sources" (the golden ones marked "golden": true), or add the documents that hold the answers',
                )
        return GroundedData(snapshot.digest, snapshot.answers, snapshot.target_kind, made, left_out, [*documents.values()])

    def _select_sources(self, row: TrainingRow) -> SourceSelection | None:
        choice = self.selector.select_sources(row, self._question(row), list(row.target))
        return None if choice is None else self._neutralize(choice)

    def _question(self, row: TrainingRow) -> str:
        return extract_question(build_conversation(row.content, "")[:-1])

    def _neutralize(self, choice: SourceSelection) -> SourceSelection:
        """Return the selection with texts as the model reads them, from which quotes are taken."""
        read = (replace(each, text=neutralize_source(each.text, self.special)) for each in choice.sources)
        return replace(choice, sources=tuple(read))

    def _row(self, row: TrainingRow, choice: SourceSelection) -> GroundedRow:
        while True:
            made = self._build_row(row, choice)
            spare = [at for at in range(len(choice.sources)) if at not in choice.golden]
            if not spare or self._fits(made):
                return made
            choice = _drop_source(choice, spare[-1])

    def _build_row(self, row: TrainingRow, choice: SourceSelection) -> GroundedRow:
        turns, question = build_conversation(row.content, "")[:-1], self._question(row)
        target: dict[str, float] = {}
        for answer, chance in row.target.items():
            said = add_citation(answer, question, choice, quotes=self.quotes)
            target[said] = target.get(said, 0.0) + chance
        content = {"messages": insert_sources(turns, choice.sources, self.special)}
        golden = tuple(at + 1 for at in sorted(choice.golden))
        return GroundedRow(row.id, content, target, row.weight, row.group, golden, len(choice.sources))

    def _fits(self, row: GroundedRow) -> bool:
        """Return whether the row isn't too long; other problems are left for training to report."""
        try:
            render_conversation(self.tokenizer, build_conversation(row.content, top_answer(row)), self.max_tokens)
        except RenderError as unfit:
            return unfit.reason != "too long"
        return True


def _drop_source(choice: SourceSelection, at: int) -> SourceSelection:
    kept = [place for place in range(len(choice.sources)) if place != at]
    return SourceSelection(
        tuple(choice.sources[place] for place in kept), frozenset(new for new, place in enumerate(kept) if place in choice.golden)
    )


def _source_manifest(source: GroundingSource) -> dict[str, Any]:
    """Return what a manifest keeps of a source: its document, version and chunk, and its text's digest."""
    return {"document": source.document, "version": source.version, "chunk": source.chunk, "digest": json_digest([source.text])[:16]}


ROWS_FILE = "grounded.json"  # in the run's folder: what a search returns may change, the rows of a run don't


class RAFTOptions(OptionsBase):
    """Options of the recipe `raft`."""

    golden: float = Field(0.8, ge=0, le=1, description="share of the rows shown with a source that supports the answer")
    sources: int = Field(4, ge=1, le=20, description="sources per row, including the golden ones")
    quotes: bool = Field(True, description="whether answers quote the golden source before citing its number")
    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    rank: int = Field(DEFAULT_RANK, ge=1, le=512, description="rank of the adapter")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(2048, ge=4, description="longer rows lose distractors; those still longer are excluded and counted")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionMethod = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@dataclass(frozen=True)
class RAFTObjective(SFTObjective):
    """`SFTObjective` on cited answers to questions with sources.

    data: the grounded rows.
    """

    recipe: str = "raft"
    data: GroundedData | None = field(default=None, compare=False)

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return sentences on sources and excluded rows, and those of `SFTObjective`."""
        assert self.data is not None
        rows = self.data.splits["train"]
        with_golden, sources = sum(bool(row.golden) for row in rows), sum(row.shown for row in rows)
        told = [
            f"{with_golden:,} of {len(rows):,} training rows were shown with a source that bears the answer out, and cite it; the others"
            f" with distractors alone. A row had {sources / len(rows):.1f} sources on average."
        ]
        if missing := len(self.data.excluded["train"]):
            told.append(
                f"{missing:,} training rows were left out: {format_exclusion_reasons({'no golden': missing}, GROUNDING_EXCLUSION_REASONS)}."
            )
        return [*told, *super().summary_lines(examples, max_tokens)]

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the probes of `SFTObjective` with each row's conversation, since the retrieved sources are stored nowhere else."""
        assert self.data is not None
        found, rows = dict(super().parity_probes(model, examples)), {row.id: row for row in self.data.splits["validation"]}
        turns = {id_: build_conversation(rows[id_].content, top_answer(rows[id_])) for id_ in found["rows"]}
        return {**found, "rows": {id_: {**row, "turns": turns[id_]} for id_, row in found["rows"].items()}}

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return the fields of `SFTObjective`, the documents, and the number of rows without a golden source."""
        assert self.data is not None
        left_out = {split: len(ids) for split, ids in self.data.excluded.items()}
        return {**super().manifest_fields(examples), "documents": list(self.data.documents), "without_golden": left_out}


@recipes.register("raft", options=RAFTOptions)
def train_raft(run: TrainingRun, options: RAFTOptions) -> Model:
    """Fine-tune with retrieved sources (RAFT, Zhang et al. 2024).

    A share of the questions is shown with golden sources and distractors, the others with distractors alone; the answer cites the golden
    one. Supports: what `sft` supports; golden sources given with items, or found by search.

    A question is rendered as in serving (`preceptor.retrieval.grounded_prompt`). Distractors are sampled from the 20 best of the project's
    search, or of the other rows' sources where it has no documents; what may be golden itself isn't used as one. Refuses: a split without
    any row whose answer a source supports, and what `sft` refuses. Leaves out, counted: rows of which that isn't known.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)

    def train() -> Model:
        kept = cached_json(run.folder / ROWS_FILE, lambda: build_grounded_data(run, options).to_dict())
        data = GroundedData.from_dict(run.snapshot, kept)
        sft = _raft_sft_options(run, options)
        prepared = prepare_sft(replace(run, snapshot=data), sft)
        teaches = RAFTObjective(run.base, prepared.tokenizer, options.adapter, options.rank, data=data)
        task = replace(prepared.task, run=run, objective=teaches)
        trainer, measured = fit_task(task, sft_train_config(task, sft), options, prepared.tokenizer, causal_general_data)
        return save_trained_model(task, trainer, prepared.tokenizer, measured=measured, options=options.model_dump())

    return run_recipe(run, "raft", options, train)


def preview_raft(run: TrainingRun, options: RAFTOptions) -> dict[str, Any]:
    """Return what `train_raft` would train on, including sources and citations; nothing is trained or written."""
    check_causal(run.base)
    refuse_quantized(run.base)
    data = build_grounded_data(run, options)
    shown = preview_sft(replace(run, snapshot=data), _raft_sft_options(run, options))
    missing = [(split, id_, "no golden") for split, ids in data.excluded.items() for id_ in ids]
    counts = {split: Counter(reason for side, _, reason in missing if side == split) for split in data.splits}
    left_out: Mapping[str, Any] = shown["left_out"]
    return {
        **shown,
        "left_out": {split: {**left_out[split], **counts[split]} for split in left_out},
        "left_out_rows": [*list_excluded_rows(missing, GROUNDING_EXCLUSION_REASONS), *shown["left_out_rows"]],
        "golden": {split: sum(bool(row.golden) for row in rows) for split, rows in data.splits.items()},
    }


train_raft.preview = preview_raft
train_raft.reads_documents = True


def _raft_sft_options(run: TrainingRun, options: RAFTOptions) -> SFTOptions:
    """Return the options of `sft` for rows that are selected already, at `raft`'s own length."""
    limit = resolve_max_tokens(run, prepare_tokenizer(run.base), options)
    return to_sft_options(options).model_copy(update={"max_train_rows": None, "max_tokens": limit})


def build_grounded_data(run: TrainingRun, options: RAFTOptions) -> GroundedData:
    """Build the run's rows with their sources, found by the run's own search, or one among the sources of its rows."""
    tokenizer = prepare_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    rows = {
        "train": read_rows(run, "train", rows=options.max_train_rows, answers=False),
        "validation": read_rows(run, "validation", answers=False),
    }
    find = run.sources or build_row_search(rows["train"] + rows["validation"])
    chooser = SourceSelector(find, options.golden, options.sources, run.seed)
    return GroundedDataBuilder(chooser, options.quotes, tokenizer, get_special_tokens(tokenizer), limit).build(run.snapshot, rows)
