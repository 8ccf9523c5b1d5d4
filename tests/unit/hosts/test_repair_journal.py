"""What a repair that was found unfinished means: whether the packages that lie there are known."""

from __future__ import annotations

import pytest

from sir_convert_a_lot.domain.repair_actions import Action
from sir_convert_a_lot.domain.repair_journal import Journal, Phase, StepState

INSTALL = Action("install_torch", ("pip", "install", "torch"), "it is missing", "torch_missing", changes_packages=True)
RESTART = Action("restart_unit", ("systemctl", "--user", "restart", "made"), "it is down", "service_down")


def made_journal(*steps: tuple[Action, StepState]) -> Journal:
    actions, states = zip(*steps, strict=True)
    return Journal("run", None, "2026-11-26T20:00:00Z", Phase.APPLYING, actions, states)


@pytest.mark.parametrize(
    ("steps", "is_within"),
    [
        ([(INSTALL, StepState.RUNNING), (RESTART, StepState.PENDING)], True),
        ([(INSTALL, StepState.FAILED), (RESTART, StepState.PENDING)], True),
        ([(INSTALL, StepState.PENDING), (RESTART, StepState.PENDING)], False),  # nothing was begun
        ([(INSTALL, StepState.DONE), (RESTART, StepState.RUNNING)], False),  # a restart leaves packages as they are
        ([(RESTART, StepState.RUNNING)], False),
        ([(INSTALL, StepState.DONE), (RESTART, StepState.DONE)], False),
    ],
)
def test_only_a_step_that_changes_packages_leaves_them_unknown(
    steps: list[tuple[Action, StepState]], is_within: bool
) -> None:
    assert made_journal(*steps).was_cut_off_within is is_within
