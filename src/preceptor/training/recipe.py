"""Define what a recipe gets (a run with rows, options and sources of human feedback) and returns, and find recipes by name.

What a run may ask for while it trains: texts that nobody has judged, people's word, a judge's measurement of what it writes.

The project gives these to a run as functions; a recipe knows nothing of slots, pages and people.

One run, one process, one device: what starts a command several times over is refused before anything is loaded.

Batches go by tokens. accelerate's shard of batches drops those that haven't `batch_size` rows, and so nearly all of them; and two
processes that build one model without knowing of each other spoil it. Importing this module is light.

What a recipe is given, what it gives back, and where recipes are found by name.

A recipe is a function `(run, options) -> Model`. It reads rows from the run's snapshot, trains from the
run's base, keeps everything it needs to continue in the run's folder, and ends with a finished model folder.
Importing this module is light: torch comes with the recipe itself.

An answer that a policy wrote, and the contract of what rewards it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from preceptor.errors import UserError
from preceptor.registry import OptionsBase, Registry
from preceptor.types import Estimate, FloatArray, Model, RetentionData, render_content

if TYPE_CHECKING:
    from preceptor.retrieval.grounded_prompt import GroundingSource


FeedbackKind = Literal["label", "compare", "correct", "good"]
FeedbackAnswer = str | Mapping[str, float]


class FeedbackPending(UserError):
    """The run can't go on before people have answered; the same run, started again, goes on from there."""


@dataclass(frozen=True, slots=True)
class UnlabelledItem:
    """An item that nobody has judged for the run's question, and that isn't like any validation or test row."""

    id: str
    content: Mapping[str, Any]
    group: str

    @property
    def text(self) -> str:
        """The content as one plain text."""
        return render_content(self.content)


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """What people are asked about. id: the run's own, the same after a resume. priority: higher comes first."""

    id: str
    content: Mapping[str, Any]
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldOutAnswer:
    """What a model wrote for a held-out prompt; content: the prompt's."""

    id: str
    content: Mapping[str, Any]
    text: str


class UnlabelledPool(Protocol):
    """The project's items without a judgment; each call begins anew."""

    def __call__(self) -> Iterator[UnlabelledItem]: ...


class FeedbackRequester(Protocol):
    """Puts things before people, and gives what has been answered by now, by id; who is absent waits. It never blocks.

    The same ids again change nothing. kind, and what an answer is:
    label    the snapshot's own question about an unlabelled item: answer -> probability
    compare  which of two `responses` is better: "0", "1", "tie" -> probability
    correct  what should have been said instead of one of `responses`: the text, equal to it where it is right
    good     whether one of `responses` is good: "good", "bad" -> probability
    """

    def __call__(self, kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]: ...


class PreferenceEstimator(Protocol):
    """What a judge of human preference, which the run doesn't train on, says of answers to held-out prompts; higher is better."""

    def __call__(self, written: Sequence[HeldOutAnswer]) -> Mapping[str, Estimate]: ...


# How many processes a launcher started, as accelerate, transformers and Slurm's srun read it; and what else has them build groups.
_PROCESS_COUNT_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANK_VARIABLES = ("LOCAL_RANK", "SMDATAPARALLEL_LOCAL_RANK")
_DISTRIBUTED_FLAGS = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_PARALLELISM_CONFIG")


def check_single_process(environment: Mapping[str, str] = os.environ) -> None:
    """UserError where a launcher (torchrun, accelerate launch, mpirun, srun) started this process as one of several."""
    hint = "start one process, without torchrun, accelerate launch, mpirun or srun: preceptor train …"
    for name in _PROCESS_COUNT_VARIABLES:
        if (count := _parse_int(environment.get(name))) > 1:
            raise UserError(f"this is one of {count} processes ({name}={count}), and a model is trained by one process", hint)
    for name in _RANK_VARIABLES:
        if _parse_int(environment.get(name)) >= 0:
            raise UserError(f"a launcher started this process ({name}={environment[name]}), and a model is trained by one alone", hint)
    for name in _DISTRIBUTED_FLAGS:
        if environment.get(name, "").strip().lower() in ("1", "true", "yes", "y", "on", "t"):
            raise UserError(f"{name} asks to spread the model over devices, and a model is trained on one", hint)


def _parse_int(text: str | None) -> int:
    """The number that a variable holds; −1 without one."""
    try:
        return int(text or "")
    except ValueError:
        return -1


AnswerScorer = Callable[[Sequence["SampledAnswer"]], FloatArray]
AnswerScorerFactory = Callable[[str], AnswerScorer]
"""From what a spec says behind the part's name to the function that scores answers in [0, 1]."""


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One answer to a row's prompt.

    id, content, target: the row's. text: what was written, without special tokens. ended: whether the policy ended it itself.
    """

    id: str
    content: Mapping[str, Any]
    text: str
    ended: bool = True
    target: Mapping[str, float] = field(default_factory=dict)

    @property
    def word_count(self) -> int:
        """How many words the answer has, as space separates them."""
        return len(self.text.split())

    @property
    def label(self) -> str:
        """The answer as messages name it: its row, and how it begins."""
        return f"row {self.id!r}, answer {self.text[:60]!r}"


SEED_LIMIT = 2**32  # what NumPy's older generator, which libraries seed too, can take

SplitName = Literal["train", "validation", "test"]


class TrainingRow(Protocol):
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
    def rows(self, split: SplitName) -> Iterator[TrainingRow]: ...


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a run is: `done` of `total` in a stage named in plain words; `fields` hold figures such as loss or texts_per_second."""

    stage: str
    done: int
    total: int
    fields: Mapping[str, float] = field(default_factory=dict)


def ignore_progress(progress: TrainingProgress) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
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
    progress: Callable[[TrainingProgress], None] = ignore_progress
    loggers: tuple[str, ...] = ()
    folder_of: Callable[[str], Path] = Path
    general: RetentionData | None = None
    unlabelled: UnlabelledPool | None = None
    ask: FeedbackRequester | None = None
    measure: PreferenceEstimator | None = None
    checks: Mapping[str, AnswerScorerFactory] = field(default_factory=dict)
    sources: Callable[[str, int], Sequence[GroundingSource]] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEED_LIMIT:
            raise UserError(f"the seed is {self.seed}", f"a whole number from 0 to {SEED_LIMIT - 1:,}")


class Recipe(Protocol):
    """A way to train: pure in its inputs, resumable in `run.folder`, complete or not there at all in `run.folder/model`."""

    Options: type[OptionsBase]

    def __call__(self, run: TrainingRun, options: Any) -> Model: ...


recipes: Registry[Any] = Registry(
    "recipe",
    group="preceptor.recipes",
    built_in={
        "classify": "preceptor.training.classification",
        "contrastive": "preceptor.training.contrastive",
        "distil": "preceptor.training.distillation",
        "dpo": "preceptor.training.dpo",
        "external_model": "preceptor.training.external_model",
        "few_shot": "preceptor.training.in_context",
        "grpo": "preceptor.training.rl.policy_gradient",
        "imitate": "preceptor.training.dagger",
        "kto": "preceptor.training.kto",
        "linear_probe": "preceptor.training.linear_probe",
        "raft": "preceptor.training.raft",
        "reptile": "preceptor.training.reptile",
        "reward": "preceptor.training.reward_model",
        "rloo": "preceptor.training.rl.policy_gradient",
        "self_train": "preceptor.training.self_training",
        "sft": "preceptor.training.sft",
    },
)
