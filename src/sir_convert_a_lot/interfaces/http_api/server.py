"""Serve the API: one process, one listener, graceful stop.

Owns the check that callers must have a key, the listening socket, and the order of stopping: no new requests, waiting
clients answered, then the job engine within its grace time. Refuses to know what the service is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from sir_convert_a_lot.bootstrap import Service, build_service
from sir_convert_a_lot.interfaces.http_api.app import create_app
from sir_convert_a_lot.interfaces.http_api.auth import Access
from sir_convert_a_lot.interfaces.http_api.context import ApiContext
from sir_convert_a_lot.interfaces.http_api.log_output import configure_logs
from sir_convert_a_lot.interfaces.http_api.metrics import Metrics
from sir_convert_a_lot.interfaces.http_api.rate_limits import RequestRates
from sir_convert_a_lot.interfaces.http_api.upload import UploadLimits
from sir_convert_a_lot.settings import LoadedSettings, Settings, SettingsError

BACKLOG = 2048
KEEP_ALIVE_S = 30
# Answers under way at a stop get so long; long-polls and event streams end at once.
DRAIN_S = 10

log = structlog.get_logger(__name__)
# Whoever started the service with port 0 reads the address from this line, whatever the log level.
ANNOUNCEMENTS = f"{__name__}.announcements"
announcements = structlog.get_logger(ANNOUNCEMENTS)


def serve(loaded: LoadedSettings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once. Raises `SettingsError` before it listens
    when nobody could be told from anybody, or when the address cannot be had.
    """
    check_access(loaded.settings)
    with listen(loaded.settings.host, loaded.settings.port) as listener:
        configure_logs(loaded.settings.log_level)
        logging.getLogger(ANNOUNCEMENTS).setLevel(logging.INFO)
        asyncio.run(_serve(loaded, listener))


def check_access(settings: Settings) -> None:
    """Raise `SettingsError` unless there is a key, or the service is for this machine alone and says so."""
    if settings.api_key is not None:
        return
    if not settings.insecure_local:
        raise SettingsError(
            "no API key is set: set SIR_CONVERT_A_LOT_API_KEY, or give --insecure-local on loopback",
            details={"field": "api_key", "reason": "missing"},
        )
    if not is_loopback(settings.host):
        raise SettingsError(
            f"--insecure-local is for loopback, and {settings.host} is not: set SIR_CONVERT_A_LOT_API_KEY",
            details={"field": "insecure_local", "reason": "not_loopback"},
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than `localhost` is not taken for loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket; port 0 takes a free one. Raises `SettingsError` when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}", details={"field": "port", "reason": "cannot_listen"}
        ) from error
    with listener:
        yield listener


def build_context(service: Service, loaded: LoadedSettings) -> ApiContext:
    """The routes' view of the service."""
    settings = loaded.settings
    key = settings.api_key
    metrics = Metrics()
    service.jobs.on_end(metrics.count_end)
    return ApiContext(
        admission=service.admission,
        jobs=service.jobs,
        new_upload_path=service.files.new_upload_path,
        probe=service.probe,
        rules=service.rules,
        uploads=UploadLimits(settings.max_upload_bytes),
        max_inline_bytes=settings.max_inline_bytes,
        access=Access(None if key is None else key.get_secret_value()),
        rates=RequestRates(
            submits=_effective_rate(loaded, "requests_per_minute"),
            reads=_effective_rate(loaded, "status_reads_per_minute"),
        ),
        is_healthy=service.is_healthy,
        revision=service.revision,
        metrics=metrics,
    )


def _effective_rate(loaded: LoadedSettings, name: str) -> int:
    """On loopback the default is no limit; a limit that somebody set holds everywhere."""
    if loaded.origins[name] == "default" and is_loopback(loaded.settings.host):
        return 0
    return int(getattr(loaded.settings, name))


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: its own handling raises the signal again before the job engine could stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            _announce(listener)


async def _serve(loaded: LoadedSettings, listener: socket.socket) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with build_service(loaded.settings) as service:
        context = build_context(service, loaded)
        await _answer_until(stop, context, listener)
    log.info("stopped")


async def _answer_until(stop: asyncio.Event, context: ApiContext, listener: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(context),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    context.stopping.set()
    server.should_exit = True
    stopping.cancel()
    await serving


def _announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    announcements.info("listening", url=f"http://{shown}:{port}")


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        log.info("stopping")
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # the next one ends the process at once

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop)
