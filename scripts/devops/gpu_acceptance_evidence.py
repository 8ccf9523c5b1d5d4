"""`evidence.json`: what an acceptance run saw, written down while it runs.

Owns the schema, the outcome of the whole, and that nothing private of the machine stands in it. Every check is planned
before it is run, so a run that was killed leaves the rest as unknown. Refuses to judge (`gpu_acceptance_judges`).
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA_VERSION = "1"
KIND = "gpu_acceptance"

# What every file of evidence has, and what must not be empty in one that is committed.
KEYS = frozenset(
    {
        "schema_version",
        "kind",
        "started_at",
        "ended_at",
        "outcome",
        "exit_code",
        "command",
        "commands",
        "machine",
        "product",
        "models",
        "probe",
        "checks",
        "conversions",
        "measured",
    }
)
MACHINE_KEYS = ("device", "pci_id", "driver", "runtime_kind", "torch", "python")
NOT_RUN = "not run"

# A path below a folder that differs from machine to machine. /dev, /proc and /sys name the kernel's own things.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|opt|usr|var|mnt|media|srv|data|Users|private)(?:/|\b)")
URL = re.compile(r"https?://([^/\s:\"']+)")
LOOPBACK = "127.0.0.1"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"  # not run, or it could not be told


EXIT_CODES = {Outcome.OK: 0, Outcome.FAILED: 1, Outcome.UNKNOWN: 2}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check came to. `seen` is one sentence, `details` the figures and words that it rests on."""

    outcome: Outcome
    seen: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Check:
    """One expectation. Times are seconds; `began_s` counts from the start of the run."""

    name: str
    expects: str
    outcome: Outcome = Outcome.UNKNOWN
    seen: str = NOT_RUN
    details: dict[str, Any] = field(default_factory=dict)
    began_s: float | None = None
    took_s: float | None = None


