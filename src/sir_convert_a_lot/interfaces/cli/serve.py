"""`convert-a-lot serve`: run the service in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.interfaces.cli.options import ConfigFile


def serve(
    *,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; 127.0.0.1 unless set.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="18085 unless set; 0: any.", show_default=False)
    ] = None,
    storage_root: Annotated[
        Path | None,
        typer.Option("--storage-root", help="Database, uploads and results lie under it.", show_default=False),
    ] = None,
    insecure_local: Annotated[
        bool, typer.Option("--insecure-local", help="Ask nobody for a key; only on loopback.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default=False)
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error.", show_default=False)
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Serve the v1 API until it is told to stop.

    It wants an API key in SIR_CONVERT_A_LOT_API_KEY, or --insecure-local. `convert-a-lot config show` names every
    other setting. SIGTERM and Ctrl-C stop it: running jobs may finish, the rest is run again at the next start.
    """
    from sir_convert_a_lot.bootstrap_hosts import guard_torch_set
    from sir_convert_a_lot.interfaces.http_api.server import serve as serve_api
    from sir_convert_a_lot.settings import load_settings

    guard_torch_set()
    flags = {
        "host": host,
        "port": port,
        "storage_root": storage_root,
        "insecure_local": insecure_local or None,  # a flag that was not given overrides nothing
        "workers": workers,
        "log_level": log_level,
    }
    serve_api(load_settings(config, flags))
