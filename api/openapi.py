"""What the API tells about itself: the OpenAPI document, and a page made from it that loads nothing."""

import hashlib
from base64 import b64encode
from html import escape
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse

from api.access import PUBLIC, roles_for
from api.idempotency import HEADER
from api.problems import PROBLEM_JSON, Problem
from api.route import BatonRoute

router = APIRouter(tags=["ops"], route_class=BatonRoute)

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_PROBLEM: Final = {
    "description": "What went wrong (RFC 9457)",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_IDEMPOTENCY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The first answer under a key is given again for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}"
    "h2{margin-top:2rem;border-bottom:1px solid #c9d1dc}code{font:14px ui-monospace,monospace}"
    "li{margin:.4rem 0;list-style:none}ul{padding:0}b{display:inline-block;width:4rem}small{color:#566274}"
)
_STYLE_DIGEST: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


@router.get("/openapi.json", summary="This API as an OpenAPI document", response_class=JSONResponse)
async def openapi_document(request: Request) -> JSONResponse:
    return JSONResponse(document_of(request.app))


@router.get("/docs", summary="This API as a page", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'"
    return HTMLResponse(_page(document_of(request.app)), headers={"Content-Security-Policy": policy})


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once: who may call what, and how every error looks, added to FastAPI's own."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "bt_…"}}
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                _complete(item[method], method, path)
    return document


def _complete(operation: dict[str, Any], method: str, path: str) -> None:
    roles = roles_for(method.upper(), path) or PUBLIC
    operation["responses"].pop("422", None)
    operation["responses"]["4XX"] = _PROBLEM
    operation["responses"]["5XX"] = _PROBLEM
    if roles == PUBLIC:
        return
    operation["security"] = [{"key": []}]
    names = ", ".join(sorted(roles))
    operation["description"] = f"{operation.get('description', '')}\n\nRoles: {names}.".strip()
    if method == "post":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)


def _page(document: dict[str, Any]) -> str:
    sections: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                said = escape(
                    operation.get("description", "").rpartition("Roles: ")[2] if "security" in operation else ""
                )
                sections.setdefault(operation.get("tags", ["other"])[0], []).append(
                    f"<li><b>{method.upper()}</b><code>{escape(path)}</code><br>"
                    f"{escape(operation.get('summary', ''))} <small>{said}</small></li>"
                )
    body = "".join(f"<h2>{escape(tag)}</h2><ul>{''.join(lines)}</ul>" for tag, lines in sorted(sections.items()))
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title} API</h1>"
        f'<p>With shapes and examples: <a href="/openapi.json">openapi.json</a></p>{body}</body></html>'
    )
