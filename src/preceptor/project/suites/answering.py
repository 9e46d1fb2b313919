"""A model's answers to prompts: written once, kept as they come, and known again by who wrote them, to what, and how."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import digest_of
from preceptor.domain.items import sources_of
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers, Asked
from preceptor.evaluation.suites import read_prompts
from preceptor.formats.atomic import full_disk_in_words
from preceptor.formats.checksums import sealed_json, unsealed_json
from preceptor.project.suites.subjects import Subject

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.snapshots import Row

Progress = Callable[[int, int], None]

AT_ONCE = 16  # answers written between two looks at the disk
ANSWERS = "answers"  # the folder in a project's own
_ANSWER = ("answer", "response")
_ROW = '{"id": "q1", "prompt": "May I return it?", "answer": "Within 30 days."}'


def asked_of_rows(rows: Sequence[Row], metadata: Mapping[str, Mapping[str, Any]]) -> list[Asked]:
    """A snapshot's rows as prompts: what stands before their answer, with its sources and the answer as reference.

    metadata: of the items, by id.
    """
    from preceptor.models.template import turns_of

    found = []
    for row in rows:
        turns = tuple({"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns_of(row.content, "")[:-1])
        found.append(Asked(row.id, row.group, turns, sources_of(row.content), row.answer, metadata.get(row.id, {})))
    return found


def written(
    project: Project, subject: Subject, asked: Sequence[Asked], *, max_tokens: int, progress: Progress | None = None
) -> tuple[Answers, list[str]]:
    """What a subject says to prompts, greedily, and the ids of prompts that it can't read, which are left out.

    Answers are kept in the project as they come: the same again writes nothing, and what a kill cut off goes on.
    """
    sampling = {"max_tokens": max_tokens, "temperature": 0.0, "seed": 0}
    key = digest_of([subject.identity, [_plain(each.turns) for each in asked], sampling])
    kept = _Kept(project.folder / ANSWERS / f"{key[:32]}.jsonl")
    missing = [at for at in range(len(asked)) if at not in kept.texts]
    writer = subject.writer() if missing else None
    for start in range(0, len(missing), AT_ONCE):
        assert writer is not None
        batch = missing[start : start + AT_ONCE]
        fits = [at for at in batch if writer.fits(asked[at].turns)]
        said = writer.write([asked[at].turns for at in fits], max_tokens=max_tokens, temperature=0.0, seed=0) if fits else []
        texts: dict[int, str | None] = {**dict.fromkeys(batch), **dict(zip(fits, said, strict=True))}
        kept.keep(texts)
        if progress is not None:
            progress(len(kept.texts), len(asked))
    read_ = [(each, text) for at, each in enumerate(asked) if (text := kept.texts[at]) is not None]
    if not read_:
        raise UserError(f"{subject.name} can read none of the {len(asked)} prompts", "they are longer than it reads; shorten them")
    unread = [each.id for at, each in enumerate(asked) if kept.texts[at] is None]
    return answers_of(subject.name, [each for each, _ in read_], [text for _, text in read_], sampling), unread


def recorded(path: str | Path, *, group: str = "group") -> Answers:
    """Answers that stand in a file, beside their prompts, in a column `answer` (or `response`); an empty one says nothing.

    UserError with the rows that are no prompts, or the first that has no answer.
    """
    asked, texts = [], []
    for each in read_prompts(path, group=group):
        text = next((each.metadata[name] for name in _ANSWER if isinstance(each.metadata.get(name), str)), None)
        if text is None:
            raise UserError(f"there is no answer to prompt {each.id!r}", _ROW, where=str(path))
        beside = {name: value for name, value in each.metadata.items() if name not in _ANSWER}
        asked.append(replace(each, metadata=beside))
        texts.append(text)
    if not texts:
        raise UserError("the file has no answers", _ROW, where=str(path))
    return answers_of(Path(path).stem, asked, texts, {"recorded": Path(path).name})


def answers_of(subject: str, asked: Sequence[Asked], texts: Sequence[str], sampling: Mapping[str, Any]) -> Answers:
    """Answers with their digest."""
    what = [[each.id, each.group, _plain(each.turns), list(each.sources), each.reference, dict(each.metadata)] for each in asked]
    return Answers(subject, asked, texts, sampling, digest_of([what, list(texts), dict(sampling)]))


class _Kept:
    """A file of answers by their prompt's place, None for a prompt that can't be read; each batch is on the disk when it is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: dict[int, str | None] = {}
        if path.is_file():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)  # a line that a kill cut off
            for line in data[:whole].split(b"\n")[:-1]:
                with suppress(ValueError):  # altered on disk: these prompts are answered again
                    self.texts |= {int(at): text for at, text in unsealed_json(line).items()}

    def keep(self, texts: Mapping[int, str | None]) -> None:
        with full_disk_in_words(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(sealed_json({str(at): text for at, text in texts.items()}) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self.texts |= texts


def _plain(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [dict(turn) for turn in turns]
