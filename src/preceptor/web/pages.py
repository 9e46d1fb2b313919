"""Templates made into pages. Everything from outside is escaped; Markdown is made into HTML and then sanitised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from preceptor.domain.items import turn_text
from preceptor.project import Project
from preceptor.web.visitors import BROWSER, Visitors

TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders templates with what every page shows: the project's name, who is signed in, the form's token."""

    def __init__(self, project: Project, visitors: Visitors) -> None:
        self._visitors = visitors
        self.environment = Environment(
            loader=PackageLoader("preceptor.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.environment.globals["project"] = project.config.name
        self.environment.filters |= {"markdown": markdown, "exact": exact, "said": turn_text}

    def render(
        self, request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> HTMLResponse:
        """A page. `visitor` (or None) decides what its head offers."""
        new_browser = not self._visitors.known_browser(request)
        if new_browser:  # the token of a form hangs on it as long as there is no session
            request.cookies[BROWSER] = self._visitors.browser(request)
        values = {"visitor": None, "csrf": self._visitors.form_token(request), "path": request.url.path, **values}
        page = HTMLResponse(self.environment.get_template(template).render(values), status_code=status, headers=dict(headers or {}))
        if new_browser:
            self._visitors.remember_browser(request, page, request.cookies[BROWSER])
        return page


def markdown(text: str) -> Markup:
    """Markdown as HTML without anything that runs, loads from elsewhere or styles: a model's words are shown, not obeyed."""
    import nh3
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    tags = {"p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
            "table", "thead", "tbody", "tr", "th", "td", "a"}  # fmt: skip
    return Markup(nh3.clean(html, tags=tags, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"}))


def exact(text: str) -> Markup:
    """A text whose places count: a browser would take carriage returns out of it, and each passage behind would be shifted."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))
