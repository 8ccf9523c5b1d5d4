"""Every setting of the service, parsed once at the door: flags, then environment, then one TOML file, then defaults.

Owns names, defaults, limits and where each value came from. Refuses unknown keys, in the file and under our prefix in
the environment: a misspelt limit must not quietly be no limit. Core functions take the values they need, never this
object. No setting can assert that a GPU is there; `gpu_forbidden` may only take one away.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic import ValidationError as PydanticValidationError

from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError

ENV_PREFIX = "SIR_CONVERT_A_LOT_"

MIB = 1024 * 1024
DAY_S = 24 * 3600
# What the probe asks for and allows by itself; a test holds them together. Settings go only the stricter way.
LEAST_NEED_BYTES = 2048 * MIB
LONGEST_PROBE_LIMIT_S = 300.0

PCI_ID = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE | re.ASCII)


class SettingsError(SirConvertError):
    """A setting is unknown or its value is not allowed. Raised before anything starts."""

    code = "validation_error"
    http_status = 422
    exit_code = ExitCode.USAGE


def write_pci_id(text: str) -> str:
    """The address as the kernel writes it, 0000:65:00.0; from that of `lspci` or `nvidia-smi` too. Raises
    `ValueError`.
    """
    found = PCI_ID.fullmatch(text.strip())
    if found is None:
        raise ValueError("a PCI address looks like 0000:65:00.0 (domain:bus:device.function)")
    domain, bus, device, function = found.groups()
    return f"{int(domain or '0', 16):04x}:{bus}:{device}.{function}".lower()


class Settings(BaseModel):
    """The service's settings. Each is `SIR_CONVERT_A_LOT_<NAME>` in the environment and `<name>` in the TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Where it listens and who may call
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 18085
    api_key: SecretStr | None = None
    insecure_local: bool = False  # no key at all; only on loopback

    # Where it keeps things: database, locks, uploads and results
    storage_root: Path = Path("~/.local/share/sir-convert-a-lot")

    # The GPU
    promised_device: Literal["none", "gpu"] = "none"
    cpu_execution_locked: bool = False  # the GPU lock: refuse whatever would run on the CPU
    gpu_forbidden: bool = False
    probe_ttl_s: Annotated[float, Field(gt=0, le=3600)] = 60.0  # an older look says little of now
    gpu_pci_id: Annotated[str, AfterValidator(write_pci_id)] | None = None  # the one GPU to use; None: torch's first
    gpu_need_bytes: Annotated[int, Field(ge=LEAST_NEED_BYTES)] = LEAST_NEED_BYTES  # free on the GPU to begin with
    gpu_probe_limit_s: Annotated[float, Field(gt=0, le=LONGEST_PROBE_LIMIT_S)] = LONGEST_PROBE_LIMIT_S  # of a rung
    allow_cpu_stages: Literal["none", "ocr"] = "none"  # what a GPU job may do on the CPU; the result says so

    # The models of the engine docling; None: where Docling itself looks
    docling_artifacts_path: Path | None = None

    # Workers
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: min(4, os.cpu_count() or 1))
    gpu_workers: Annotated[int, Field(ge=1, le=64)] = 1  # of them, how many may hold models on the GPU at a time
    worker_max_jobs: Annotated[int, Field(ge=1)] = 200  # then a fresh process
    worker_memory_limit_bytes: Annotated[int, Field(ge=256 * MIB)] = 4096 * MIB  # resident, of one worker's group
    shutdown_grace_s: Annotated[float, Field(ge=0)] = 30.0
    max_recovery_attempts: Annotated[int, Field(ge=1)] = 3

    # Limits on what callers send
    max_upload_bytes: Annotated[int, Field(ge=1)] = 100 * MIB
    max_pages: Annotated[int, Field(ge=1)] = 10_000
    max_page_pixels: Annotated[int, Field(ge=1_000_000)] = 40_000_000  # of one rendered page
    max_queued_jobs: Annotated[int, Field(ge=0)] = 1_000
    max_inline_bytes: Annotated[int, Field(ge=1)] = 10 * MIB  # Markdown inside the result's JSON
    requests_per_minute: Annotated[int, Field(ge=0)] = 6_000  # a key, submits and cancels; 0: no limit
    status_reads_per_minute: Annotated[int, Field(ge=0)] = 6_000  # a key; 0: no limit
    inspection_limit_s: Annotated[float, Field(gt=0)] = 1.0

    # How long things live
    idempotency_ttl_s: Annotated[int, Field(ge=60)] = DAY_S
    raw_retention_s: Annotated[int, Field(ge=60)] = DAY_S
    artifact_retention_s: Annotated[int, Field(ge=60)] = 7 * DAY_S
    sweep_interval_s: Annotated[float, Field(gt=0)] = 600.0

    # What it is, for those who verify a host. None: the commit of the checkout that it was started from, if it was one
    revision: Annotated[str, Field(pattern="^[0-9a-f]{7,64}$")] | None = None

    log_level: Literal["debug", "info", "warning", "error"] = "info"


