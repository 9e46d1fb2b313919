"""/manage/questions: what is asked, and the editor with its preview. Saving an altered question makes its next version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml
from preceptor.project import Visitor
from preceptor.questions import define, kinds
from preceptor.web.manage.desk import Form, Manager, Reader, chosen, project_of, show, text_of
from preceptor.web.manage.fragments import example_of, question_form

router = APIRouter()
FIELDS = ("name", "kind", "options", "instructions", "settings")
COMMON = ("follows", "skills")  # written among the settings, though any kind may have them
ABOUT = {  # words in an error -> the field that it is about
    "settings": ("setting", "cuts", "labels", "follows", "skill", "table", "toml", "json"),
    "options": ("option", "scale", "label", "rating needs", "choice needs"),
    "kind": ("question kind", "needs a kind"),
    "name": ("needs a name", "a name"),
}


@router.get("/manage/questions")
def questions(request: Request, visitor: Reader) -> Response:
    """The questions that are asked."""
    return show(request, "questions.html", visitor, known=project_of(request).questions())


@router.get("/manage/questions/edit")
def editor(request: Request, visitor: Manager, name: str | None = None) -> Response:
    """The form, with a question's fields where one is named."""
    question = chosen(project_of(request), name)[1] if name else None
    return _editor_page(request, visitor, _fields(question) if question else {"kind": "choice"}, preview=question)


@router.post("/manage/questions/edit")
def save(request: Request, visitor: Manager, form: Form) -> Response:
    """Keep the question, or show how it would look."""
    given = {field: text_of(form, field) for field in FIELDS}
    try:
        question = _question(given)
        if text_of(form, "action") == "preview":
            return _editor_page(request, visitor, given, preview=question)
        values = _values(given)  # which may name follows and skills too
        project_of(request).add_question(question.name, question.kind, values["options"], question.instructions, **values["settings"])
    except UserError as error:
        return _editor_page(request, visitor, given, error=error)
    return RedirectResponse("/manage/questions", status_code=303)


@router.get("/manage/questions/preview")
def preview(request: Request, visitor: Manager) -> Response:
    """How a question would look, as a fragment for the page's script; an error in words where it can't be asked so."""
    given = {field: request.query_params.get(field, "").replace("\r\n", "\n") for field in FIELDS}
    try:
        question, fault = _question({**given, "name": given["name"].strip() or "question"}), None
    except UserError as error:
        question, fault = None, error
    return show(request, "preview.html", visitor, fault_of_question=fault, **_shown(question))


def field_of(error: UserError) -> str:
    """The field of the form that an error is about; nothing where it can't be told."""
    if error.where in FIELDS:
        return error.where
    words = f"{error.message} {error.where}".casefold()
    return next((field for field, signs in ABOUT.items() if any(sign in words for sign in signs)), "")


def _editor_page(
    request: Request, visitor: Visitor, given: Mapping[str, str], *, preview: Question | None = None, error: UserError | None = None
) -> Response:
    fields = {field: given.get(field, "") for field in FIELDS}
    known = [question.name for question in project_of(request).questions()]
    return show(
        request, "editor.html", visitor, given=fields, kinds=kinds.names(), error=error, at=field_of(error) if error else "",
        is_known=fields["name"].strip() in known, status=422 if error else 200, fault_of_question=None, **_shown(preview),
    )  # fmt: skip


def _shown(question: Question | None) -> dict[str, Any]:
    if question is None:
        return {"preview": None}
    return {"preview": question, **question_form(question, example_of(question), "an example", "preview")}


def _question(given: Mapping[str, str]) -> Question:
    """The question that the form describes, checked; UserError at its field."""
    values = _values(given)
    common = {field: values["settings"].pop(field) for field in COMMON if field in values["settings"]}
    return define({**values, **common})


def _values(given: Mapping[str, str]) -> dict[str, Any]:
    options: list[Any] = [line.strip() for line in given["options"].splitlines() if line.strip()]
    if given["kind"] == "rating":
        options = [_number(option) for option in options]
    settings = _settings(given["settings"].strip())
    return {
        "name": given["name"].strip(),
        "kind": given["kind"],
        "options": options,
        "instructions": given["instructions"],
        "settings": settings,
    }


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.startswith("{") else parse_toml(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the settings can't be read: {error}", 'a line each, such as maximum = 2; or JSON: {"maximum": 2}', where="settings"
        ) from None
    return dict(found)


def _number(option: str) -> Any:
    try:
        return int(option)
    except ValueError:
        pass
    try:
        number = float(option)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{option!r:.60} is no number", "a scale is numbers that rise in equal steps, one a line", where="options")
    return number


def _fields(question: Question) -> dict[str, str]:
    """A question's fields as the form has them."""
    settings: dict[str, Any] = dict(question.settings)
    settings |= {"follows": dict(question.follows)} if question.follows else {}
    settings |= {"skills": list(question.skills)} if question.skills else {}
    return {
        "name": question.name,
        "kind": question.kind,
        "options": "\n".join(map(str, question.options)),
        "instructions": question.instructions,
        "settings": "\n".join(f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None),
    }


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items()) + " }"
    return "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, list | tuple) else json.dumps(value, ensure_ascii=False)
