"""Alpaca's OpenAPI document as a judge of requests and answers: what it finds wrong, in sentences."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.replay.simulator.conformance.desk import Exchange

_URI = "urn:api"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

Json = dict[str, Any]


class ApiDocument:
    def __init__(self, document: Json) -> None:
        self._paths: Json = document["paths"]
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._formats = FormatChecker(("uuid", "date"))
        self._formats.checks("date-time")(
            lambda value: not isinstance(value, str) or bool(_TIME.fullmatch(value))
        )
        self._components: Json = document["components"]

    def template(self, path: str) -> str:
        """Find the document's path that a request's path belongs to, the most literal one first."""
        for template in sorted(self._paths, key=lambda template: template.count("{")):
            pattern = re.sub(r"\\{.*?\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path):
                return template
        raise LookupError(f"{path} is not in the document")

    def faults_of_request(self, exchange: Exchange) -> list[str]:
        operation = self._operation(exchange)
        parameters = {each["name"]: each for each in map(self._resolved, operation.get("parameters", []))}
        faults = [f"{name} is not a parameter" for name in exchange.query if name not in parameters]
        for name, parameter in parameters.items():
            if parameter["in"] != "query":
                continue
            if name in exchange.query:
                value = _typed(exchange.query[name], parameter["schema"])
                faults += self._faults(parameter["schema"], value, name)
            elif parameter.get("required"):
                faults.append(f"{name} is required")
        if exchange.body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            faults += self._faults(schema, exchange.body, "body")
        return faults

    def faults_of_answer(self, exchange: Exchange) -> list[str]:
        answers = self._operation(exchange)["responses"]
        if str(exchange.status) not in answers:
            return [f"status {exchange.status} is not listed"]
        content = self._resolved(answers[str(exchange.status)]).get("content")
        if content is None:  # the document leaves such bodies open
            return []
        return self._faults(content["application/json"]["schema"], exchange.answer, "")

    def faults_of(self, schema: str, value: object) -> list[str]:
        return self._faults({"$ref": f"#/components/schemas/{schema}"}, value, "")

    def properties(self, schema: str) -> list[str]:
        return list(self._components["schemas"][schema]["properties"])

    def _operation(self, exchange: Exchange) -> Json:
        path: Json = self._paths[self.template(exchange.path)]
        operation: Json = path[exchange.method.lower()]
        return operation | {"parameters": operation.get("parameters", []) + path.get("parameters", [])}

    def _faults(self, schema: Json, value: object, place: str) -> list[str]:
        validator = Draft202012Validator(
            _absolute(schema), registry=self._registry, format_checker=self._formats
        )
        return [_sentence(error, place) for error in validator.iter_errors(value)]

    def _resolved(self, part: Json) -> Json:
        while "$ref" in part:
            _, _, kind, name = part["$ref"].split("/")
            part = self._components[kind][name]
        return part


def _absolute(schema: Any) -> Any:
    """Make the references of a part of the document point into the whole of it."""
    if isinstance(schema, dict):
        return {name: _URI + value if name == "$ref" else _absolute(value) for name, value in schema.items()}
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


def _sentence(error: Any, place: str) -> str:
    # Rows of a list are alike: what is wrong with one is said without its number.
    steps = [str(step) for step in error.absolute_path if not isinstance(step, int)]
    where = ".".join([place, *steps] if place else steps)
    return f"{where or 'it'}: {error.message}"


def _typed(text: str, schema: Json) -> object:
    """Read a parameter as its schema's type; text that isn't of that type stays text."""
    match schema.get("type"):
        case "boolean" if text in {"true", "false"}:
            return text == "true"
        case "integer" if re.fullmatch(r"-?\d+", text):
            return int(text)
        case "number" if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return float(text)
        case "array":
            return text.split(",")
    return text
