"""Checks that the documents are true: `pdm run check:docs`.

Owns what "true" means here: links lead somewhere, code blocks run (`doc_blocks.py`), and every setting, command, flag,
exit code, error code, route and field that the product has is named in the reference. Each check is a function that
takes text and facts and gives back problems, so that a test can show that it fails.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from convert_one import ask, running_service
from doc_blocks import problems_of_blocks
from sir_convert_a_lot import domain
from sir_convert_a_lot.domain import errors
from sir_convert_a_lot.domain.errors import ExitCode, SirConvertError
from sir_convert_a_lot.domain.gpu_activity import ActivitySample, GpuActivity, ReceiptDevice
from sir_convert_a_lot.domain.receipt import ExecutionReceipt, StageReceipt
from sir_convert_a_lot.infrastructure import hosts
from sir_convert_a_lot.interfaces import cli
from sir_convert_a_lot.settings import Settings, variables_of

ROOT = Path(__file__).resolve().parent.parent
CLI_REFERENCE = ROOT / "docs" / "converters" / "sir_convert_a_lot.md"
API_REFERENCE = ROOT / "docs" / "converters" / "pdf_to_md_service_api_v1.md"

# Documents whose blocks are run. Decisions speak of other days.
EXECUTED = ("README.md", "CONTRIBUTING.md", "docs/quickstart.md", "docs/converters/*.md", "docs/runbooks/*.md")

# Where errors are declared: whoever was imported by chance decides nothing.
WITH_ERRORS = (domain, cli, hosts)

METHODS = ("get", "post", "put", "patch", "delete")
# FastAPI's own words for a refused request, which this API replaces with its error envelope.
FOREIGN_SCHEMAS = ("HTTPValidationError", "ValidationError")


def documents(root: Path = ROOT) -> list[Path]:
    """Every Markdown file that git knows or would add, but for the truth of the examples."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=root, text=True, capture_output=True, check=True,
    )  # fmt: skip
    found = sorted(root / name for name in listed.stdout.splitlines() if not name.startswith("examples/truth/"))
    return [document for document in found if document.exists()]


# --- links -----------------------------------------------------------------------------------------------------------


def tokens_of(markdown: str) -> Iterator[Token]:
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        yield token
        yield from token.children or ()


def anchors_of(markdown: str) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    anchors: set[str] = set()
    tokens = MarkdownIt("commonmark").parse(markdown)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            shown = "".join(part.content for part in token.children or ())
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            number = 1
            unique = slug
            while unique in anchors:
                unique, number = f"{slug}-{number}", number + 1
            anchors.add(unique)
    return anchors


def links_of(markdown: str) -> list[str]:
    targets = [token.attrGet("href") or token.attrGet("src") for token in tokens_of(markdown)]
    return [str(target) for target in targets if target]


def broken_links(document: Path, root: Path = ROOT) -> list[str]:
    """Relative links that lead to no file or no heading. Links to other hosts are not followed."""
    problems = []
    for link in links_of(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists():
            problems.append(f"{document.relative_to(root)}: {link} leads to no file")
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text(encoding="utf-8")):
            problems.append(f"{document.relative_to(root)}: {link} leads to no heading")
    return problems


# --- names -----------------------------------------------------------------------------------------------------------


def missing_names(names: Iterable[str], text: str, kind: str) -> list[str]:
    """The names that `text` does not hold between backticks, alone or with more around them."""
    spans = " ".join(token.content for token in tokens_of(text) if token.type in ("code_inline", "fence"))
    return [
        f"the {kind} {name} is not described"
        for name in names
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", spans)
    ]


def setting_names() -> list[str]:
    names = list(Settings.model_fields)
    return [*names, *(variable for name in names for variable in variables_of(name))]


def error_codes(base: type[SirConvertError] = SirConvertError) -> set[str]:
    """Every code in the tree of errors, also of those that only the command line and the hosts know."""
    for package in WITH_ERRORS:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return _codes_below(base)


def _codes_below(base: type[SirConvertError]) -> set[str]:
    return {base.code}.union(*(_codes_below(child) for child in base.__subclasses__()))


def api_error_codes() -> set[str]:
    """The codes that a service answers with."""
    return {
        error.code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, SirConvertError)
    }


def exit_codes() -> list[str]:
    return [str(code.value) for code in ExitCode]


