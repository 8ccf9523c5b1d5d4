"""Check 0: the host answers, and the project with its environment is where the profile says."""

from __future__ import annotations

from sir_convert_a_lot.application.host_ports import CheckSite
from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.host_access import Ending, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.infrastructure.host_checks.findings import failed, hung, lines_of, passed, report

LIMIT_S = 30.0


class ProjectCheck:
    name = "project"
    needs: tuple[str, ...] = ()

    def look(self, site: CheckSite) -> CheckReport:
        profile = site.profile
        there = site.host.run(HostCommand(["uname", "-srm"], timeout_s=LIMIT_S, directory=profile.root))
        if there.ending is Ending.TIMED_OUT:
            return report(hung(self.name, there))
        if not there.succeeded:
            remedy = Remedy("Clone the project there, or name where it lies as `root` in the profile of the host")
            told = f"there is no folder {profile.root} on {site.host.name}"
            return report(failed(self.name, "project_missing", told, lines_of(there), remedy))
        python = site.host.run(HostCommand([profile.python, "--version"], timeout_s=LIMIT_S, directory=profile.root))
        if python.ending is Ending.TIMED_OUT:
            return report(hung(self.name, python))
        if not python.succeeded:
            remedy = Remedy("Make the environment of the project there", "pdm install")
            told = f"{profile.python} does not run in {profile.root}"
            return report(failed(self.name, "environment_missing", told, lines_of(python), remedy))
        seen = [there.text.strip(), python.text.strip()]
        return report(passed(self.name, f"{site.host.name} answers: {', '.join(seen)}"), uname__txt=there.stdout)
