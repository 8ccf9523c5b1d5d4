"""A package index on loopback, over wheels that are made for the test: of a few hundred bytes, and named as real ones.

Owns the shape of a made wheel and of the simple index (PEP 503). What a wheel says of itself is what the test wants.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

BROKEN = "raise ImportError('made to fail: operator torchvision::nms does not exist')\n"


@dataclass(frozen=True)
class MadeWheel:
    """One distribution. `module`: its package, from the name unless given. `body` runs when that is imported."""

    name: str
    version: str
    requires: Sequence[str] = ()
    module: str | None = None
    body: str = ""
    constants: Mapping[str, str] | None = None  # of its version.py; None: it has no such file

    @property
    def file_name(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    def write(self, folder: Path) -> Path:
        module = self.module or self.name.replace("-", "_")
        about = f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
        files = {
            f"{module}/__init__.py": self.body,
            f"{about}/METADATA": metadata + "".join(f"Requires-Dist: {asked}\n" for asked in self.requires),
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        if self.constants is not None:
            lines = [f"{name} = {value!r}\n" for name, value in self.constants.items()]
            files[f"{module}/version.py"] = "".join(lines)
        record = [f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items()]
        files[f"{about}/RECORD"] = "".join(record) + f"{about}/RECORD,,\n"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.file_name
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def made_torch(version: str, requires: Sequence[str] = (), body: str = "") -> MadeWheel:
    """A torch whose files say what its local tag says."""
    tag = version.partition("+")[2]
    kinds = {"hip": tag.removeprefix("rocm") if tag.startswith("rocm") else None}
    kinds["cuda"] = tag.removeprefix("cu") if tag.startswith("cu") else None
    constants = {"__version__": version} | {name: value for name, value in kinds.items() if value}
    return MadeWheel("torch", version, requires, body=body, constants=constants)


def made_sibling(name: str, version: str, torch: str | None = None, body: str = "") -> MadeWheel:
    """What carries operators for torch; asks for the very torch that it is made for."""
    requires = [f"torch=={torch}"] if torch else []
    return MadeWheel(name, version, requires, body=body, constants={"__version__": version})


def made_triton(name: str, version: str) -> MadeWheel:
    """Every one of them brings the package `triton`."""
    return MadeWheel(name, version, module="triton")


class MadeIndex:
    """Several indexes on one server, each a folder. `asked` is what was asked of it; what starts with one of `silent`
    gets no answer until it is taken out again.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.asked: list[str] = []
        self.silent: set[str] = set()

    def url(self, index: str) -> str:
        return f"http://127.0.0.1:{self.port}/{index}/simple"

    def add(self, index: str, *wheels: MadeWheel) -> None:
        for wheel in wheels:
            place = self.folder / index / "simple" / wheel.name
            wheel.write(place)
            links = [f'<a href="{quote(path.name)}">{path.name}</a>' for path in sorted(place.glob("*.whl"))]
            (place / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")


@contextmanager
def running_index(folder: Path) -> Iterator[MadeIndex]:
    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            while any(self.path.startswith(f"/{start}") for start in made.silent):
                time.sleep(0.05)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    made = MadeIndex(folder, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.silent.clear()
        server.shutdown()
        thread.join(10)
        server.server_close()
