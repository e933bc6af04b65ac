"""Test that the OpenAPI document says what the front refuses, and that what it says is one."""

import copy
from typing import Any

import pytest

from hearth.openapi import REFUSALS, described

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.2",
    "paths": {
        path: {"post": {"responses": {"200": {"description": "ok"}, "400": {"description": "theirs"}, "500": {"description": "theirs"}}}}
        for path in ("/predict", "/explain", "/other")
    },
    "components": {"schemas": {"House": {}}},
}  # fmt: skip


def test_each_route_tells_its_refusals_with_their_body() -> None:
    found = described(DOCUMENT, ["/predict", "/explain"])
    told = found["paths"]["/predict"]["post"]["responses"]
    assert list(told) == ["200", "400", "401", "405", "408", "413", "415", "422", "503"]
    for status, response in told.items():
        if status != "200":
            assert response["description"] == REFUSALS[int(status)]
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Refusal"}
    assert "404" in found["paths"]["/explain"]["post"]["responses"]
    assert found["components"]["schemas"].keys() == {"House", "Refusal"}
    assert "/model" in found["paths"]


def test_other_routes_and_the_given_document_are_left_alone() -> None:
    before = copy.deepcopy(DOCUMENT)
    found = described(DOCUMENT, ["/predict"])
    assert before == DOCUMENT
    assert found["paths"]["/other"] == DOCUMENT["paths"]["/other"]


def test_a_route_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(KeyError):
        described(DOCUMENT, ["/nowhere"])
