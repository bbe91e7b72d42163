"""`/swagger.json`: what the service takes and gives, in the two forms that callers' tools read."""

from collections.abc import Mapping
from typing import Any

VERSIONS = {"2": "2", "2.0": "2", "3": "3", "3.0": "3"}
_ANSWERS = {"200": "what run() returned", "default": 'an error: {"message": ...}'}


def document(version: str, name: str, interface: Mapping[str, Any]) -> dict[str, Any] | None:
    """The document of a version; None where there is none."""
    match VERSIONS.get(version):
        case "2":
            return _swagger(name, interface)
        case "3":
            return _openapi(name, interface)
        case _:
            return None


def _swagger(name: str, interface: Mapping[str, Any]) -> dict[str, Any]:
    body = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    answers = {"200": {"description": _ANSWERS["200"], "schema": {"$ref": "#/definitions/ServiceOutput"}}}
    score = {"operationId": "RunMLService", "consumes": ["application/json"], "produces": ["application/json"], "parameters": [body]}
    return {
        "swagger": "2.0",
        "info": _title(name),
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "security": [{"Bearer": []}],
        "paths": {"/score": {"post": {**score, "responses": {**answers, "default": {"description": _ANSWERS["default"]}}}}},
        "definitions": _schemas(interface),
    }


def _openapi(name: str, interface: Mapping[str, Any]) -> dict[str, Any]:
    def content(schema: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}

    answers = {"200": {"description": _ANSWERS["200"], **content("ServiceOutput")}, "default": {"description": _ANSWERS["default"]}}
    score = {"operationId": "RunMLService", "requestBody": content("ServiceInput"), "responses": answers}
    return {
        "openapi": "3.0.3",
        "info": _title(name),
        "security": [{"Bearer": []}],
        "paths": {"/score": {"post": score}},
        "components": {"securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}}, "schemas": _schemas(interface)},
    }


def _title(name: str) -> dict[str, str]:
    return {"title": name, "version": "1.0"}


def _schemas(interface: Mapping[str, Any]) -> dict[str, Any]:
    return {"ServiceInput": interface.get("input", {}), "ServiceOutput": interface.get("output", {})}
