"""Check 1: the vendor's own tool is there and sees a GPU.

It is a witness of its own: it asks the driver, knows nothing of torch, and works where the service's account may not
open the device. So it neither proves nor replaces the probe.
"""

from __future__ import annotations

from dataclasses import dataclass

from sir_convert_a_lot.application.host_ports import CheckSite, Host
from sir_convert_a_lot.domain.gpu_causes import Cause, Remedy
from sir_convert_a_lot.domain.gpu_facts import RuntimeKind
from sir_convert_a_lot.domain.host_access import CommandOutcome, Ending, HostCommand
from sir_convert_a_lot.domain.host_check import CheckReport
from sir_convert_a_lot.domain.host_findings import Finding
from sir_convert_a_lot.infrastructure.host_checks.findings import (
    KEPT_LINES,
    failed,
    hung,
    lines_of,
    passed,
    read_object,
    remedies_of_cause,
)

LIMIT_S = 20.0
ELSEWHERE = "/opt/rocm/bin"  # where ROCm's packages put them, outside the PATH of a plain SSH session


@dataclass(frozen=True, slots=True)
class Tool:
    """A vendor's tool, and the command that lists the GPUs it sees."""

    name: str
    arguments: tuple[str, ...]
    kind: RuntimeKind


TOOLS = (
    Tool("rocm-smi", ("--showproductname", "--showbus", "--json"), RuntimeKind.ROCM),
    Tool("amd-smi", ("list", "--json"), RuntimeKind.ROCM),
    Tool("nvidia-smi", ("--query-gpu=pci.bus_id,name,driver_version", "--format=csv,noheader"), RuntimeKind.CUDA),
)
INSTALL = {
    RuntimeKind.ROCM: Remedy("Install the tool of ROCm", "apt-get install rocm-smi", needs_root=True),
    RuntimeKind.CUDA: Remedy("Install the tool of NVIDIA's driver", "apt-get install nvidia-smi", needs_root=True),
}
LOOK_AT_DRIVER = Remedy(
    "See whether the driver is loaded and what it says", "dmesg -T | grep -iE 'amdgpu|nvrm|nvidia'", needs_root=True
)


MISSING_CODE = "gpu_tool_missing"
# PCI vendors of AMD's and NVIDIA's GPUs, and the nodes that stand for one where PCI does not show it.
SEE_GPU = """\
for node in /dev/kfd /dev/nvidiactl /dev/dxg; do [ -e "$node" ] && echo "$node"; done
grep -lxE '0x1002|0x10de' /sys/bus/pci/devices/*/vendor
true
"""


class GpuToolsCheck:
    """`limit_s`: how long one tool may take."""

    name = "gpu_tools"
    needs = ("project",)

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s

    def look(self, site: CheckSite) -> CheckReport:
        kind = site.profile.runtime_kind
        wanted = [tool for tool in TOOLS if kind in {None, tool.kind}]
        ran: dict[Tool, CommandOutcome] = {}
        for tool in wanted:
            ran[tool] = run_tool(site.host, tool, self._limit_s)
            if list_gpus(tool, ran[tool]):
                break
        raw = {f"{tool.name}.txt": outcome.stdout + outcome.stderr for tool, outcome in ran.items()}
        finding = self._judge(ran, kind)
        if finding.code == MISSING_CODE and kind is None and not has_gpu(site.host):
            cause = Cause.NO_GPU_HARDWARE.value  # nobody needs a tool for what is not there
            finding = failed(self.name, cause, "there is no GPU here", finding.evidence, *remedies_of_cause(cause))
        return CheckReport((finding,), raw)

    def _judge(self, ran: dict[Tool, CommandOutcome], kind: RuntimeKind | None) -> Finding:
        there = {tool: outcome for tool, outcome in ran.items() if outcome.ending is not Ending.NOT_FOUND}
        evidence = [outcome.line for outcome in there.values()]
        for tool, outcome in there.items():
            if gpus := list_gpus(tool, outcome):
                return passed(self.name, f"{tool.name} sees {len(gpus)} GPU(s): {'; '.join(gpus)}", evidence)
        if not there:
            names = " or ".join(tool.name for tool in ran)
            remedies = [INSTALL[kind]] if kind in INSTALL else list(INSTALL.values())
            return failed(self.name, MISSING_CODE, f"there is no {names}", evidence, *remedies)
        for outcome in there.values():
            if outcome.ending is Ending.TIMED_OUT:
                return hung(self.name, outcome)
        for tool, outcome in there.items():
            if not outcome.succeeded:
                told = f"{tool.name} fails"
                return failed(self.name, "gpu_tool_failed", told, lines_of(outcome), LOOK_AT_DRIVER)
        told = f"{' and '.join(tool.name for tool in there)} see no GPU"
        printed = [line for outcome in there.values() for line in outcome.text.splitlines()[:KEPT_LINES]]
        return failed(self.name, "gpu_tool_sees_no_gpu", told, [*printed, *evidence], LOOK_AT_DRIVER)


def has_gpu(host: Host) -> bool:
    """Whether anything speaks of one; also where it could not be looked for."""
    outcome = host.run(HostCommand(["sh", "-c", SEE_GPU], timeout_s=LIMIT_S))
    return not outcome.succeeded or bool(outcome.text.strip())


def run_tool(host: Host, tool: Tool, limit_s: float) -> CommandOutcome:
    outcome = host.run(HostCommand([tool.name, *tool.arguments], timeout_s=limit_s))
    if outcome.ending is Ending.NOT_FOUND and tool.kind is RuntimeKind.ROCM:
        outcome = host.run(HostCommand([f"{ELSEWHERE}/{tool.name}", *tool.arguments], timeout_s=limit_s))
    return outcome


def list_gpus(tool: Tool, outcome: CommandOutcome) -> list[str]:
    """One line a GPU, as the tool calls it; empty where it fails, lists none, or lists something else."""
    printed = outcome.text if outcome.succeeded else ""
    if tool.name == "nvidia-smi":
        return [line.strip() for line in printed.splitlines() if line.count(",") >= 2]
    if tool.name == "rocm-smi":
        cards = read_object(printed) or {}
        return [tell_card(name, card) for name, card in cards.items() if name.startswith("card")]
    # amd-smi prints a list of objects; one that is found inside it is enough to count by.
    return [f"GPU {index}" for index in range(printed.count('"bdf"'))]


def tell_card(name: str, card: object) -> str:
    told = card if isinstance(card, dict) else {}
    parts = [told.get(key) for key in ("Card Series", "Card series", "PCI Bus")]
    return " ".join([name, *(str(part) for part in parts if part)])
