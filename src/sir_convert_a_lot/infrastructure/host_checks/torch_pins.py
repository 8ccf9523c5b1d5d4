"""The torch builds that a host should have: what its profile says, else what the project that lies there pins."""

from __future__ import annotations

import tomllib
from typing import Any

from sir_convert_a_lot.application.host_ports import Host
from sir_convert_a_lot.domain.gpu_facts import Absent, Fact, Present, RuntimeKind, Unknown
from sir_convert_a_lot.domain.host_profile import HostProfile, TorchPins


def read_pins(host: Host, profile: HostProfile, kind: RuntimeKind) -> Fact[TorchPins]:
    """`[tool.sir_convert_a_lot.<kind>_runtime]` of the `pyproject.toml` under the host's root. Absent: it has none."""
    if profile.torch is not None:
        return Present(profile.torch)
    content = host.read_file(f"{profile.root}/pyproject.toml")
    if not isinstance(content, Present):
        return content
    return parse_pins(content.value, kind)


def parse_pins(pyproject: bytes, kind: RuntimeKind) -> Fact[TorchPins]:
    try:
        project: dict[str, Any] = tomllib.loads(pyproject.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Unknown(f"pyproject.toml of the host cannot be read: {error}")
    table = project.get("tool", {}).get("sir_convert_a_lot", {}).get(f"{kind.value}_runtime")
    if table is None:
        return Absent(f"pyproject.toml of the host pins no builds for {kind.value}")
    try:
        packages = {str(name): str(version) for name, version in table["packages"].items()}
        return Present(TorchPins(str(table["family"]), packages, table.get("index")))
    except (KeyError, AttributeError, TypeError) as error:
        return Unknown(f"[tool.sir_convert_a_lot.{kind.value}_runtime] of the host's pyproject.toml: {error!r}")
