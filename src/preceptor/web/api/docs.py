"""Describe the API: OpenAPI for programs, and the same document as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from preceptor.annotation import SCOPES
from preceptor.web.app_state import app_state_of

router = APIRouter(include_in_schema=False)
OPENAPI_PATH = "/api/v1/openapi.json"
_PUBLIC_PATHS = ("/health/live", "/health/ready")  # need no token
_API_SUMMARY = """Everything that the pages do, as JSON.

Send the token that `preceptor people invite` printed: `Authorization: Bearer TOKEN`. Errors are
`{"error": {"message", "hint", "field"}}`. After 503 or 429, wait for the seconds in `Retry-After` and send the same again; a judgment
with a `key` counts once, however often it is sent."""


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application, which is built once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=_API_SUMMARY, routes=app.routes)
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in _PUBLIC_PATHS else [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """Show the API's documentation as a page."""
    document = openapi_document(request.app)
    return app_state_of(request).pages.render(
        request, "api.html", operations=list(_iter_operations(document)), summary=_API_SUMMARY, scopes=SCOPES, openapi=OPENAPI_PATH
    )


def _iter_operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a dict for each operation, in the order of the routes, with its references resolved."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {})
            yield {
                "name": f"{method.upper()} {path}",
                "anchor": operation["operationId"],
                "about": operation.get("description", ""),
                "parameters": operation.get("parameters", []),
                "bodies": [(kind, _example_json(document, each["schema"])) for kind, each in body.items()],
                "answers": [(status, *_response_example(document, answer)) for status, answer in sorted(operation["responses"].items())],
            }


def _response_example(document: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, str]:
    schema = next((each["schema"] for each in answer.get("content", {}).values() if "schema" in each), None)
    return answer["description"], _example_json(document, schema) if schema else ""


def _example_json(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return json.dumps(_schema_example(document, schema), indent=1, ensure_ascii=False)


def _schema_example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return an example of a schema, with the type of each value in its place."""
    if "$ref" in schema:
        return _schema_example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "example" in schema:
        return schema["example"]
    if "properties" in schema:
        return {name: _schema_example(document, each) for name, each in schema["properties"].items()}
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _schema_example(document, choices[0])
    if schema.get("type") == "array":
        return [_schema_example(document, schema["items"])]
    return "|".join(schema["enum"]) if "enum" in schema else schema.get("type", "any")
