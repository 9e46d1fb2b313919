"""What a recipe is given, what it gives back, and where recipes are found by name.

A recipe is a function `(run, options) -> Model`. It reads rows from the run's snapshot, trains from the
run's base, keeps everything it needs to continue in the run's folder, and ends with a finished model folder.
Importing this module is light: torch comes with the recipe itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from preceptor.domain import Model
from preceptor.domain.general import General
from preceptor.errors import UserError
from preceptor.recipes.consulting import Ask, Measure, Unlabelleds
from preceptor.recipes.rewarding.sampled import MakeCheck
from preceptor.registry import OptionsBase, Registry

if TYPE_CHECKING:
    from preceptor.retrieval.layout import Source

SEEDS = 2**32  # what NumPy's older generator, which libraries seed too, can take

Split = Literal["train", "validation", "test"]


class Row(Protocol):
    """One row of a snapshot: what the model reads and what it should answer.

    target: answer -> probability, sums to 1. weight: how much the row counts, above 0.
    group: what stays on one side of the split.
    """

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def target(self) -> Mapping[str, float]: ...
    @property
    def weight(self) -> float: ...
    @property
    def group(self) -> str: ...


class TrainingData(Protocol):
    """What a recipe needs of a snapshot. target_kind: how its answers relate, see `Snapshot.target_kind`."""

    @property
    def digest(self) -> str: ...
    @property
    def answers(self) -> tuple[str, ...]: ...
    @property
    def target_kind(self) -> str: ...
    def rows(self, split: Split) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` in a stage named in plain words; `fields` hold figures such as loss or texts_per_second."""

    stage: str
    done: int
    total: int
    fields: Mapping[str, float] = field(default_factory=dict)


def silent(progress: Progress) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a recipe.

    folder: the run's own; checkpoints, lock and finished model live in it, and starting again with the same
    folder continues. base: folder of the model to start from; base_name: what the manifest calls it.
    progress: called with each step, never more often. folder_of: the folder of another model that an option names.
    loggers: what else is told, by name. general: what the base knew, as data to measure it by; none: nothing at hand.
    unlabelled, ask, measure: what the run may ask for while it trains, see `consulting`; none: it can't.
    checks: what the project can say of an answer (`policy`, `claims`), to reward it by, see `rewarding`.
    sources: finds texts of the project's documents that a question may be answered from, best first, at most so many.
    """

    folder: Path
    base: Path
    snapshot: TrainingData
    seed: int = 0
    base_name: str = ""
    progress: Callable[[Progress], None] = silent
    loggers: tuple[str, ...] = ()
    folder_of: Callable[[str], Path] = Path
    general: General | None = None
    unlabelled: Unlabelleds | None = None
    ask: Ask | None = None
    measure: Measure | None = None
    checks: Mapping[str, MakeCheck] = field(default_factory=dict)
    sources: Callable[[str, int], Sequence[Source]] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise UserError(f"the seed is {self.seed}", f"a whole number from 0 to {SEEDS - 1:,}")


class Recipe(Protocol):
    """A way to train: pure in its inputs, resumable in `run.folder`, complete or not there at all in `run.folder/model`."""

    Options: type[OptionsBase]

    def __call__(self, run: Run, options: Any) -> Model: ...


recipes: Registry[Any] = Registry(
    "recipe",
    group="preceptor.recipes",
    built_in={
        name: f"preceptor.recipes.{name}"
        for name in (
            "classify", "contrastive", "distil", "dpo", "external_model", "few_shot", "grpo", "imitate",
            "kto", "linear_probe", "raft", "reptile", "reward", "rloo", "self_train", "sft",
        )
    },
)  # fmt: skip