def command_names(command: Any, path: str = "") -> set[str]:
    """`convert`, `config show`, ..., and the long form of every flag."""
    names = {path} if path else set()
    for parameter in command.params:
        if parameter.param_type_name == "option":
            names |= {name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")}
    for name, child in getattr(command, "commands", {}).items():
        names |= command_names(child, f"{path} {name}".strip())
    return names - {"--help", "--install-completion", "--show-completion"}


def route_names(openapi: dict[str, Any]) -> list[str]:
    """`POST /v1/convert/jobs`, and so on."""
    return [
        f"{method.upper()} {path}"
        for path, operations in openapi["paths"].items()
        for method in operations
        if method in METHODS
    ]


def field_names(openapi: dict[str, Any]) -> set[str]:
    """Every field of every body, and every query parameter and header."""
    schemas = openapi.get("components", {}).get("schemas", {})
    names = {
        field
        for schema_name, schema in schemas.items()
        if schema_name not in FOREIGN_SCHEMAS
        for field in schema.get("properties", {})
    }
    for operations in openapi["paths"].values():
        for operation in operations.values():
            names |= {parameter["name"] for parameter in operation.get("parameters", ())}
    return names


def receipt_fields() -> set[str]:
    """Every field of the receipt, which the OpenAPI leaves open."""
    parts = (ExecutionReceipt, StageReceipt, ReceiptDevice, GpuActivity, ActivitySample)
    return {field.name for part in parts for field in dataclasses.fields(part)}


def status_lines(openapi: dict[str, Any]) -> set[str]:
    return {
        status
        for operations in openapi["paths"].values()
        for operation in operations.values()
        for status in operation.get("responses", {})
        if status.isdigit()
    }


# --- all of it -------------------------------------------------------------------------------------------------------


def served_openapi() -> dict[str, Any]:
    """The OpenAPI that a running service answers with."""
    with tempfile.TemporaryDirectory(prefix="check-docs-") as folder, running_service(Path(folder)) as service:
        status, body = ask(service.port, "/openapi.json", service.api_key)
        if status != 200:
            raise SystemExit(f"/openapi.json answered {status}")
        openapi: dict[str, Any] = json.loads(body)
        return openapi


def problems_of_links() -> list[str]:
    return [problem for document in documents() for problem in broken_links(document)]


def problems_of_cli_reference() -> list[str]:
    from sir_convert_a_lot.interfaces.cli.app import app
    from sir_convert_a_lot.interfaces.cli.outcome import JOB_TIMEOUT

    text = CLI_REFERENCE.read_text(encoding="utf-8")
    return [
        *missing_names(setting_names(), text, "setting"),
        *missing_names(sorted(command_names(typer.main.get_command(app))), text, "command or flag"),
        *missing_names(exit_codes(), text, "exit code"),
        *missing_names(sorted({JOB_TIMEOUT, *error_codes()} - api_error_codes()), text, "error code"),
    ]


def problems_of_api_reference() -> list[str]:
    text, openapi = API_REFERENCE.read_text(encoding="utf-8"), served_openapi()
    return [
        *missing_names(sorted(api_error_codes()), text, "error code"),
        *missing_names(route_names(openapi), text, "route"),
        *missing_names(sorted(field_names(openapi)), text, "field"),
        *missing_names(sorted(receipt_fields()), text, "field of the receipt"),
        *missing_names(sorted(status_lines(openapi)), text, "status"),
    ]


def problems_of_executed_blocks() -> list[str]:
    problems: list[str] = []
    for document in sorted({found for pattern in EXECUTED for found in ROOT.glob(pattern)}):
        with tempfile.TemporaryDirectory(prefix="doc-blocks-") as folder:
            problems += problems_of_blocks(document, Path(folder))
    return problems


CHECKS = {
    "links": problems_of_links,
    "cli reference": problems_of_cli_reference,
    "api reference": problems_of_api_reference,
    "code blocks": problems_of_executed_blocks,
}


def main() -> int:
    count = 0
    for name, check in CHECKS.items():
        problems = check()
        print(f"{'FAILED' if problems else 'ok    '} {name}", flush=True)
        for problem in problems:
            print(f"  {problem}")
        count += len(problems)
    print(f"{count} problems in the documents." if count else "The documents hold.")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