class Evidence:
    """The file, and the lines that a person follows the run by. Thread-safe."""

    def __init__(self, folder: Path, command: str, private: Mapping[str, str] | None = None) -> None:
        """`private`: words of this machine and what is written in their place."""
        self.path = folder / "evidence.json"
        self._private = dict(private or {})
        self._lock = threading.RLock()
        self._began = time.monotonic()
        self._checks: dict[str, Check] = {}
        self._body: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": KIND,
            "started_at": _now(),
            "ended_at": None,
            "command": command,
            "commands": [],
            "machine": dict.fromkeys(MACHINE_KEYS),
            "product": {},
            "models": None,
            "probe": None,
            "conversions": [],
            "measured": {},
        }

    def plan(self, name: str, expects: str) -> None:
        with self._lock:
            self._checks[name] = Check(name, expects)

    def conclude(self, name: str, verdict: Verdict, began: float) -> Verdict:
        """Write down what a planned check came to; `began` is of `time.monotonic`."""
        with self._lock:
            check = self._checks[name]
            check.outcome, check.seen, check.details = verdict.outcome, verdict.seen, verdict.details
            check.began_s = round(began - self._began, 2)
            check.took_s = round(time.monotonic() - began, 2)
            self.say(f"{verdict.outcome.value:<7} {name}: {verdict.seen}")
            self._write(self._outcome(), None)
        return verdict

    def tell(self, **facts: Any) -> None:
        """Set top-level values; mappings are merged, lists are appended to."""
        with self._lock:
            for name, value in facts.items():
                held = self._body[name]
                if isinstance(held, dict) and isinstance(value, Mapping):
                    held.update({key: told for key, told in value.items() if told is not None or key not in held})
                elif isinstance(held, list):
                    held.append(value)
                else:
                    self._body[name] = value
            self._write(self._outcome(), None)

    def say(self, line: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._began:7.1f} s  {line}", file=sys.stderr, flush=True)

    def finish(self, exit_code: int | None = None) -> int:
        """Close the file and return the exit code: of the checks, unless one is given that claims no more."""
        with self._lock:
            outcome = self._outcome()
            code = EXIT_CODES[outcome]
            if exit_code is not None and outcome is not Outcome.OK:
                code = exit_code
            self._body["ended_at"] = _now()
            self._write(outcome, code)
            return code

    def _outcome(self) -> Outcome:
        """The worst: failed, then unknown. No check at all is no success."""
        found = {check.outcome for check in self._checks.values()} or {Outcome.UNKNOWN}
        return next(outcome for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.OK) if outcome in found)

    def _write(self, outcome: Outcome, code: int | None) -> None:
        body = self._body | {
            "outcome": outcome.value,
            "exit_code": code,
            "checks": [asdict(check) for check in self._checks.values()],
        }
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(json.dumps(redact(body, self._private), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(self.path)


def private_words(repository: Path, *more: tuple[Path, str]) -> dict[str, str]:
    """Folders of this machine and what stands in their place, longest first: one may lie in another."""
    named = [
        *more,
        (repository, "REPOSITORY"),
        (Path(sys.prefix), "PYTHON_PREFIX"),
        (Path(sys.base_prefix), "PYTHON_PREFIX"),
        (Path.home(), "HOME"),
        (Path(tempfile.gettempdir()), "TMP"),
    ]
    words = {os.fspath(path): name for path, name in reversed(named) if os.fspath(path) not in {"/", "/usr"}}
    return dict(sorted(words.items(), key=lambda word: -len(word[0])))


def redact(value: Any, private: Mapping[str, str]) -> Any:
    """The same JSON, without the words of this machine and without what is left of paths of it."""
    if isinstance(value, str):
        for word, name in private.items():
            value = value.replace(word, name)
        return re.sub(MACHINE_PATH.pattern + r"\S*", "PATH", value)
    if isinstance(value, Mapping):
        return {key: redact(told, private) for key, told in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(told, private) for told in value]
    return value


def find_problems(evidence: Mapping[str, Any]) -> list[str]:
    """Why this is no evidence of a run on a GPU that may be committed; empty when it is. A run that was cut off may be,
    as one that has no end and is no success.
    """
    problems = [f"lacks {key}" for key in sorted(KEYS - evidence.keys())]
    if problems:
        return problems
    if (evidence["schema_version"], evidence["kind"]) != (SCHEMA_VERSION, KIND):
        problems.append(f"is {evidence['kind']} of version {evidence['schema_version']}")
    machine = evidence["machine"]
    problems += [f"machine.{key} is not told" for key in MACHINE_KEYS if not machine.get(key)]
    if not (machine.get("cuda") or machine.get("hip")):
        problems.append("machine tells neither a CUDA nor a HIP version")
    problems += [f"{key} is empty" for key in ("command", "models", "started_at") if not evidence[key]]
    if not evidence["ended_at"] and evidence["outcome"] == Outcome.OK.value:
        problems.append("says ok without an end")
    if not (evidence["probe"] or {}).get("is_available") or evidence["probe"]["simulated"]:
        problems.append("the probe did not prove a GPU")
    problems += _contradictions(evidence)
    problems += [f"names something of the machine: {text}" for text in sorted(set(_private_texts(evidence)))]
    return problems


def _contradictions(evidence: Mapping[str, Any]) -> list[str]:
    """An outcome better than its checks."""
    outcomes = {Outcome(check["outcome"]) for check in evidence["checks"]} or {Outcome.UNKNOWN}
    worst = next(outcome for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.OK) if outcome in outcomes)
    problems = []
    if evidence["outcome"] != worst.value:
        problems.append(f"says {evidence['outcome']} while its worst check is {worst.value}")
    if evidence["exit_code"] == 0 and worst is not Outcome.OK:
        problems.append("says exit code 0 while not every check is ok")
    return problems


def _private_texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield from (found[0] for found in MACHINE_PATH.finditer(value))
        yield from (found[0] for found in URL.finditer(value) if found[1] != LOOPBACK)
    elif isinstance(value, Mapping):
        for key, told in value.items():
            if key in {"host", "hostname", "node", "nodename", "user"}:
                yield str(key)
            yield from _private_texts(told)
    elif isinstance(value, (list, tuple)):
        for told in value:
            yield from _private_texts(told)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
