"""Generate, cache or load the answers that evaluation suites measure.

A subject is a model of the project, a base, or a model's folder; or the answers are recorded in a file. Generated answers are cached by the
model's weights, the prompts and the sampling parameters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt, read_prompts
from preceptor.formats.durable_files import dump_sealed_json, explain_full_disk, load_sealed_json
from preceptor.model_ancestry import resolve_base_folder
from preceptor.models.base_models import BASE_ASSETS
from preceptor.runs.prediction import is_generative
from preceptor.types import Model, json_digest, render_sources

if TYPE_CHECKING:
    from preceptor.generation.interface import Message
    from preceptor.project import Project
    from preceptor.storage.snapshot_rows import SnapshotRow


RECORDED_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


class CheckedWriter(Protocol):
    """A text generator that knows which conversations it can read."""

    def write(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        """Generate an answer to each conversation, of at most `max_tokens` tokens."""

    def fits(self, turns: Sequence[Message]) -> bool:
        """Return whether the model can read a conversation."""


@dataclass(frozen=True)
class SuiteSubject:
    """A model that suites can ask. identity: of the weights (or the service and name), by which its answers are cached."""

    name: str
    identity: str
    folder: Path
    model: Model | None = None

    def load_writer(self) -> CheckedWriter:
        """Load the model's weights and return its text generator."""
        from preceptor.generation import LocalProvider

        return LocalProvider(self.folder)


def is_answers_file(name: str) -> bool:
    """Return whether a name is that of a file of recorded answers."""
    return Path(name).suffix.lower() in RECORDED_SUFFIXES


def find_subject(project: Project, name: str | Model) -> SuiteSubject:
    """Find a model by its id, a known base, or a model's folder. Raises UserError where it doesn't exist, or isn't generative."""
    from preceptor.models.atomic_folder import weights_digest

    model = name if isinstance(name, Model) else _find_model(project, name)
    if model is not None:
        if "hosted" in model.manifest:
            raise UserError(f"{model.id} lies at {model.manifest['hosted']['service']}", "record its answers in a file, and name that")
        if not is_generative(model):
            raise UserError(
                f"{model.id} chooses among answers; this suite is about what a model writes", "train sft, or leave the suite out"
            )
        return SuiteSubject(model.id, model.manifest["weights"], model.path, model)
    folder = resolve_base_folder(project, str(name))
    return SuiteSubject(folder.name if str(name) not in BASE_ASSETS else str(name), weights_digest(folder), folder)


def _find_model(project: Project, name: str) -> Model | None:
    if name in BASE_ASSETS or Path(name).is_dir():
        return None
    try:
        return project.model(name)
    except UserError as error:
        known = f"a model's id, a base ({', '.join(BASE_ASSETS)}), a model's folder, or a file of recorded answers"
        raise NotFoundError(f"there is no model, base or file called {name!r}", known) from error


AnswerProgress = Callable[[int, int], None]

ANSWER_BATCH = 16  # answers generated between two writes to disk
ANSWERS_FOLDER = "answers"  # in the project's folder
_ANSWER_COLUMNS = ("answer", "response")
_ROW_EXAMPLE = '{"id": "q1", "prompt": "May I return it?", "answer": "Within 30 days."}'


def prompts_from_rows(rows: Sequence[SnapshotRow], metadata: Mapping[str, Mapping[str, Any]]) -> list[SuitePrompt]:
    """Return a snapshot's rows as prompts: the messages before the answer, with the sources, and the answer as reference.

    metadata: of the items, by id.
    """
    from preceptor.models.chat_template import build_conversation

    found = []
    for row in rows:
        turns = tuple({"role": str(turn["role"]), "content": str(turn["content"])} for turn in build_conversation(row.content, "")[:-1])
        found.append(SuitePrompt(row.id, row.group, turns, render_sources(row.content), row.answer, metadata.get(row.id, {})))
    return found


