"""The checks of the documents find what is wrong, and find nothing wrong with ours."""

from __future__ import annotations

from pathlib import Path

import pytest

import check_docs
import doc_blocks

OPENAPI = {
    "paths": {
        "/v1/things": {
            "post": {
                "parameters": [{"name": "wait_seconds"}],
                "responses": {"202": {}, "429": {}, "default": {}},
            }
        }
    },
    "components": {
        "schemas": {"Thing": {"properties": {"colour": {}}}, "HTTPValidationError": {"properties": {"detail": {}}}}
    },
}


def test_our_links_lead_somewhere() -> None:
    assert check_docs.problems_of_links() == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[gone](gone.md)", "leads to no file"),
        ("[gone](#no-such-heading)", "leads to no heading"),
        ("[gone](there.md#no-such-heading)", "leads to no heading"),
        ("![gone](gone.png)", "leads to no file"),
    ],
)
def test_a_link_to_nowhere_is_found(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "there.md").write_text("# There\n", encoding="utf-8")
    document = tmp_path / "page.md"
    document.write_text(text, encoding="utf-8")
    (problem,) = check_docs.broken_links(document, tmp_path)
    assert found in problem


def test_good_links_pass(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# It's `convert`, *here*\n\n# Twice\n\n# Twice\n", encoding="utf-8")
    document = tmp_path / "page.md"
    document.write_text(
        "# A page\n[a](there.md) [b](there.md#its-convert-here) [c](#a-page) [d](there.md#twice-1) [e](https://example.org)\n",
        encoding="utf-8",
    )
    assert check_docs.broken_links(document, tmp_path) == []


@pytest.mark.parametrize("text", ["nothing", "max_pages without backticks", "`max_pages_more`", "`--max-pages-x`"])
def test_a_name_that_is_not_described_is_found(text: str) -> None:
    assert check_docs.missing_names(["max_pages", "--max-pages"], text, "name") == [
        "the name max_pages is not described",
        "the name --max-pages is not described",
    ]


def test_a_name_in_a_code_span_a_table_or_a_block_is_described() -> None:
    for text in ("`max_pages`", "| a | b |\n|---|---|\n| `max_pages` | 3 |", '```json\n{"max_pages": 3}\n```'):
        assert check_docs.missing_names(["max_pages"], text, "name") == []


def test_the_names_come_from_the_product() -> None:
    assert "max_upload_bytes" in check_docs.setting_names()
    assert "CONVERTER_STORAGE_ROOT" in check_docs.setting_names()
    assert {"gpu_not_available", "document_timeout", "internal_error"} <= check_docs.error_codes()
    assert "64" in check_docs.exit_codes()


def test_routes_fields_and_status_lines_come_from_the_openapi() -> None:
    assert check_docs.route_names(OPENAPI) == ["POST /v1/things"]
    assert check_docs.field_names(OPENAPI) == {"colour", "wait_seconds"}
    assert check_docs.status_lines(OPENAPI) == {"202", "429"}


def test_a_console_block_splits_into_commands_and_what_they_print() -> None:
    steps = doc_blocks.steps_of("$ one \\\n>   two\nseen\n\nmore\n$ three\n")
    assert steps == [doc_blocks.Step("one   two", "seen\n\nmore"), doc_blocks.Step("three", "")]


@pytest.mark.parametrize(
    ("expected", "seen", "holds"),
    [
        ("a\nb", "a  \nb\n", True),
        ("a ... c", "a b\nb c", True),
        ("...", "anything", True),
        ("a", "a b", False),
        ("a.c", "abc", False),
    ],
)
def test_what_was_printed_is_held_against_what_is_written(expected: str, seen: str, holds: bool) -> None:
    assert doc_blocks.is_as_expected(expected, seen) is holds


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("```console\n$ false\n```", "ended with 1"),
        ("```console\n$ echo one\ntwo\n```", "printed"),
        ("```python\nraise SystemExit(3)\n```", "ended with 3"),
        ("```json\n{\n```", "does not parse"),
        ("```toml\na =\n```", "does not parse"),
        ("```console\n$ exit-at-once &\n```", "ended with 1"),
    ],
)
def test_a_block_that_does_not_hold_is_found(tmp_path: Path, block: str, found: str) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"Words.\n\n{block}\n", encoding="utf-8")
    folder = tmp_path / "session"
    folder.mkdir()
    (problem,) = doc_blocks.problems_of_blocks(document, folder)
    assert problem.startswith("page.md:3: ")
    assert found in problem


def test_what_one_block_exports_the_next_one_sees(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "```console\n$ export COLOUR=red\n```\n\n"
        "```console\n$ echo $COLOUR; ls examples/digital.pdf\nred\nexamples/digital.pdf\n```\n\n"
        "```sh\nfalse\n```\n\n"
        "```python\nimport os\nassert os.environ['COLOUR'] == 'red'\n```\n",
        encoding="utf-8",
    )
    folder = tmp_path / "session"
    folder.mkdir()
    assert doc_blocks.problems_of_blocks(document, folder) == []


def test_make_runs_in_the_checkout_and_all_else_in_the_folder(tmp_path: Path) -> None:
    session = doc_blocks.Session(tmp_path)
    assert session.run("make help | head -n 1; echo $PWD") == (
        0,
        f"Two commands for someone new, with nothing but Python 3.11+ and make:\n{doc_blocks.ROOT}\n",
    )
    assert session.run("echo $PWD") == (0, f"{tmp_path}\n")
