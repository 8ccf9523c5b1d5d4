"""Check 2: the probe, run on the host in the project's own environment, climbs its whole ladder.

The probe decides, this check reads: whatever it does not say in full is no yes. A snapshot of a simulated root is
refused by name.
"""

from __future__ import annotations

from typing import Any

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import LADDER, RungState
from sir_convert_a_lot.domain.host_access import Ending, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.host_checks.findings import (
    failed,
    hung,
    lines_of,
    passed,
    read_object,
    remedies_of_cause,
    unknown,
)

# The sum of the probe's own limits a rung (`gpu_runtime_probe.child_supervisor.LIMITS_S`) and some time to start.
LIMIT_S = 600.0


class GpuProbeCheck:
    name = "gpu_probe"
    needs = ("project",)

    def look(self, site: CheckSite) -> CheckReport:
        profile = site.profile
        command = HostCommand([profile.command, "gpu", "probe", "--json"], timeout_s=LIMIT_S, directory=profile.root)
        outcome = site.host.run(command)
        raw = {"gpu_probe.json": outcome.stdout}
        if outcome.ending is Ending.TIMED_OUT:
            return CheckReport((hung(self.name, outcome),), raw)
        told = read_object(outcome.text)
        if told is None or "is_available" not in told:
            remedy = Remedy("Bring the project on the host to this version, then its environment", "pdm install")
            finding = unknown(
                self.name, "probe_unreadable", "the probe on the host says nothing readable", lines_of(outcome), remedy
            )
            return CheckReport((finding,), raw)
        return CheckReport((self._judge(told, profile),), raw)

    def _judge(self, told: dict[str, Any], profile: HostProfile) -> Finding:
        seen = tell_ladder(told)
        cause = told.get("cause")
        if cause is not None and cause != Cause.PROBE_INCOMPLETE.value:
            summary = f"the ladder ends at {told.get('rung')}: {cause}"
            return failed(self.name, str(cause), summary, seen, *remedies_of_cause(cause, told.get("remediation")))
        if told.get("simulated") is not False:
            summary = "the probe looked at a stand-in, not at the host: that proves nothing"
            remedy = Remedy("Run the project's own probe on the host", f"{profile.command} gpu probe")
            return failed(self.name, "probe_simulated", summary, seen, remedy)
        if told["is_available"] is not True or not has_climbed_all(told):
            summary = f"the probe could not tell: it ended at {told.get('rung')}"
            return unknown(
                self.name, Cause.PROBE_INCOMPLETE.value, summary, seen, *remedies_of_cause(Cause.PROBE_INCOMPLETE.value)
            )
        kind, wanted = told.get("runtime_kind"), profile.runtime_kind
        if wanted is not None and kind != wanted.value:
            summary = f"the GPU runs by {kind}, and {profile.name} is expected to run by {wanted.value}"
            remedy = Remedy("Install the torch of the expected kind, or correct `runtime_kind` in the host's profile")
            return failed(self.name, "runtime_kind_unexpected", summary, seen, remedy)
        return passed(self.name, f"proven: {told.get('device_name')} by {kind}, {told.get('arch')}", seen)


def has_climbed_all(told: dict[str, Any]) -> bool:
    """Every rung of the ladder this version knows has passed, and none it does not know has not."""
    rungs = [rung for rung in told.get("rungs") or () if isinstance(rung, dict)]
    passed_rungs = {rung.get("rung") for rung in rungs if rung.get("state") == RungState.PASSED.value}
    return len(passed_rungs) == len(rungs) and passed_rungs >= {rung.value for rung in LADDER}


def tell_ladder(told: dict[str, Any]) -> list[str]:
    rungs = [rung for rung in told.get("rungs") or () if isinstance(rung, dict)]
    lines = [f"{rung.get('rung')}: {rung.get('state')}: {rung.get('seen')}" for rung in rungs]
    return [*lines, *(str(line) for line in told.get("evidence") or ())]
