"""What a person reads about a refusal: a wait is only suggested where waiting can help."""

from __future__ import annotations

import pytest

from sir_convert_a_lot.domain.errors import GpuNotAvailable
from sir_convert_a_lot.domain.gpu_causes import CAUSES, Cause
from sir_convert_a_lot.interfaces.cli.talk import error_object, explain

PASSING = {"vram_exhausted", "exclusive_or_busy", "fabric_not_ready", "gpu_fault_sticky", "probe_incomplete"}


def refuse(cause: str) -> GpuNotAvailable:
    details = {"cause": cause, "rung": "hardware", "evidence": ["seen"], "remediation": ["do this"]}
    return GpuNotAvailable("refused", details=details, retry_after_s=60)


@pytest.mark.parametrize("cause", [cause for cause, entry in CAUSES.items() if not entry.is_warning_only])
def test_a_wait_is_suggested_only_for_a_cause_that_may_be_over_by_itself(cause: Cause) -> None:
    lines = explain(refuse(cause.value))
    assert any(line.startswith("  retry:") for line in lines) == (cause.value in PASSING)
    assert "  remedy:   do this" in lines


def test_a_cause_of_a_newer_service_is_believed_to_pass_if_that_service_says_so() -> None:
    assert any(line.startswith("  retry:") for line in explain(refuse("a_cause_of_tomorrow")))


def test_programs_are_told_as_the_contract_says_whatever_the_cause() -> None:
    assert error_object(refuse("no_gpu_hardware"))["retryable"] is True
