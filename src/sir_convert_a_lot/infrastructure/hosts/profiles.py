"""The profiles of hosts: one TOML file, and the environment over it.

Owns where the file is looked for and what may stand in it. Unknown keys are refused by name.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticValidationError

from sir_convert_a_lot.domain.errors import ExitCode, MachineError
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_profile import DEFAULT_PORT, HostProfile, TorchPins
from sir_convert_a_lot.infrastructure.hosts.local import LOCALHOST

SHIPPED = Path(__file__).with_name("hosts.toml")
OWN = Path("~/.config/sir-convert-a-lot/hosts.toml")
HOSTS_VARIABLE = "SIR_CONVERT_A_LOT_HOSTS"
# Over the file, for the host that the scripts under scripts/devops name.
OVERRIDES = {"hemma": ("SIR_CONVERT_A_LOT_HEMMA_HOST", "SIR_CONVERT_A_LOT_HEMMA_ROOT")}
Port = Annotated[int, Field(ge=1, le=65535)]


class HostProfileMissing(MachineError):
    """The file of profiles cannot be read, or knows no such host. `details`: `field`, `reason`."""

    code = "host_profile_missing"
    exit_code = ExitCode.USAGE
    retryable = False


class _Torch(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    packages: dict[str, str]
    index: str | None = None


class _Host(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Annotated[str, Field(min_length=1)]
    ssh: Annotated[str, Field(min_length=1, pattern="^[^-]")] | None = None
    ssh_config: str | None = None
    python: str = ".venv/bin/python"
    runtime_kind: RuntimeKind | None = None
    service_port: Port = DEFAULT_PORT
    evaluation_port: Port | None = None
    service_url: str | None = None
    unit: str = "sir-convert-a-lot.service"
    unit_is_users: bool = True
    torch: _Torch | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: dict[str, _Host]


def load_profile(name: str, file: Path | None = None, environ: Mapping[str, str] | None = None) -> HostProfile:
    """The profile of `name`, with the environment's word over the file's. Raises `HostProfileMissing`.

    Without `file`: the one that the environment names, else the user's own, else the shipped example.
    """
    environ = os.environ if environ is None else environ
    path = find_file(file, environ)
    hosts = _read(path).hosts
    if name not in hosts:
        known = ", ".join(sorted(hosts)) or "none"
        raise HostProfileMissing(
            f"{path} knows no host {name!r}; it knows: {known}", details={"field": "host", "reason": "unknown"}
        )
    return _override(_profile(name, hosts[name]), environ)


def this_machine(service_port: int) -> HostProfile:
    """The machine that this runs on, of which nothing is expected beforehand. `root` is the checkout that this code
    lies in, else the account's home.
    """
    checkout = Path(__file__).resolve().parents[4]
    root = checkout if (checkout / "pyproject.toml").is_file() else Path.home()
    return HostProfile(name=LOCALHOST, root=str(root), python=sys.executable, service_port=service_port)


def list_profiles_of_this_machine(environ: Mapping[str, str]) -> list[HostProfile]:
    """Those without `ssh` in the operator's own file; none where there is no such file. Raises `HostProfileMissing`."""
    path = find_file(None, environ)
    if path == SHIPPED:
        return []
    return [_profile(name, host) for name, host in _read(path).hosts.items() if host.ssh is None]


def find_file(file: Path | None, environ: Mapping[str, str]) -> Path:
    if file is not None:
        return file
    if named := environ.get(HOSTS_VARIABLE):
        return Path(named).expanduser()
    own = OWN.expanduser()
    return own if own.is_file() else SHIPPED


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HostProfileMissing(f"cannot read the hosts of {path}: {error}", details={"field": "hosts"}) from error
    except PydanticValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HostProfileMissing(
            f"{path}: {where}: {first['msg']}", details={"field": where, "reason": first["type"]}
        ) from error


def _profile(name: str, host: _Host) -> HostProfile:
    torch = host.torch
    pins = None if torch is None else TorchPins(torch.family, torch.packages, torch.index)
    return HostProfile(name=name, **{**host.model_dump(exclude={"torch"}), "torch": pins})


def _override(profile: HostProfile, environ: Mapping[str, str]) -> HostProfile:
    host_variable, root_variable = OVERRIDES.get(profile.name, ("", ""))
    ssh, root = environ.get(host_variable) or profile.ssh, environ.get(root_variable) or profile.root
    return replace(profile, ssh=ssh, root=root)
