"""Our own documents hold: names are described, and every block does what it says."""

from __future__ import annotations

import pytest

import check_docs


def test_every_setting_command_flag_and_exit_code_is_described() -> None:
    assert check_docs.problems_of_cli_reference() == []


def test_every_route_field_status_and_error_code_that_is_served_is_described() -> None:
    assert check_docs.problems_of_api_reference() == []


@pytest.mark.system("curl")
@pytest.mark.timeout(300)
def test_every_code_block_does_what_it_says() -> None:
    assert check_docs.problems_of_executed_blocks() == []
