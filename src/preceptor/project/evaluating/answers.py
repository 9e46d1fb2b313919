"""Whose answers are compared: models that are asked now, and files of answers that were recorded, to the same prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers, Asked
from preceptor.evaluation.suites import read_prompts
from preceptor.project.suites.answering import answers_of, recorded, written
from preceptor.project.suites.subjects import is_recorded, subject_of

if TYPE_CHECKING:
    from preceptor.project.project import Project

Tell = Callable[[str], Callable[[int, int], None]]
_ROWS = 'prompts come from --rows FILE, with rows like {"id": "q1", "prompt": "May I return it?"}, or from a file of recorded answers'


def answers_to(
    project: Project, names: Sequence[str], rows: str | Path | None = None, *, max_tokens: int = 256, tell: Tell | None = None
) -> tuple[list[Answers], int]:
    """What each of `names` says to the same prompts, and how many prompts were left out since one of them couldn't read them.

    names: a model's id, a base, a model's folder, or a file of recorded answers. rows: a file of prompts; without it those of the
    first file of answers. tell: by a model's name, what is told (answered, of how many).
    """
    files = {name: recorded(name) for name in names if is_recorded(name)}
    _check_names(names, files)
    asked = _prompts(names, files, rows)
    found = [files[name] if name in files else _asked_now(project, name, asked, max_tokens, tell) for name in names]
    both = set.intersection(*({each.id for each in answers.asked} for answers in found))
    if len(both) == len(asked) or len(files) == len(names):
        return [_in_order(answers, asked) for answers in found], 0
    left = [each for each in asked if each.id in both]
    if not left:
        raise UserError("no prompt has an answer by each model", _ROWS)
    return [_in_order(answers, left) for answers in found], len(asked) - len(left)


def _check_names(names: Sequence[str], files: Mapping[str, Answers]) -> None:
    if len(names) < 2:
        raise UserError("a comparison needs two models or more", "preceptor compare A B")
    stems = [answers.subject for answers in files.values()]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise UserError(f"two files are called {twice!r}", "a file's name is its model's: rename one")


def _prompts(names: Sequence[str], files: Mapping[str, Answers], rows: str | Path | None) -> Sequence[Asked]:
    if rows is not None:
        asked: Sequence[Asked] = read_prompts(rows)
    elif files:
        asked = next(iter(files.values())).asked
    else:
        raise UserError(f"there is nothing that {names[0]} and {names[1]} are to answer", _ROWS)
    if not asked:
        raise UserError("there are no prompts", _ROWS, where=str(rows or ""))
    return asked


def _asked_now(project: Project, name: str, asked: Sequence[Asked], max_tokens: int, tell: Tell | None) -> Answers:
    subject = subject_of(project, name)
    return written(project, subject, asked, max_tokens=max_tokens, progress=tell(subject.name) if tell else None)[0]


def _in_order(answers: Answers, asked: Sequence[Asked]) -> Answers:
    """The answers to these prompts, in this order; as they are where they are to others, which is told by who compares them."""
    place = {each.id: at for at, each in enumerate(answers.asked)}
    if [each.id for each in answers.asked] == [each.id for each in asked] or any(each.id not in place for each in asked):
        return answers
    rows = [place[each.id] for each in asked]
    return answers_of(answers.subject, [answers.asked[at] for at in rows], [answers.texts[at] for at in rows], answers.sampling)
