"""`convert-a-lot config show`: every setting, its value and where that came from."""

from __future__ import annotations

import os
from typing import Any

import typer

from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.talk import answer_json, answer_table

HIDDEN = "********"
SERVICE_URL_VARIABLE = "SIR_CONVERT_A_LOT_SERVICE_URL"

app = typer.Typer(help="The settings in force.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """The settings in force."""


@app.command()
def show(config: options.ConfigFile = None, as_json: options.Json = False) -> None:
    """Show every setting, its value and its origin.

    The origin is default, file or env NAME. Secrets are hidden.

    `service_url` is read by the client commands, all the others by the service.
    """
    from sir_convert_a_lot.settings import load_settings

    loaded = load_settings(config)
    values = {name: _shown(value) for name, value in loaded.settings}
    origins = dict(loaded.origins)
    values["service_url"] = os.environ.get(SERVICE_URL_VARIABLE, options.DEFAULT_SERVICE_URL)
    origins["service_url"] = f"env {SERVICE_URL_VARIABLE}" if SERVICE_URL_VARIABLE in os.environ else "default"
    if as_json:
        answer_json({"settings": {name: {"value": values[name], "origin": origins[name]} for name in sorted(values)}})
        return
    answer_table(
        ("setting", "value", "origin"),
        [(name, "-" if values[name] is None else str(values[name]), origins[name]) for name in sorted(values)],
    )


def _shown(value: Any) -> Any:
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        return HIDDEN
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
