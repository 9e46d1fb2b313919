"""Define what a recipe gets (a run with rows, options and sources of human feedback) and returns, and find recipes by name.

A recipe is a function `(run, options) -> Model`. It reads rows from the run's snapshot, trains from the run's base, keeps everything it
needs to resume in the run's folder, and ends with a finished model folder. Importing this module is light: torch is loaded with the recipe
itself.

While it trains, a run may request unlabelled items, people's feedback, and a judge's estimate of preference. The project passes these to a
run as functions; a recipe knows nothing of slots, pages and people.

A run trains in one process on one device; a launcher that starts several processes is refused before anything is loaded. Batches are sized
by tokens: accelerate's sharding drops batches of fewer than `batch_size` rows, which is nearly all of them; and processes that train one
model without coordination corrupt it.
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
    """The run can't continue before people have answered; the same run, started again, resumes from there."""


@dataclass(frozen=True, slots=True)
class UnlabelledItem:
    """An item that nobody has judged for the run's question, and that isn't similar to any validation or test row."""

    id: str
    content: Mapping[str, Any]
    group: str

    @property
    def text(self) -> str:
        """The content as one plain text."""
        return render_content(self.content)


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """A request for human feedback.

    id: the run's own, the same after a resume. content: what people are shown. priority: higher comes first.
    """

    id: str
    content: Mapping[str, Any]
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldOutAnswer:
    """A model's answer to a held-out prompt.

    content: of the prompt.
    """

    id: str
    content: Mapping[str, Any]
    text: str


class UnlabelledPool(Protocol):
    """The project's items without a judgment; each call starts again from the first."""

    def __call__(self) -> Iterator[UnlabelledItem]: ...


class FeedbackRequester(Protocol):
    """Queue requests for annotation, and return what has been answered by now, by id; it never blocks, and what is missing is pending.

    The same ids again change nothing. The kinds, and what an answer is:

      label    the snapshot's own question about an unlabelled item: answer -> probability
      compare  which of two `responses` is better: "0", "1", "tie" -> probability
      correct  what should have been written instead of one of `responses`: the text, equal to it where it is right
      good     whether one of `responses` is good: "good", "bad" -> probability
    """

    def __call__(self, kind: FeedbackKind, asked: Sequence[FeedbackRequest]) -> Mapping[str, FeedbackAnswer]: ...


class PreferenceEstimator(Protocol):
    """Estimate human preference for answers to held-out prompts by a judge that the run doesn't train on; higher is better."""

    def __call__(self, written: Sequence[HeldOutAnswer]) -> Mapping[str, Estimate]: ...


# Variables for the number of processes, as accelerate, transformers and Slurm's srun read them; and others that form process groups.
_PROCESS_COUNT_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANK_VARIABLES = ("LOCAL_RANK", "SMDATAPARALLEL_LOCAL_RANK")
_DISTRIBUTED_FLAGS = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_PARALLELISM_CONFIG")


def check_single_process(environment: Mapping[str, str] = os.environ) -> None:
    """Raise UserError where a launcher (torchrun, accelerate launch, mpirun, srun) started this process as one of several."""
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
    """Return the number that a variable holds; −1 without one."""
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

    id, content, target: the row's. text: the generated text, without special tokens. ended: whether the policy ended it itself.
    """

    id: str
    content: Mapping[str, Any]
    text: str
    ended: bool = True
    target: Mapping[str, float] = field(default_factory=dict)

    @property
    def word_count(self) -> int:
        """Number of the answer's words, separated by space."""
        return len(self.text.split())

    @property
    def label(self) -> str:
        """How messages refer to the answer: by its row and its beginning."""
        return f"row {self.id!r}, answer {self.text[:60]!r}"


SEED_LIMIT = 2**32  # of NumPy's older generator, which libraries seed too

SplitName = Literal["train", "validation", "test"]


class TrainingRow(Protocol):
    """One row of a snapshot: what the model reads and what it should answer.

    target: answer -> probability, sums to 1. weight: how much the row counts, above 0. group: its rows stay in one split.
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
    """What a recipe needs of a snapshot.

    target_kind: how its answers relate, see `Snapshot.target_kind`.
    """

    @property
    def digest(self) -> str: ...
    @property
    def answers(self) -> tuple[str, ...]: ...
    @property
    def target_kind(self) -> str: ...

    def rows(self, split: SplitName) -> Iterator[TrainingRow]:
        """Iterate over the rows of a split; each call starts again from the first."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a run: `done` of `total` in a named stage.

    fields: figures such as loss or texts_per_second.
    """

    stage: str
    done: int
    total: int
    fields: Mapping[str, float] = field(default_factory=dict)


def ignore_progress(progress: TrainingProgress) -> None:
    """Ignore the progress of a run."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One execution of a recipe.

    folder: the run's own; checkpoints, lock and finished model are in it, and starting again with the same folder resumes. base: folder of
    the model to start from; base_name: its name in the manifest. progress: called with each step, never more often. loggers: names of
    further loggers. folder_of: returns the folder of another model that an option names. general: data to measure general capabilities by;
    None: there is none. unlabelled, ask, measure: sources of feedback while it trains; None: there is none. checks: the project's checks of
    an answer (`policy`, `claims`), for rewards, see `ProjectCheckReward`. sources: (question, count) -> at most so many texts of the
    project's documents that may hold the answer, best first.
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
    """A way to train: pure in its inputs, resumable in `run.folder`, complete or absent in `run.folder/model`."""

    Options: type[OptionsBase]

    def __call__(self, run: TrainingRun, options: Any) -> Model: ...


recipes: Registry[Any] = Registry(
    "recipe",
    group="preceptor.recipes",
    built_in={
        "classify": "preceptor.training.classification",
        "dagger": "preceptor.training.dagger",
        "distill": "preceptor.training.distillation",
        "dpo": "preceptor.training.dpo",
        "external_model": "preceptor.training.external_model",
        "grpo": "preceptor.training.rl.policy_gradient",
        "in_context": "preceptor.training.in_context",
        "kto": "preceptor.training.kto",
        "linear_probe": "preceptor.training.linear_probe",
        "raft": "preceptor.training.raft",
        "reptile": "preceptor.training.reptile",
        "reward": "preceptor.training.reward_model",
        "rloo": "preceptor.training.rl.policy_gradient",
        "self_training": "preceptor.training.self_training",
        "setfit": "preceptor.training.setfit",
        "sft": "preceptor.training.sft",
    },
)
