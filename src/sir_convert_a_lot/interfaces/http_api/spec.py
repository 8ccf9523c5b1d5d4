"""The `job_spec` part as text → a checked `JobSpec`, or a refusal that names the field.

Owns strictness of the JSON (no NaN, no duplicate keys, no bottomless nesting), the words of `details.reason`, and file
names that are safe to repeat. Refuses to know which specs can run here.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic import ValidationError as PydanticValidationError

from sir_convert_a_lot.domain.errors import ValidationError
from sir_convert_a_lot.domain.job_spec import JobSpec

MAX_SPEC_BYTES = 64 * 1024  # a full spec has about 500 bytes
MAX_FIELD_CHARACTERS = 200  # of a field's name that is echoed

# pydantic's error types by what is wrong from the caller's side; others keep pydantic's own word.
REASONS = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "enum": "value_not_allowed",
    "literal_error": "value_not_allowed",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "string_unicode": "not_unicode",
}


def parse_spec(text: bytes) -> JobSpec:
    """Raises `ValidationError`: 400 where it is no JSON, 422 with field and reason where it is no spec."""
    value = _read_json(text)
    if not isinstance(value, dict):
        raise ValidationError("job_spec must be a JSON object", details={"field": "job_spec", "reason": "wrong_type"})
    try:
        spec = JobSpec.model_validate(value)
    except PydanticValidationError as error:
        raise _explain(error) from error
    source = spec.source.model_copy(update={"filename": clean_filename(spec.source.filename)})
    return spec.model_copy(update={"source": source})


def clean_filename(given: str) -> str:
    """The last part of a path, without control and formatting characters. Raises `ValidationError` if none is left."""
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(char for char in unicodedata.normalize("NFC", last) if unicodedata.category(char)[0] != "C")
    name = visible.strip()
    if not name.strip("."):
        raise ValidationError(
            "source.filename holds no file name", details={"field": "source.filename", "reason": "no_file_name"}
        )
    return name


def name_field(location: Sequence[int | str]) -> str:
    """A pydantic location as the dotted name that `details.field` carries; the whole spec where it names none."""
    return ".".join(str(part) for part in location)[:MAX_FIELD_CHARACTERS] or "job_spec"


def name_reason(kind: str) -> str:
    """A pydantic error type as `details.reason`."""
    if kind in REASONS:
        return REASONS[kind]
    return "wrong_type" if kind.endswith(("_type", "_parsing")) else kind


def _explain(error: PydanticValidationError) -> ValidationError:
    problems = error.errors(include_url=False, include_input=False)
    # A misspelt name also leaves its right name missing: the unknown one is the cause, so it is told first.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    field, reason = name_field(first["loc"]), name_reason(first["type"])
    words = f"{field}: this field does not exist" if reason == "unknown_field" else f"{field}: {first['msg']}"
    details: dict[str, Any] = {"field": field, "reason": reason}
    if expected := first.get("ctx", {}).get("expected"):
        details["expected"] = str(expected)
    return ValidationError(words, details=details)


def _read_json(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_read_object)
    except UnicodeDecodeError as error:
        raise _malformed("job_spec is not UTF-8", "not_utf8") from error
    except RecursionError as error:
        raise _malformed("job_spec is nested too deeply", "nested_too_deeply") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"job_spec is not JSON: {error}", "not_json") from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise _malformed("job_spec holds a number with thousands of digits", "not_json") from error


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed(f"job_spec is not JSON: {name} is no JSON number", "not_json")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _malformed(f"job_spec names {key[:MAX_FIELD_CHARACTERS]!r} twice", "duplicate_key")
        found[key] = value
    return found


def _malformed(message: str, reason: str) -> ValidationError:
    return ValidationError(message, details={"field": "job_spec", "reason": reason}, http_status=400)