# Names other than SIR_CONVERT_A_LOT_<FIELD>, most important first: the first that is set wins.
ALIASES: dict[str, tuple[str, ...]] = {
    "storage_root": ("CONVERTER_STORAGE_ROOT", f"{ENV_PREFIX}DATA_DIR", f"{ENV_PREFIX}STORAGE_ROOT"),
    "docling_artifacts_path": ("DOCLING_ARTIFACTS_PATH", f"{ENV_PREFIX}DOCLING_ARTIFACTS_PATH"),
}
# Settings for which an empty text would become the current folder.
FOLDERS = ("storage_root", "docling_artifacts_path")
# Read by clients and the command line, not settings of the service.
OTHER_VARIABLES = frozenset(
    f"{ENV_PREFIX}{name}" for name in ("SERVICE_URL", "CONFIG", "HOSTS", "HEMMA_HOST", "HEMMA_ROOT")
)


def variables_of(name: str) -> tuple[str, ...]:
    """The environment variables that set `name`, most important first."""
    return ALIASES.get(name, (ENV_PREFIX + name.upper(),))


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings and, for each, `default`, `file`, `env NAME` or `flag`."""

    settings: Settings
    origins: dict[str, str]


def load_settings(
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Merge the sources. `overrides` are flags: None means "not given". Raises `SettingsError`, naming the key."""
    environ = os.environ if environ is None else environ
    _refuse_unknown_variables(environ)
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    if config_file is None and f"{ENV_PREFIX}CONFIG" in environ:
        config_file = Path(environ[f"{ENV_PREFIX}CONFIG"])
    if config_file is not None:
        for name, value in _read_file(config_file).items():
            values[name], origins[name] = value, "file"
    for name in Settings.model_fields:
        for variable in reversed(variables_of(name)):
            if variable in environ:
                values[name], origins[name] = environ[variable], f"env {variable}"
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name], origins[name] = value, "flag"
    return LoadedSettings(_validate(values, origins), origins)


def _validate(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    try:
        settings = Settings.model_validate(values)
    except PydanticValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise SettingsError(
            f"setting {name} ({origins.get(name, 'file')}): {first['msg']}",
            details={"field": name, "reason": first["type"]},
        ) from error
    if settings.api_key is not None and not settings.api_key.get_secret_value().strip():
        raise SettingsError(
            "setting api_key is empty: give a key, or none at all with --insecure-local on loopback",
            details={"field": "api_key", "reason": "empty"},
        )
    for name in FOLDERS:
        if isinstance(folder := values.get(name), str) and not folder.strip():
            raise SettingsError(
                f"setting {name} ({origins[name]}) is empty: name a folder, or leave it out",
                details={"field": name, "reason": "empty"},
            )
    models = settings.docling_artifacts_path
    return settings.model_copy(
        update={
            "storage_root": settings.storage_root.expanduser(),
            "docling_artifacts_path": models.expanduser() if models else None,
        }
    )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read settings from {path}: {error}") from error
    for name in table:
        if name not in Settings.model_fields:
            raise SettingsError(
                f"{path}: unknown setting {name!r}{_did_you_mean(name, Settings.model_fields)}",
                details={"field": name, "reason": "unknown"},
            )
    return table


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {variable for name in Settings.model_fields for variable in variables_of(name)} | OTHER_VARIABLES
    for variable in environ:
        if variable.startswith(ENV_PREFIX) and variable not in known:
            raise SettingsError(
                f"unknown variable {variable}{_did_you_mean(variable, known)}",
                details={"field": variable, "reason": "unknown"},
            )


def _did_you_mean(name: str, known: Mapping[str, Any] | set[str] | frozenset[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
