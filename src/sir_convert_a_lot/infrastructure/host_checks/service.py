"""Check 4: the service listens, is healthy and ready, proves the GPU itself, and runs the revision that lies there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sir_convert_a_lot.application.host_ports import CheckSite, LiveService
from sir_convert_a_lot.domain.errors import SirConvertError
from sir_convert_a_lot.domain.gpu_causes import Remedy
from sir_convert_a_lot.domain.host_access import HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport, ServiceAnswer
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.domain.host_profile import HostProfile
from sir_convert_a_lot.infrastructure.host_checks.findings import failed, passed, remedies_of_cause, unknown

LIMIT_S = 20.0
HTTP_OK = 200


@contextmanager
def open_service(site: CheckSite) -> Iterator[LiveService]:
    """The service as a client meets it: at the profile's own URL, or through the way that leads to the host."""
    if site.profile.service_url is not None:
        with site.connect(site.profile.service_url) as service:
            yield service
        return
    with site.host.forward(site.profile.service_port) as port, site.connect(f"http://127.0.0.1:{port}") as service:
        yield service


class ServiceCheck:
    name = "service"
    needs = ("project",)

    def look(self, site: CheckSite) -> CheckReport:
        with open_service(site) as service:
            try:
                health = service.health()
                readiness = service.readiness()
            except SirConvertError as error:
                return CheckReport((self._tell_down(site, error),))
        evidence = [f"/healthz: {health.status} {dict(health.body)}", f"/readyz: {readiness.status} {readiness.body}"]
        raw = {"service.txt": "\n".join(evidence).encode()}
        finding = (
            self._judge_health(site.profile, health, evidence)
            or self._judge_readiness(readiness, evidence)
            or self._judge_revision(site, health, evidence)
        )
        return CheckReport((finding,), raw)

    def _tell_down(self, site: CheckSite, error: SirConvertError) -> Finding:
        where = site.profile.service_url or f"port {site.profile.service_port} of {site.host.name}"
        evidence = [error.message, *_ask_systemd(site)]
        start = Remedy(
            "Start the service", _systemctl(site.profile, "start"), needs_root=not site.profile.unit_is_users
        )
        return failed(self.name, "service_down", f"no service answers at {where}", evidence, start)

    def _judge_health(self, profile: HostProfile, health: ServiceAnswer, evidence: list[str]) -> Finding | None:
        if health.body.get("api_version") != "v1":
            told = f"what listens at port {profile.service_port} is not this service"
            remedy = Remedy("Correct `service_port` in the host's profile, or stop what listens there")
            return failed(self.name, "service_foreign", told, evidence, remedy)
        if health.status != HTTP_OK or health.body.get("status") != "ok":
            return failed(self.name, "service_unhealthy", "the service is not healthy", evidence, _restart(profile))
        return None

    def _judge_readiness(self, readiness: ServiceAnswer, evidence: list[str]) -> Finding | None:
        gpu = readiness.body.get("gpu")
        state, cause = (gpu.get("state"), gpu.get("cause")) if isinstance(gpu, dict) else (None, None)
        if readiness.status != HTTP_OK:
            error = readiness.body.get("error")
            told = error.get("details", {}).get("remediation") if isinstance(error, dict) else None
            summary = f"the service is not ready: {cause or 'it does not say why'}"
            return failed(self.name, "service_not_ready", summary, evidence, *remedies_of_cause(cause, told))
        if state != "proven":
            summary = f"the service is up, and has not proven its GPU: {cause or state}"
            return failed(self.name, "service_gpu_not_proven", summary, evidence, *remedies_of_cause(cause))
        return None

    def _judge_revision(self, site: CheckSite, health: ServiceAnswer, evidence: list[str]) -> Finding:
        running, profile = health.body.get("revision"), site.profile
        asked = site.host.run(HostCommand(["git", "rev-parse", "HEAD"], timeout_s=LIMIT_S, directory=profile.root))
        lies_there = asked.text.strip() if asked.succeeded else None
        evidence = [*evidence, f"git rev-parse HEAD in {profile.root}: {lies_there or asked.line}"]
        if lies_there is None and running is None:
            return passed(self.name, f"healthy and ready, version {health.body.get('version')}, no checkout", evidence)
        if running is None or lies_there is None:
            told = "the service does not say which revision it runs" if running is None else "no checkout lies there"
            return unknown(self.name, "revision_unknown", told, evidence, _restart(profile))
        if not lies_there.startswith(str(running)):
            told = f"the service runs {str(running)[:12]}, and {lies_there[:12]} lies there"
            return failed(self.name, "wrong_revision", told, evidence, _restart(profile))
        return passed(self.name, f"healthy and ready, revision {lies_there[:12]}", evidence)


def _restart(profile: HostProfile) -> Remedy:
    return Remedy("Restart the service", _systemctl(profile, "restart"), needs_root=not profile.unit_is_users)


def _systemctl(profile: HostProfile, verb: str) -> str:
    return f"systemctl {'--user ' if profile.unit_is_users else ''}{verb} {profile.unit}"


def _ask_systemd(site: CheckSite) -> list[str]:
    scope = ["--user"] if site.profile.unit_is_users else []
    asked = site.host.run(HostCommand(["systemctl", *scope, "is-active", site.profile.unit], timeout_s=LIMIT_S))
    said = asked.text.strip()
    return [f"systemd says {site.profile.unit} is {said}" if said else asked.line]