def generate_answers(
    project: Project, subject: SuiteSubject, asked: Sequence[SuitePrompt], *, max_tokens: int, progress: AnswerProgress | None = None
) -> tuple[ModelAnswers, list[str]]:
    """Generate a subject's answers to prompts greedily; return them, and the ids of prompts that it can't read, which are left out.

    Answers are cached in the project as they are generated: the same call again generates nothing, and a killed one is continued. Raises
    UserError where the subject can read none of the prompts.
    """
    sampling = {"max_tokens": max_tokens, "temperature": 0.0, "seed": 0}
    key = json_digest([subject.identity, [_plain_messages(each.turns) for each in asked], sampling])
    kept = _AnswerCache(project.folder / ANSWERS_FOLDER / f"{key[:32]}.jsonl")
    missing = [at for at in range(len(asked)) if at not in kept.texts]
    writer = subject.load_writer() if missing else None
    for start in range(0, len(missing), ANSWER_BATCH):
        assert writer is not None
        batch = missing[start : start + ANSWER_BATCH]
        fits = [at for at in batch if writer.fits(asked[at].turns)]
        said = writer.write([asked[at].turns for at in fits], max_tokens=max_tokens, temperature=0.0, seed=0) if fits else []
        texts: dict[int, str | None] = {**dict.fromkeys(batch), **dict(zip(fits, said, strict=True))}
        kept.add(texts)
        if progress is not None:
            progress(len(kept.texts), len(asked))
    read_ = [(each, text) for at, each in enumerate(asked) if (text := kept.texts[at]) is not None]
    if not read_:
        raise UserError(f"{subject.name} can read none of the {len(asked)} prompts", "they are longer than it reads; shorten them")
    unread = [each.id for at, each in enumerate(asked) if kept.texts[at] is None]
    return build_answers(subject.name, [each for each, _ in read_], [text for _, text in read_], sampling), unread


def read_recorded_answers(path: str | Path, *, group: str = "group") -> ModelAnswers:
    """Read answers recorded in a file beside their prompts, in a column `answer` (or `response`); an empty one is an empty answer.

    Raises UserError with the rows that are no prompts, or the first that has no answer.
    """
    asked, texts = [], []
    for each in read_prompts(path, group=group):
        text = next((each.metadata[name] for name in _ANSWER_COLUMNS if isinstance(each.metadata.get(name), str)), None)
        if text is None:
            raise UserError(f"there is no answer to prompt {each.id!r}", _ROW_EXAMPLE, where=str(path))
        beside = {name: value for name, value in each.metadata.items() if name not in _ANSWER_COLUMNS}
        asked.append(replace(each, metadata=beside))
        texts.append(text)
    if not texts:
        raise UserError("the file has no answers", _ROW_EXAMPLE, where=str(path))
    return build_answers(Path(path).stem, asked, texts, {"recorded": Path(path).name})


def build_answers(subject: str, asked: Sequence[SuitePrompt], texts: Sequence[str], sampling: Mapping[str, Any]) -> ModelAnswers:
    """Build answers with their digest."""
    what = [[each.id, each.group, _plain_messages(each.turns), list(each.sources), each.reference, dict(each.metadata)] for each in asked]
    return ModelAnswers(subject, asked, texts, sampling, json_digest([what, list(texts), dict(sampling)]))


class _AnswerCache:
    """A file of answers by the position of their prompt, None for a prompt that can't be read.

    Each batch is on disk before it is returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: dict[int, str | None] = {}
        if path.is_file():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)  # a line truncated by a kill
            for line in data[:whole].split(b"\n")[:-1]:
                with suppress(ValueError):  # altered on disk: these prompts are answered again
                    self.texts |= {int(at): text for at, text in load_sealed_json(line).items()}

    def add(self, texts: Mapping[int, str | None]) -> None:
        with explain_full_disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(dump_sealed_json({str(at): text for at, text in texts.items()}) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self.texts |= texts


def _plain_messages(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [dict(turn) for turn in turns]
