"""The command line `convert-a-lot`: its commands, and what every one of them has in common.

Owns the table of commands, usage errors (exit 64) and the last broad except: a bug is told to be reported and exits 70,
with the trace under `--debug`. Exit codes are those of `domain/errors.py`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from sir_convert_a_lot.domain.errors import ExitCode, InternalError, SirConvertError
from sir_convert_a_lot.interfaces.cli import config, gpu, host, models
from sir_convert_a_lot.interfaces.cli.cancel import cancel
from sir_convert_a_lot.interfaces.cli.collect import collect
from sir_convert_a_lot.interfaces.cli.convert import convert
from sir_convert_a_lot.interfaces.cli.doctor import doctor
from sir_convert_a_lot.interfaces.cli.host_bundle import bundle
from sir_convert_a_lot.interfaces.cli.host_repair import repair
from sir_convert_a_lot.interfaces.cli.inspect import inspect
from sir_convert_a_lot.interfaces.cli.list_jobs import list_jobs
from sir_convert_a_lot.interfaces.cli.receipt import receipt
from sir_convert_a_lot.interfaces.cli.serve import serve
from sir_convert_a_lot.interfaces.cli.status import status
from sir_convert_a_lot.interfaces.cli.submit import submit
from sir_convert_a_lot.interfaces.cli.talk import UsageMistake, report, say
from sir_convert_a_lot.interfaces.cli.version import version

PROGRAM = "convert-a-lot"
DEBUG = "--debug"
EPILOG = """\b
To begin with:
  convert-a-lot convert paper.pdf -o out --local --acceleration-policy cpu_only
  convert-a-lot gpu probe
  convert-a-lot serve --insecure-local

\b
Exit codes: 0 done, 1 a document failed, 2 could not tell, 64 wrong command
line or setting, 65 wrong PDF or spec, 69 no service, 70 a bug, 75 no GPU,
77 wrong key, 79 still running, 130 interrupted.
"""

# Typer carries its own copy of Click in some versions and not in others; its public error knows where they come from.
ClickError = cast("type[Exception]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name=PROGRAM,
    help="PDF to Markdown: on the GPU provably, or refused with the reason and the remedy.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog=EPILOG,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="On a bug, show the trace.")] = False,
) -> None:
    """PDF to Markdown: on the GPU provably, or refused with the reason and the remedy."""


for command in (convert, submit, status, collect, cancel, receipt, inspect, serve, doctor, version):
    app.command()(command)
app.command("list")(list_jobs)
app.add_typer(config.app, name="config")
app.add_typer(gpu.app, name="gpu")
app.add_typer(models.app, name="models")
host.app.command()(repair)
host.app.command()(bundle)
app.add_typer(host.app, name="host")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; `arguments` without the program's name."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    try:
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
        return int(code or ExitCode.OK)
    except ClickError as error:
        return _refuse_usage(error, as_json=as_json)
    except SirConvertError as error:
        report(error, as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place where a bug can be told
        return _report_bug(error, with_trace=DEBUG in arguments, as_json=as_json)


def _refuse_usage(error: Any, *, as_json: bool) -> int:
    """Click's own words, with our exit code: 2 stays "could not tell"."""
    if as_json:
        message = error.format_message() or "the command is incomplete"
        report(UsageMistake(message, details={"field": "command_line", "reason": "usage"}), as_json=True)
    else:
        error.show()
    return ExitCode.USAGE


def _report_bug(error: Exception, *, with_trace: bool, as_json: bool) -> int:
    if with_trace:
        say("".join(traceback.format_exception(error)).rstrip())
    told = f"{type(error).__name__}: {error}. This is a bug: please report it"
    hint = "" if with_trace else f", with what `{PROGRAM} {DEBUG} ...` shows for the same command"
    report(InternalError(told + hint), as_json=as_json)
    return ExitCode.INTERNAL
