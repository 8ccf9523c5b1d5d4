"""`convert-a-lot doctor`: how this installation is, and what to do next. For people; a gate is `host verify`."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.options import connect
from sir_convert_a_lot.interfaces.cli.talk import answer, answer_json
from sir_convert_a_lot.interfaces.cli.version import DISTRIBUTION

if TYPE_CHECKING:
    from sir_convert_a_lot.domain.gpu_facts import ProbeSnapshot

GIB = 1024**3
SkipGpu = Annotated[bool, typer.Option("--skip-gpu", help="Leave out the probe, which may take a minute with a GPU.")]


def doctor(
    *,
    service_url: options.ServiceUrl = options.DEFAULT_SERVICE_URL,
    skip_gpu: SkipGpu = False,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Show how this installation is, and what to do next.

    Exits 0 whatever it shows; whether a host is fit for its GPU is asked with `host verify`.
    """
    from sir_convert_a_lot.bootstrap import probe_gpu
    from sir_convert_a_lot.settings import load_settings

    seen = _look(service_url, config)
    snapshot = None if skip_gpu else probe_gpu(settings=load_settings(config).settings)
    seen["gpu"] = None if snapshot is None else _tell_gpu(snapshot)
    seen["next"] = _advise(seen, snapshot)
    if as_json:
        answer_json(seen)
    else:
        _show(seen)


def _look(service_url: str, config: options.ConfigFile) -> dict[str, Any]:
    from sir_convert_a_lot.bootstrap_hosts import look_at_installation, read_own_revision
    from sir_convert_a_lot.settings import load_settings

    installation = look_at_installation(load_settings(config).settings)
    return {
        "version": version_of(DISTRIBUTION),
        "revision": read_own_revision(),
        "python": platform.python_version(),
        "now": time.time(),  # of this machine's clock
        "engines": list(installation.engines),
        "models": {
            "engine_installed": installation.gpu_engine_is_installed,
            "missing": list(installation.missing_models),
        },
        "storage": {
            "root": str(installation.storage_root),
            "is_writable": installation.storage_is_writable,
            "free_bytes": installation.free_bytes,
        },
        "service": _ask_service(service_url),
    }


def _ask_service(service_url: str) -> dict[str, Any]:
    """`state`: ready | not_ready | not_running | unknown."""
    try:
        with connect(service_url, None) as client:
            status, body = client.look("/readyz")
    except SirConvertError as error:
        return {"url": service_url, "state": "not_running", "cause": error.message}
    gpu = body.get("gpu")
    cause = gpu.get("cause") if isinstance(gpu, dict) else None
    if not isinstance(gpu, dict):
        return {"url": service_url, "state": "unknown", "cause": f"{service_url} is not this service"}
    return {"url": service_url, "state": "ready" if status == 200 else "not_ready", "cause": cause}


def _tell_gpu(snapshot: ProbeSnapshot) -> dict[str, Any]:
    return {
        "is_available": snapshot.is_available,
        "cause": snapshot.cause.value if snapshot.cause else None,
        "device_name": snapshot.device_name,
        "runtime_kind": snapshot.runtime_kind.value,
    }


def _advise(seen: dict[str, Any], snapshot: ProbeSnapshot | None) -> list[str]:
    """What to do next, most pressing first; never empty."""
    advice = []
    if not seen["storage"]["is_writable"]:
        advice.append(f"Make {seen['storage']['root']} writable, or set CONVERTER_STORAGE_ROOT")
    has_gpu = snapshot is not None and snapshot.is_available
    if snapshot is not None and not has_gpu:
        advice += [remedy.sentence for remedy in snapshot.remediation]
    if has_gpu and not seen["models"]["engine_installed"]:
        advice.append("Install the engine that runs on the GPU: pdm install -G docling")
    elif seen["models"]["engine_installed"] and seen["models"]["missing"]:
        advice.append("Fetch the models: convert-a-lot models download")
    if seen["service"]["state"] == "not_running":
        advice.append("Start the service: convert-a-lot serve, with SIR_CONVERT_A_LOT_API_KEY set")
    policy = "" if has_gpu else " --acceleration-policy cpu_only"
    advice.append(f"Convert: convert-a-lot convert paper.pdf -o out --local{policy}")
    return advice


def _show(seen: dict[str, Any]) -> None:
    models, storage, service = seen["models"], seen["storage"], seen["service"]
    revision = f", revision {seen['revision'][:12]}" if seen["revision"] else ""
    answer(f"install:  version {seen['version']}{revision}, Python {seen['python']}")
    answer(f"engines:  {', '.join(seen['engines'])}")
    missing = f"{len(models['missing'])} files missing" if models["missing"] else "all there"
    answer(f"models:   {missing if models['engine_installed'] else 'not needed: docling is not installed'}")
    free = storage["free_bytes"]
    room = "room not read" if free is None else f"{free / GIB:.1f} GiB free"
    answer(f"storage:  {storage['root']}, {room}{'' if storage['is_writable'] else ', cannot be written'}")
    cause = f" ({service['cause']})" if service["cause"] and service["state"] != "ready" else ""
    answer(f"service:  {service['state'].replace('_', ' ')} at {service['url']}{cause}")
    gpu = seen["gpu"]
    if gpu is not None:
        proven, not_proven = f"proven: {gpu['device_name']}", f"not proven: {gpu['cause']}"
        answer(f"GPU:      {proven if gpu['is_available'] else not_proven}")
    for line in seen["next"]:
        answer(f"next:     {line}")
