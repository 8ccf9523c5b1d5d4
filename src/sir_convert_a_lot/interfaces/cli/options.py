"""Options that several commands share, and the spec and the client that they make.

Owns flag names, their variables, their help and their defaults.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sir_convert_a_lot.domain.errors import ValidationError
from sir_convert_a_lot.domain.job_spec import (
    AccelerationPolicy,
    BackendStrategy,
    Conversion,
    Execution,
    JobSpec,
    Normalize,
    OcrMode,
    Priority,
    Retention,
    Source,
    TableMode,
)
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake

if TYPE_CHECKING:
    from sir_convert_a_lot.interfaces.client.service import ServiceClient

T = TypeVar("T")

Sources = Annotated[
    list[Path], typer.Argument(metavar="SOURCE...", help="PDF files and folders of PDF files.", show_default=False)
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", "-o", help="Where the Markdown is written.", show_default=False)
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job id: job_...", show_default=False)]
ServiceUrl = Annotated[
    str, typer.Option("--service-url", envvar="SIR_CONVERT_A_LOT_SERVICE_URL", help="The service to ask.")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="SIR_CONVERT_A_LOT_API_KEY",
        help="Its API key. The variable is safer: flags are seen by every user of the machine.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout; errors too.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into the folders of a folder too.")]

Policy = Annotated[
    AccelerationPolicy,
    typer.Option("--acceleration-policy", help="gpu_required runs on the GPU or is refused; it never falls back."),
]
Backend = Annotated[
    BackendStrategy,
    typer.Option("--backend-strategy", help="auto: Docling under a GPU policy, the built-in engine under cpu_only."),
]
Ocr = Annotated[OcrMode, typer.Option("--ocr-mode", help="auto: only where a first pass found too little text.")]
Tables = Annotated[
    TableMode, typer.Option("--table-mode", help="accurate: more time on tables, in engines that have such a mode.")
]
Tidy = Annotated[
    Normalize,
    typer.Option(
        "--normalize",
        help="none: as the engine wrote it; standard: white space tidied; strict: lines filled to 100 characters too.",
    ),
]
Urgency = Annotated[Priority, typer.Option("--priority", help="high overtakes normal in the queue.")]
DocumentTimeout = Annotated[
    int,
    typer.Option(
        "--document-timeout-seconds", min=30, max=7200, help="A conversion that takes longer is stopped and fails."
    ),
]
Pin = Annotated[bool, typer.Option("--pin", help="Keep the job's files until they are unpinned.")]

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A TOML file of settings; else the one that SIR_CONVERT_A_LOT_CONFIG names.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]

DEFAULT_SERVICE_URL = "http://127.0.0.1:18085"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for every document of one command: a job spec but for the file name."""

    conversion: Conversion
    execution: Execution
    retention: Retention

    def spec_for(self, pdf: Path) -> JobSpec:
        """The spec for `pdf`. Bytes of its name that are no UTF-8 become U+FFFD: JSON cannot carry them."""
        name = os.fsencode(pdf.name).decode("utf-8", "replace")
        return JobSpec(
            api_version="v1",
            source=Source(kind="upload", filename=name),
            conversion=self.conversion,
            execution=self.execution,
            retention=self.retention,
        )


def make_wish(
    *,
    acceleration_policy: Policy = AccelerationPolicy.GPU_REQUIRED,
    backend_strategy: Backend = BackendStrategy.AUTO,
    ocr_mode: Ocr = OcrMode.AUTO,
    table_mode: Tables = TableMode.FAST,
    normalize: Tidy = Normalize.STANDARD,
    priority: Urgency = Priority.NORMAL,
    document_timeout_seconds: DocumentTimeout = 1800,
    pin: Pin = False,
) -> Wish:
    """The options of a job spec, under the names of their flags."""
    return Wish(
        Conversion(backend_strategy=backend_strategy, ocr_mode=ocr_mode, table_mode=table_mode, normalize=normalize),
        Execution(
            acceleration_policy=acceleration_policy,
            priority=priority,
            document_timeout_seconds=document_timeout_seconds,
        ),
        Retention(pin=pin),
    )


def takes_wish(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command with the parameter `wish` the options that make one, in that parameter's place.

    Typer reads options from a signature, so the new one is written down in full: that of `command`, with the parameters
    of `make_wish` for `wish`.
    """
    asked = inspect.signature(make_wish, eval_str=True).parameters
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += asked.values() if parameter.name == "wish" else [parameter]

    @functools.wraps(command)
    def with_options(*positional: Any, **named: Any) -> T:
        wish = make_wish(**{name: named.pop(name) for name in asked if name in named})
        return command(*positional, wish=wish, **named)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def connect(service_url: str, api_key: str | None, stop: threading.Event | None = None) -> ServiceClient:
    """A client of the service; imported here, so that `serve` and `version` never load an HTTP client."""
    from sir_convert_a_lot.interfaces.client.service import ServiceClient

    try:
        return ServiceClient(service_url, api_key, stop=stop)
    except ValidationError as error:
        raise UsageMistake(f"--service-url: {error.message}", details=error.details) from error
