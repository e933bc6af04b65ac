"""Complete BentoML's OpenAPI document: it knows neither what the front refuses nor the routes that are the front's alone."""

import copy
from collections.abc import Collection
from typing import Any

# What each status of a refusal means; the body is always a Refusal.
REFUSALS = {
    400: "The body is not good JSON.",
    401: "The token is missing or wrong; only where the service asks for one.",
    404: "There is no such route.",
    405: "The route answers another method.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The content type is not application/json.",
    422: "The request breaks the contract; one entry per field.",
    503: "There is more to do than can be done; try again after the seconds in Retry-After.",
}
_ENTRY = {
    "type": "object",
    "required": ["field", "value", "expected"],
    "properties": {"field": {"type": "string"}, "value": {}, "expected": {"type": "string"}},
}
_REFUSAL = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "detail": {"type": "array", "items": _ENTRY}},
}


def described(document: dict[str, Any], routes: Collection[str]) -> dict[str, Any]:
    """Return the document with the refusals of these routes, and with GET /model; `document` is left as it is."""
    found = copy.deepcopy(document)
    components = found.setdefault("components", {})
    components.setdefault("schemas", {})["Refusal"] = _REFUSAL
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for route in routes:
        operation = found["paths"][route]["post"]
        operation["responses"] = {"200": operation["responses"]["200"]} | _refusals(
            400, 401, 405, 408, 413, 415, 422, 503
        )
        operation["security"] = [{"token": []}, {}]  # with or without: the service says
    explain = found["paths"].get("/explain", {}).get("post", {}).get("responses")
    if explain is not None:
        explain.update(_refusals(404))  # packaged without a typical house
    told = {"description": "The model that is served.", "content": {"application/json": {"schema": {"type": "object"}}}}
    found["paths"]["/model"] = {
        "get": {
            "summary": "Return version, facts, files, metrics, the gate's verdict and the card (Markdown) of the model.",
            "operationId": "model",
            "security": [{"token": []}, {}],
            "responses": {"200": told} | _refusals(401, 503),
        }
    }
    return found


def _refusals(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    return {str(status): {"description": REFUSALS[status], "content": content} for status in statuses}
