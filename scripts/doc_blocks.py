"""The code blocks of the documents, run as a reader would run them.

Owns the convention. In a fenced block marked `console`, each line that starts with `$ ` is a command and the lines
below it are what it prints; `...` stands for anything. Blocks marked `python` are run as scripts. All blocks of one
document run one after the other in one throw-away folder that holds `examples/`, with one environment, so that an
`export` holds for what follows; `make` runs in the checkout. A command that ends in `&` runs until the document ends.
The port 18085 is replaced by a free one. Blocks marked `sh` are for another machine or another user and are not run;
`json` and `toml` must parse.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from convert_one import answers_at, free_port

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED_PORT = "18085"
COMMAND_LIMIT_S = 120.0
READY_LIMIT_S = 20.0
CONTINUED = re.compile(r"\\\n> ?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is 1-based, of its opening fence."""

    language: str
    content: str
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what should be seen after it; no expectation means that only the exit code counts."""

    command: str
    expected: str


def blocks_of(markdown: str) -> list[Block]:
    return [
        Block(token.info.split()[0] if token.info.strip() else "", token.content, (token.map or [0])[0] + 1)
        for token in MarkdownIt("commonmark").parse(markdown)
        if token.type == "fence"
    ]


def steps_of(content: str) -> list[Step]:
    """The commands of a `console` block. A line after a backslash starts with `> `, as a shell shows it."""
    steps: list[Step] = []
    for piece in re.split(r"^\$ ", CONTINUED.sub("", content), flags=re.MULTILINE)[1:]:
        command, _, expected = piece.partition("\n")
        steps.append(Step(command.strip(), expected.strip()))
    return steps


def is_as_expected(expected: str, seen: str) -> bool:
    """Line ends and space at both ends aside, `seen` is `expected`, with `...` for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    tidy = "\n".join(line.rstrip() for line in seen.strip().splitlines())
    return re.fullmatch(pattern, tidy, flags=re.DOTALL) is not None


class Session:
    """One reader at one terminal, in a folder of their own. Close it to end what they left running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.saved = folder / ".environment"
        self.background: list[subprocess.Popen[bytes]] = []
        (folder / "examples").symlink_to(ROOT / "examples")
        keep = {name: os.environ[name] for name in ("LANG", "CI", "COVERAGE_PROCESS_START") if name in os.environ}
        self.environment = keep | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "NO_COLOR": "1",
            "TERM": "dumb",
            "COLUMNS": "200",
            "SIR_CONVERT_A_LOT_PORT": str(self.port),
            "SIR_CONVERT_A_LOT_SERVICE_URL": f"http://127.0.0.1:{self.port}",
        }
        self.saved.write_text("", encoding="utf-8")

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and all that was printed. Variables that the command exports hold for the next one."""
        command = command.replace(DOCUMENTED_PORT, str(self.port))
        if command.endswith("&"):
            return self.start(command.removesuffix("&"))
        saved = shlex.quote(str(self.saved))
        # Not PWD, which would tell the next command that it stands where this one stood.
        script = f"source {saved}\n{command}\ncode=$?\nexport -n PWD OLDPWD\nexport -p > {saved}\nexit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT if command.startswith("make ") else self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout.replace(str(self.port), DOCUMENTED_PORT)

    def start(self, command: str) -> tuple[int, str]:
        """Run until the session is closed; returns when the service answers, or with its words when it stops."""
        log = self.folder / f".background-{len(self.background)}.log"
        script = f"source {shlex.quote(str(self.saved))}\nexec {command}"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
        self.background.append(process)
        limit = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < limit and process.poll() is None:
            if answers_at(self.port):
                return 0, ""
            time.sleep(0.05)
        return 1, log.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        for process in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(COMMAND_LIMIT_S)


def problems_of_console(block: Block, session: Session) -> list[str]:
    for step in steps_of(block.content):
        try:
            code, seen = session.run(step.command)
        except subprocess.TimeoutExpired:
            return [f"`{step.command}` ran longer than {COMMAND_LIMIT_S:.0f} s"]
        if code != 0:
            return [f"`{step.command}` ended with {code}:\n{seen}"]
        if step.expected and not is_as_expected(step.expected, seen):
            return [f"`{step.command}` printed\n{seen}\nand not\n{step.expected}"]
    return []


def problems_of_python(block: Block, session: Session) -> list[str]:
    script = session.folder / ".block.py"
    script.write_text(block.content.replace(DOCUMENTED_PORT, str(session.port)), encoding="utf-8")
    code, seen = session.run(f"python {script.name}")
    return [] if code == 0 else [f"the python block ended with {code}:\n{seen}"]


def problems_of_data(parse: Callable[[str], object], block: Block) -> list[str]:
    try:
        parse(block.content)
    except ValueError as error:
        return [f"the {block.language} block does not parse: {error}"]
    return []


def problems_of_blocks(document: Path, folder: Path) -> list[str]:
    """Run one document's blocks in `folder`, which is empty. The first problem of a block ends that block."""
    session = Session(folder)
    problems: list[str] = []
    try:
        for block in blocks_of(document.read_text(encoding="utf-8")):
            match block.language:
                case "console":
                    found = problems_of_console(block, session)
                case "python":
                    found = problems_of_python(block, session)
                case "json":
                    found = problems_of_data(json.loads, block)
                case "toml":
                    found = problems_of_data(tomllib.loads, block)
                case _:
                    found = []
            problems += [f"{document.name}:{block.line}: {problem}" for problem in found]
    finally:
        session.close()
    return problems
