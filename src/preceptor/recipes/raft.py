"""Teach a causal language model to answer from sources that a search brought: to cite those that count, and leave the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.models.template import special_texts, turns_of
from preceptor.recipes.completing import Completing
from preceptor.recipes.examples import Examples, longest_row, read_rows, top_answer
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked, remembered
from preceptor.recipes.general import of_writer
from preceptor.recipes.grounded.rows import REASONS, GroundedData, Grounder
from preceptor.recipes.grounded.sources import Chooser, of_rows
from preceptor.recipes.left_out import named, told_reasons
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import Retention, retain
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.sft import SftOptions, as_sft, planned, prepare, preview_sft
from preceptor.registry import OptionsBase

ROWS = "grounded.json"  # in the run's folder: what a search brings may change, the rows of a run don't


class RaftOptions(OptionsBase):
    """What can be tuned about `raft`."""

    golden: float = Field(0.8, ge=0, le=1, description="share of the rows that are shown with a source that bears the answer out")
    sources: int = Field(4, ge=1, le=20, description="sources a row, the golden ones among them")
    quotes: bool = Field(True, description="answers quote the golden source's words before its number; else the number alone")
    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    rank: int = Field(RANK, ge=1, le=512, description="width of the adapter")
    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(2048, ge=4, description="of longer rows distractors are dropped; what is still longer is left out and counted")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: Retention = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@dataclass(frozen=True)
class Grounding(Completing):
    """`Completing`, of cited answers to questions with sources."""

    recipe: str = "raft"
    data: GroundedData | None = field(default=None, compare=False)

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        assert self.data is not None
        rows = self.data.splits["train"]
        with_golden, sources = sum(bool(row.golden) for row in rows), sum(row.shown for row in rows)
        told = [
            f"{with_golden:,} of {len(rows):,} training rows were shown with a source that bears the answer out, and cite it; the others"
            f" with distractors alone. A row had {sources / len(rows):.1f} sources on average."
        ]
        if missing := len(self.data.left_out["train"]):
            told.append(f"{missing:,} training rows were left out: {told_reasons({'no golden': missing}, REASONS)}.")
        return [*told, *super().notes(examples, max_tokens)]

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        """With each row's conversation, for what a search brought stands nowhere else."""
        assert self.data is not None
        found, rows = dict(super().probes(model, examples)), {row.id: row for row in self.data.splits["validation"]}
        turns = {id_: turns_of(rows[id_].content, top_answer(rows[id_])) for id_ in found["rows"]}
        return {**found, "rows": {id_: {**row, "turns": turns[id_]} for id_, row in found["rows"].items()}}

    def extra(self, examples: Examples) -> dict[str, Any]:
        assert self.data is not None
        left_out = {split: len(ids) for split, ids in self.data.left_out.items()}
        return {**super().extra(examples), "documents": list(self.data.documents), "without_golden": left_out}


@recipes.register("raft", options=RaftOptions)
def train_raft(run: Run, options: RaftOptions) -> Model:
    """Retrieval-augmented fine-tuning (Zhang et al. 2024): a share of the questions with golden sources and distractors, the others
    with distractors alone; the answer cites the golden one. Supports: what `sft` supports; golden sources beside items, or found.

    A question reads as serving lays it out (`retrieval.layout`). Distractors are drawn from the 20 best of the project's search, or
    of the other rows' sources where it has no documents; what may be golden itself isn't taken for one. Refuses: a split without any
    row whose answer a source bears out, and what `sft` refuses. Leaves out, counted: rows of which that isn't known.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    with locked(run.folder):
        claim(run.folder, identity(run, "raft", options))
        if (model := finished(run)) is not None:
            return model
        kept = remembered(run.folder / ROWS, lambda: grounded(run, options).to_dict())
        data = GroundedData.from_dict(run.snapshot, kept)
        sft = _as_sft(run, options)
        prepared = prepare(replace(run, snapshot=data), sft)
        teaches = Grounding(run.base, prepared.tokenizer, options.adapter, options.rank, data=data)
        task = replace(prepared.task, run=run, objective=teaches)
        plan, measured = settle(task, planned(task, sft), options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, prepared.tokenizer, partial(of_writer, run))
        return finish(task, trainer, prepared.tokenizer, measured={**measured, **retained}, options=options.model_dump())


def preview_raft(run: Run, options: RaftOptions) -> dict[str, Any]:
    """What `train_raft` would train on, sources and citations included; nothing is trained or written."""
    check_causal(run.base)
    refuse_packed(run.base)
    data = grounded(run, options)
    shown = preview_sft(replace(run, snapshot=data), _as_sft(run, options))
    missing = [(split, id_, "no golden") for split, ids in data.left_out.items() for id_ in ids]
    counts = {split: Counter(reason for side, _, reason in missing if side == split) for split in data.splits}
    left_out: Mapping[str, Any] = shown["left_out"]
    return {
        **shown,
        "left_out": {split: {**left_out[split], **counts[split]} for split in left_out},
        "left_out_rows": [*named(missing, REASONS), *shown["left_out_rows"]],
        "golden": {split: sum(bool(row.golden) for row in rows) for split, rows in data.splits.items()},
    }


train_raft.preview = preview_raft
train_raft.reads_documents = True


def _as_sft(run: Run, options: RaftOptions) -> SftOptions:
    """For rows that are chosen already, at `raft`'s own length."""
    limit = longest_row(run, start_tokenizer(run.base), options)
    return as_sft(options).model_copy(update={"rows": None, "max_tokens": limit})


def grounded(run: Run, options: RaftOptions) -> GroundedData:
    """The run's rows with their sources; the search is the run's own, or one among the sources of its rows."""
    tokenizer = start_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    rows = {
        "train": read_rows(run, "train", rows=options.rows, answers=False),
        "validation": read_rows(run, "validation", answers=False),
    }
    find = run.sources or of_rows(rows["train"] + rows["validation"])
    chooser = Chooser(find, options.golden, options.sources, run.seed)
    return Grounder(chooser, options.quotes, tokenizer, special_texts(tokenizer), limit).data(run.snapshot, rows)
