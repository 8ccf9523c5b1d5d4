"""Converts one PDF on the CPU with a service of its own: `make convert PDF=paper.pdf`.

Owns the short life of that service: a free port on loopback, a made-up key, a storage root that is thrown away, and an
end by its own process id. The work is done by the same command line and service that everybody uses. Talks on stderr;
stdout gets one line, the path of the Markdown.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "converted"
COMMAND = [sys.executable, "-m", "sir_convert_a_lot"]
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
POLL_S = 0.02
EXIT_BAD_INPUT = 65  # sysexits EX_DATAERR; as the command line's own


class Failed(Exception):
    """Nothing was converted; the message is for a person, `exit_code` for the shell."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends this script in the same order as Ctrl-C does."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. `log` holds what it said."""

    port: int
    api_key: str
    process: subprocess.Popen[bytes]
    log: Path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def readable_pdf(given: str) -> Path:
    """The file that was named. Whether it is a PDF that opens is the service's to say."""
    pdf = Path(given).expanduser()
    if not pdf.exists():
        raise Failed(f"{given}: there is no such file. Name one: make convert PDF=path/to/paper.pdf", EXIT_BAD_INPUT)
    if not pdf.is_file():
        raise Failed(f"{given} is not a file. Name one PDF: make convert PDF=path/to/paper.pdf", EXIT_BAD_INPUT)
    if not os.access(pdf, os.R_OK):
        raise Failed(f"{given} may not be read by this user.", EXIT_BAD_INPUT)
    return pdf.resolve()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str, api_key: str = "") -> tuple[int, bytes]:
    """One GET to the service: status and body. By no proxy, whatever the environment says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"X-API-Key": api_key})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers_at(port: int) -> bool:
    """A service listens there and is ready for work."""
    try:
        return ask(port, "/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """A service on loopback, ready when this yields and gone when it returns."""
    port, key, log = free_port(), secrets.token_urlsafe(24), folder / "service.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SIR_", "CONVERTER_"))}
    environment |= {"SIR_CONVERT_A_LOT_API_KEY": key, "CONVERTER_STORAGE_ROOT": str(folder / "storage")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the client first, which cancels its job
        )
    service = Service(port, key, process, log)
    try:
        wait_until_ready(service)
        yield service
    finally:
        stop(process)


def wait_until_ready(service: Service) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while not answers_at(service.port):
        if service.process.poll() is not None:
            raise Failed(f"{end_of(service.log)}\nThe service stopped with exit code {service.process.returncode}.")
        if time.monotonic() > limit:
            raise Failed(f"{end_of(service.log)}\nThe service was not ready after {START_LIMIT_S:.0f} s.")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop; a service that does not is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def convert(service: Service, pdf: Path, output: Path) -> None:
    """Hand the PDF to the command line, whose progress goes straight to stderr."""
    command = [
        *COMMAND, "convert", str(pdf), "--output-dir", str(output),
        "--service-url", f"http://127.0.0.1:{service.port}", "--acceleration-policy", "cpu_only",
    ]  # fmt: skip
    environment = os.environ | {"SIR_CONVERT_A_LOT_API_KEY": service.api_key}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as client:
        try:
            client.wait()
        except KeyboardInterrupt as interrupt:
            let_it_cancel(client, knows=not isinstance(interrupt, Terminated))
            raise
    if client.returncode != 0:
        raise Failed(f"{pdf.name} was not converted.", client.returncode)


def let_it_cancel(client: subprocess.Popen[bytes], *, knows: bool) -> None:
    """Ctrl-C reaches the client as well, which then cancels its job; of a SIGTERM to us alone it must be told."""
    if not knows:
        client.send_signal(signal.SIGINT)
    try:
        client.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        client.kill()


def only_entry(output: Path) -> dict[str, str]:
    manifest = json.loads((output / "sir_convert_a_lot_manifest.json").read_text(encoding="utf-8"))
    entry: dict[str, str] = manifest["entries"][0]
    return entry


def measured_metadata(service: Service, job_id: str) -> dict[str, Any]:
    """What the service saw: which engine, and which device did the work."""
    _, body = ask(service.port, f"/v1/convert/jobs/{job_id}/result", service.api_key)
    metadata: dict[str, Any] = json.loads(body)["result"]["conversion_metadata"]
    return metadata


def convert_one(given: str) -> Path:
    """Convert one PDF and give the path of its Markdown under build/converted/."""
    pdf = readable_pdf(given)
    with tempfile.TemporaryDirectory(prefix="convert-a-lot-") as folder, running_service(Path(folder)) as service:
        output = Path(folder) / "output"
        convert(service, pdf, output)
        entry = only_entry(output)
        metadata = measured_metadata(service, entry["job_id"])
        made = output / entry["output_path"]
        OUTPUT.mkdir(parents=True, exist_ok=True)
        target = OUTPUT / made.name
        target.write_bytes(made.read_bytes())
    say(f"Converted by the engine {metadata['backend_used']} on the device {metadata['acceleration_used']}.")
    return target


def raise_terminated(*_: object) -> None:
    raise Terminated


def main() -> int:
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        print(convert_one(os.environ.get("PDF") or "examples/digital.pdf"))
    except Failed as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
