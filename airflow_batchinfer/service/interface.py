"""`/swagger.json`: what the service takes and gives, in the forms that callers' tools read."""

from collections.abc import Mapping
from typing import Any

_VERSIONS = {"2": "2.0", "2.0": "2.0", "3": "3.0", "3.0": "3.0", "3.1": "3.1"}
_OPENAPI = {"3.0": "3.0.3", "3.1": "3.1.0"}
_ANYTHING = {"type": "object", "example": {}}
_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
_KEY = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "Bearer, and one of the service's keys"}
_HEALTH = {"operationId": "ServiceHealthCheck", "description": "Whether the service answers at all."}
_SCORE = {"operationId": "RunMLService", "description": "Give the script's run() what is sent."}
_SPEC = {"operationId": "GetSwaggerSpec", "description": "This document."}
_FAILED = "an error"
_VERSION = {"name": "version", "in": "query", "required": False}
_WHICH = {"type": "integer", "enum": [2, 3]}


def versions(interface: Mapping[str, Any]) -> list[str]:
    """Those in which a script's samples can be described."""
    return [str(version) for version in interface.get("versions", ("2.0", "3.0", "3.1"))]


def document(version: str, name: str, interface: Mapping[str, Any]) -> dict[str, Any] | None:
    """The document of a version; None where there is none."""
    wanted = _VERSIONS.get(version)
    if wanted is None or wanted not in versions(interface):
        return None
    return _swagger(name, interface) if wanted == "2.0" else _openapi(wanted, name, interface)


def _swagger(name: str, interface: Mapping[str, Any]) -> dict[str, Any]:
    def answers(told: str, **what: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        return {"200": {"description": told, **what}, "default": {"description": _FAILED, "schema": _of("definitions", "ErrorResponse")}}

    body = {"name": "serviceInputPayload", "in": "body", "description": "what run() is given", "schema": _of("definitions", "ServiceInput")}
    given = answers("what run() returned", schema=_of("definitions", "ServiceOutput"))
    health = answers("it does", schema={"type": "string"}, examples={"application/json": "Healthy"})
    return {
        "swagger": "2.0",
        "info": _title(name),
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": _KEY},
        "paths": {
            "/": {"get": {**_HEALTH, "responses": health}},
            "/score": {"post": {**_SCORE, "security": [{"Bearer": []}], "parameters": [body], "responses": given}},
            "/swagger.json": {
                "get": {**_SPEC, "parameters": [{**_VERSION, **_WHICH}], "responses": answers("it", schema={"type": "string"})}
            },
        },
        "definitions": _schemas(interface),
    }


def _openapi(version: str, name: str, interface: Mapping[str, Any]) -> dict[str, Any]:
    def content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
        return {"content": {kind: {"schema": schema}}}

    def answers(told: str, what: dict[str, Any]) -> dict[str, Any]:
        error = content(_of("components/schemas", "ErrorResponse"))
        return {"responses": {"200": {"description": told, **what}, "default": {"description": _FAILED, **error}}}

    body = {"description": "what run() is given", **content(_of("components/schemas", "ServiceInput"))}
    given = answers("what run() returned", content(_of("components/schemas", "ServiceOutput")))
    text = content({"type": "string"}, "text/plain")
    health = answers("it does", content({"type": "string", "example": "Healthy"}, "text/plain"))
    return {
        "openapi": _OPENAPI[version],
        "info": _title(name),
        "security": [{"Bearer": []}],
        "paths": {
            "/": {"get": {**_HEALTH, **health}},
            "/score": {"post": {**_SCORE, "security": [{"Bearer": []}], "requestBody": body, **given}},
            "/swagger.json": {"get": {**_SPEC, "parameters": [{**_VERSION, "schema": _WHICH}], **answers("it", text)}},
        },
        "components": {"securitySchemes": {"Bearer": _KEY}, "schemas": _schemas(interface)},
    }


def _of(where: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/{where}/{name}"}


def _title(name: str) -> dict[str, str]:
    return {"title": name, "description": f"What {name} takes and gives", "version": "1.0"}


def _schemas(interface: Mapping[str, Any]) -> dict[str, Any]:
    given, answered = interface.get("input", _ANYTHING), interface.get("output", _ANYTHING)
    return {"ServiceInput": given, "ServiceOutput": answered, "ErrorResponse": _ERROR}
