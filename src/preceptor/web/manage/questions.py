"""/manage/questions: the active questions, and the editor with its preview. Saving a changed question makes its next version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml
from preceptor.questions import define_question, kinds
from preceptor.types import Question
from preceptor.web.manage.page_context import (
    ManageVisitor,
    PostedForm,
    ReadVisitor,
    choose_question,
    form_text,
    render_manager_page,
    request_project,
)
from preceptor.web.question_forms import example_content, question_form_context

router = APIRouter()
_QUESTION_FIELDS = ("name", "kind", "options", "instructions", "settings")
_COMMON_FIELDS = ("follows", "skills")  # written among the settings, though any kind may have them
_ERROR_WORDS = {  # the field that an error is about -> words in its message
    "settings": ("setting", "cuts", "labels", "follows", "skill", "table", "toml", "json"),
    "options": ("option", "scale", "label", "rating needs", "choice needs"),
    "kind": ("question kind", "needs a kind"),
    "name": ("needs a name", "a name"),
}


@router.get("/manage/questions")
def questions_page(request: Request, visitor: ReadVisitor) -> Response:
    """List the active questions."""
    return render_manager_page(request, "questions.html", visitor, known=request_project(request).questions())


@router.get("/manage/questions/edit")
def editor_page(request: Request, visitor: ManageVisitor, name: str | None = None) -> Response:
    """Show the editor, with a question's fields where one is named."""
    question = choose_question(request_project(request), name)[1] if name else None
    return _render_editor(request, visitor, _question_fields(question) if question else {"kind": "choice"}, preview=question)


@router.post("/manage/questions/edit")
def save_question(request: Request, visitor: ManageVisitor, form: PostedForm) -> Response:
    """Save the question, or show a preview of it."""
    given = {field: form_text(form, field) for field in _QUESTION_FIELDS}
    try:
        question = _parse_question(given)
        if form_text(form, "action") == "preview":
            return _render_editor(request, visitor, given, preview=question)
        values = _parse_values(given)  # which may name follows and skills too
        request_project(request).add_question(question.name, question.kind, values["options"], question.instructions, **values["settings"])
    except UserError as error:
        return _render_editor(request, visitor, given, error=error)
    return RedirectResponse("/manage/questions", status_code=303)


@router.get("/manage/questions/preview")
def preview_question(request: Request, visitor: ManageVisitor) -> Response:
    """Return the preview of a question as a fragment for the page's script; an error message where it isn't valid."""
    given = {field: request.query_params.get(field, "").replace("\r\n", "\n") for field in _QUESTION_FIELDS}
    try:
        question, fault = _parse_question({**given, "name": given["name"].strip() or "question"}), None
    except UserError as error:
        question, fault = None, error
    return render_manager_page(request, "preview.html", visitor, fault_of_question=fault, **_preview_context(question))


def error_field(error: UserError) -> str:
    """Return the field of the form that an error is about; an empty string where that is unknown."""
    if error.where in _QUESTION_FIELDS:
        return error.where
    words = f"{error.message} {error.where}".casefold()
    return next((field for field, signs in _ERROR_WORDS.items() if any(sign in words for sign in signs)), "")


def _render_editor(
    request: Request,
    visitor: AuthenticatedVisitor,
    given: Mapping[str, str],
    *,
    preview: Question | None = None,
    error: UserError | None = None,
) -> Response:
    fields = {field: given.get(field, "") for field in _QUESTION_FIELDS}
    known = [question.name for question in request_project(request).questions()]
    return render_manager_page(
        request, "editor.html", visitor, given=fields, kinds=kinds.names(), error=error, at=error_field(error) if error else "",
        is_known=fields["name"].strip() in known, status=422 if error else 200, fault_of_question=None, **_preview_context(preview),
    )  # fmt: skip


def _preview_context(question: Question | None) -> dict[str, Any]:
    if question is None:
        return {"preview": None}
    return {"preview": question, **question_form_context(question, example_content(question), "an example", "preview")}


def _parse_question(given: Mapping[str, str]) -> Question:
    """Parse and check the question that the form describes; raise UserError at its field."""
    values = _parse_values(given)
    common = {field: values["settings"].pop(field) for field in _COMMON_FIELDS if field in values["settings"]}
    return define_question({**values, **common})


def _parse_values(given: Mapping[str, str]) -> dict[str, Any]:
    options: list[Any] = [line.strip() for line in given["options"].splitlines() if line.strip()]
    if given["kind"] == "rating":
        options = [_parse_option(option) for option in options]
    settings = _parse_settings(given["settings"].strip())
    return {
        "name": given["name"].strip(),
        "kind": given["kind"],
        "options": options,
        "instructions": given["instructions"],
        "settings": settings,
    }


def _parse_settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.startswith("{") else parse_toml(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the settings can't be read: {error}", 'a line each, such as maximum = 2; or JSON: {"maximum": 2}', where="settings"
        ) from None
    return dict(found)


def _parse_option(option: str) -> Any:
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


def _question_fields(question: Question) -> dict[str, str]:
    """Return a question's fields as the form has them."""
    settings: dict[str, Any] = dict(question.settings)
    settings |= {"follows": dict(question.follows)} if question.follows else {}
    settings |= {"skills": list(question.skills)} if question.skills else {}
    return {
        "name": question.name,
        "kind": question.kind,
        "options": "\n".join(map(str, question.options)),
        "instructions": question.instructions,
        "settings": "\n".join(f"{name} = {_toml_value(value)}" for name, value in settings.items() if value is not None),
    }


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml_value(part)}" for name, part in value.items()) + " }"
    return "[" + ", ".join(map(_toml_value, value)) + "]" if isinstance(value, list | tuple) else json.dumps(value, ensure_ascii=False)
