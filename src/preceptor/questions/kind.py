"""Define the contract of a question kind, the registry of kinds, and how a question is defined from a question file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from preceptor.errors import UserError
from preceptor.registry import Registry
from preceptor.types import Question

MAX_QUESTION_NAME_LENGTH = 200


class QuestionKind(Protocol):
    """The contract of a question kind: what it knows about its answers.

    level: how its agreement is measured (see `preceptor.consensus.agreement`). aggregator: the name of its default aggregator. needs_item:
    whether an answer can be wrong for one item and right for another, so that `check` must see the content.
    """

    level: str
    aggregator: str
    needs_item: bool

    def define(self, question: Question) -> Question:
        """Return the question with its options and settings checked and completed; raises UserError that says what is wrong."""
        ...

    def parse(self, question: Question, answer: Any) -> Any:
        """Return the answer in its one stored form (a JSON value); raises UserError that says why it isn't one."""
        ...

    def read_form(self, question: Question, fields: Mapping[str, Sequence[str]]) -> Any:
        """Return what a form posted (field name -> values) as `parse` takes it; raises UserError where a field can't be read."""
        ...

    def check(self, question: Question, answer: Any, content: Mapping[str, Any]) -> None:
        """Raise UserError where a parsed answer refers to what isn't in the item: text past its end, a response that doesn't exist."""
        ...

    def vote(self, question: Question, answer: Any) -> Hashable:
        """Return a parsed answer, or a known one from `parse_consensus`, as the aggregator takes it."""
        ...

    def to_consensus_answer(self, question: Question, answer: Any) -> Any:
        """Return the consensus that this answer alone gives: the answer itself, or the class of a scale that it falls into."""
        ...

    def possible_votes(self, question: Question) -> tuple[Any, ...] | None:
        """Return all possible votes, in order; None where they can't be listed."""
        ...

    def answers(self, question: Question) -> tuple[Any, ...]:
        """Return what a consensus may be: the columns of its posterior."""
        ...

    def parse_consensus(self, question: Question, answer: Any) -> Any:
        """Return a known answer (gold), checked against `answers`; raises UserError that says why it isn't one."""
        ...

    def aggregator_options(self, question: Question) -> dict[str, Any]:
        """Return what the default aggregator must know of the question, as its keyword arguments."""
        ...


kinds: Registry[QuestionKind] = Registry(
    "question kind",
    group="preceptor.questions",
    built_in={
        name: f"preceptor.questions.{name}" for name in ("choice", "multilabel", "rating", "compare", "rank", "write", "spans", "claims")
    },
)


def define_question(values: Mapping[str, Any], *, where: str = "") -> Question:
    """Return a checked Question from the fields of a question file.

    values: name, kind, options, instructions, settings, follows, skills. Raises UserError, at `where`, for what is missing, unknown or
    wrong.
    """
    known = {"name", "kind", "options", "instructions", "settings", "follows", "skills"}
    if unknown := sorted(set(values) - known):
        raise UserError(f"a question has no field {unknown[0]!r}", f"fields: {', '.join(sorted(known))}", where=where)
    for field in ("name", "kind"):
        if not isinstance(values.get(field), str) or not values[field].strip():
            raise UserError(
                f"a question needs a {field}", f'for example {field} = "{"sentiment" if field == "name" else "choice"}"', where=where
            )
    options, settings = values.get("options", ()), values.get("settings", {})
    if not isinstance(options, list | tuple):
        raise UserError(f"options must be a list, not {options!r}", where=where)
    if not isinstance(settings, Mapping):
        raise UserError(f"settings must be a table, not {settings!r}", where=where)
    _check_texts(values["name"].strip(), [*options, values.get("instructions") or ""], where)
    question = Question(
        values["name"].strip(),
        values["kind"],
        tuple(options),
        str(values.get("instructions") or ""),
        dict(settings),
        follows=_parse_follows(values.get("follows"), where),
        skills=_parse_skills(values.get("skills") or (), where),
    )
    try:
        return kinds.get(question.kind).define(question)
    except UserError as error:
        raise UserError(error.message, error.hint, where=where or f"question {question.name!r}") from None


def is_follow_up_asked(question: Question, after: Any) -> bool:
    """Return whether a question that follows another is asked after this answer to it: one of its answers, or a list holding one."""
    if question.follows is None or not (answers := question.follows.get("answers")):
        return True
    return any(part in answers for part in (after if isinstance(after, list) else [after]))


def check_follow_up(question: Question, others: Mapping[str, Question]) -> None:
    """Raise UserError unless `question` can follow the one that it names: it exists, follows none itself, and has those answers."""
    wanted = question.follows or {}
    first = others.get(wanted["question"])
    if first is None:
        raise UserError(f"{question.name!r} follows {wanted['question']!r}, which isn't there", "add that question first")
    if first.follows is not None:
        raise UserError(f"{first.name!r} follows {first.follows['question']!r} itself", f"follow {first.follows['question']!r} instead")
    kind, answers = kinds.get(first.kind), wanted.get("answers", [])
    known = [*first.options, *kind.answers(first)]
    for answer in answers if kind.level in ("nominal", "interval", "sets") else []:
        if answer not in known:
            raise UserError(f"{answer!r} is not an answer to {first.name!r}", f"answers: {', '.join(map(str, dict.fromkeys(known)))}")


def _check_texts(name: str, texts: Sequence[Any], where: str) -> None:
    if len(name) > MAX_QUESTION_NAME_LENGTH or not name.isprintable():
        raise UserError(f"a question's name is one line of at most {MAX_QUESTION_NAME_LENGTH} characters, not {name[:40]!r}…", where=where)
    if any("\0" in text for text in texts if isinstance(text, str)):
        raise UserError("a question's texts can't hold NUL characters", "remove them: databases can't store them", where=where)


def _parse_follows(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    example = 'follows = { question = "safe", answers = ["unsafe"] }'
    if isinstance(value, str):
        value = {"question": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("question"), str) or set(value) - {"question", "answers"}:
        raise UserError(f"follows names a question and the answers to it, not {value!r}", example, where=where)
    answers = value.get("answers", [])
    if not isinstance(answers, list | tuple):
        raise UserError(f"the answers that a question follows must be a list, not {answers!r}", example, where=where)
    return {"question": value["question"], **({"answers": list(answers)} if answers else {})}


def _parse_skills(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(skill, str) and skill.strip() for skill in value):
        raise UserError(f"skills must be a list of words, not {value!r}", 'skills = ["medicine"]', where=where)
    return tuple(dict.fromkeys(skill.strip() for skill in value))
