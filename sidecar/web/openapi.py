"""The API document (OpenAPI 3.1), made from the routes and their msgspec types."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

import sidecar
from sidecar.web.error_forms import form_of
from sidecar.web.event_stream import MEDIA_TYPE as EVENTS
from sidecar.web.route import Route, RouteGroup

EVERY_ROUTE = (403, 500)  # a Host or Origin that is not ours; an error of our own
OWN_BODIES = {
    (503, "/health"),
    (503, "/readyz"),
    (500, "/ping"),
    (503, "/v2/health/ready"),
    (503, "/v2/models/{name}/ready"),
    (503, "/v2/models/{name}/versions/{version}/ready"),
}  # their body says what is wrong
# In a path: what is there on every server.
PLACES = {"name": "example", "file": "server.log", "version": "1.0", "url_path": "en"}
WITH_BODY = {400, 413, 415, 503}  # of every route that reads one


def build_document(groups: Sequence[RouteGroup], max_timeout_seconds: float) -> dict[str, Any]:
    """Return the document of all routes in *groups*, in their order.

    *max_timeout_seconds* is the largest `timeout` that a request may have.
    """
    routes = [route for group in groups for route in group.routes]
    types = {
        kind
        for route in routes
        for kind in (
            None if route.form == "only" else route.request,
            route.response,
            route.or_response,
            *(data for _, data in route.events),
        )
        if kind
    }
    errors = {form_of(route.path).schema for route in routes}
    ordered = sorted(types | errors, key=lambda kind: kind.__name__)
    references, components = msgspec.json.schema_components(
        ordered, ref_template="#/components/schemas/{name}"
    )
    schemas = dict(zip(ordered, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for group in groups:
        for route in group.routes:
            for method in route.methods:
                operation = {"tags": [group.name], **_operation(route, method, schemas)}
                paths.setdefault(route.path, {})[method.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "TorchServe sidecar",
            "version": sidecar.__version__,
            "description": "Batched PyTorch inference on TorchServe.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": group.name, "description": group.description} for group in groups],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
    _bound_timeouts(document, max_timeout_seconds)
    return document


def _bound_timeouts(part: Any, max_seconds: float) -> None:
    """Give every field `timeout` below *part*, which says only how small it may be, its maximum."""
    if isinstance(part, list):
        for each in part:
            _bound_timeouts(each, max_seconds)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "timeout" and isinstance(value, dict) and "exclusiveMinimum" in value:
                value["maximum"] = max_seconds
            _bound_timeouts(value, max_seconds)


def _operation(route: Route, method: str, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    name = route.handler.__name__
    operation: dict[str, Any] = {
        "operationId": f"{name}_by_{method.lower()}" if method in route.also else name,
        "summary": route.summary,
        "responses": {"200": _answer(route, schemas)} | _errors(route, schemas),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.request is not None and method != "GET":  # where bodies have no meaning of their own
        content: dict[str, Any] = {}
        if route.form != "only":
            content["application/json"] = {"schema": schemas[route.request]} | _example(route)
        if route.form:
            content["multipart/form-data"] = {"schema": _form(route)}
        operation["requestBody"] = {"required": _needs_body(route), "content": content}
    if route.credential is not None or route.is_open:
        nothing: list[dict[str, Any]] = [] if route.scope is not None else [{}]
        operation["security"] = [{"bearer": []}, {"api_key": []}, *nothing]
    return operation


def _needs_body(route: Route) -> bool:
    """Return whether a body must come; to `read_change`, none is an object without fields."""
    may_be_empty = route.empty_body or route.credential == "admin"
    return not may_be_empty or any(
        field.required for field in msgspec.structs.fields(route.request)
    )


def _answer(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    kind = "object" if route.media_type == "application/json" else "string"
    schema = {"type": kind} if route.response is None else schemas[route.response]
    if route.or_response is not None:
        schema = {"anyOf": [schema, schemas[route.or_response]]}
    content = {route.media_type: {"schema": schema}}
    content |= {media: {"schema": {"type": "string"}} for media in route.other_media}
    if route.events:
        content[EVENTS] = _stream(route, schemas)
    return {"description": "Success", "content": content}


def _stream(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """Describe server-sent events as OpenAPI 3.2's `itemSchema` does; 3.1 has no such field."""
    events = [*route.events, ("error", form_of(route.path).schema)]
    return {
        "schema": {"description": "Server-sent events; their data is JSON."},
        "x-itemSchema": {"oneOf": [_event(name, schemas[data]) for name, data in events]},
    }


def _event(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event; one without a *name* is identified by its data alone."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    fields: dict[str, Any] = {"data": data}
    if name:
        fields = {"event": {"const": name}} | fields
    return {"type": "object", "required": list(fields), "properties": fields}


def _parameters(route: Route) -> list[dict[str, Any]]:
    """Return the parameters in the path, as `{name}`, and in the query."""
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        | ({"example": PLACES[name]} if name in PLACES else {})
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not None:
        schema = _plain_schema(route.query)
        found += [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    return found


def _example(route: Route) -> dict[str, Any]:
    return {} if route.example is None else {"example": route.example}


def _form(route: Route) -> dict[str, Any]:
    """Return the multipart body: the request's fields as text, and the file."""
    schema = _plain_schema(route.request)
    fields = dict(schema["properties"])
    fields.pop("inputs", None)
    for name, value in (route.example or {}).items():
        if name in fields:
            fields[name] = fields[name] | {"example": value}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    required = ["file", *schema.get("required", ())]
    return {"type": "object", "properties": fields | {"file": file}, "required": required}


def _plain_schema(kind: Any) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([kind])
    schema: dict[str, Any] = components[kind.__name__]
    return schema


def _errors(route: Route, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    too_many = {429} if route.limited else set()
    with_body = WITH_BODY if route.request is not None else set()
    credential = {401, 503} if route.is_open else set()  # a wrong one; one that cannot be checked
    form = form_of(route.path)
    statuses = {*EVERY_ROUTE, *too_many, *credential, *with_body, *route.statuses}
    for status in sorted(map(form.status, statuses)):
        own_body = (status, route.path) in OWN_BODIES
        schema = schemas[route.response if own_body else form.schema]
        errors[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": schema}},
        }
    return errors
