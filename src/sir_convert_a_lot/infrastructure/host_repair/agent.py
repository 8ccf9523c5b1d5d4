"""Runs on the host: looks at the project's environment, saves it, runs one step of a repair, puts it back.

Its text, with `inventory` and `saved_tree`, is sent whole to the host's own `python3` (`site`), since the environment's
may be what is broken; so they import the standard library alone and keep to Python 3.8. Owns the journal, which says
after any end what was under way, and the lock. Refuses to choose what is done.
"""

# ruff: noqa: UP006, UP022, UP035, UP045 - Python 3.8

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from sir_convert_a_lot.infrastructure.host_repair.inventory import list_distributions, surroundings, take_inventory
from sir_convert_a_lot.infrastructure.host_repair.saved_tree import SavedIncomplete, restore, save

Order = Dict[str, Any]

STATE = ".sir-convert-a-lot"  # within the environment: it goes when that goes
EXPECTED = "expected-runtime.json"  # in there: what the environment is to hold, for the guard
LOCK_WAIT_S = 2.0
KEPT_BYTES = 8192  # of the end of what a step printed


class Refused(Exception):
    """The order cannot be carried out now; the text is a `domain.repair_journal.Refusal`."""


def carry_out(order: Order) -> Order:
    """JSON-able, both ways. `order["what"]` names one of `WORK`; `order["python"]` is the environment's."""
    try:
        return WORK[order["what"]](order, Place(Path(order["python"]).expanduser().absolute()))
    except Refused as refusal:
        return {"refused": str(refusal), "detail": ""}
    except SavedIncomplete as error:
        return {"refused": "saved_incomplete", "detail": str(error)}
    except OSError as error:  # a full disk, an environment that is another account's
        return {"refused": "storage", "detail": str(error)}


class Place:
    """The environment and what is kept about its repairs."""

    def __init__(self, python: Path) -> None:
        self.python = python
        self.environment = python.parent.parent
        self.state = self.environment / STATE
        self.saved = self.state / "saved"
        self.wheels = self.state / "wheels"
        self.journal = self.state / "journal.json"
        self.packages = self.environment / "lib" / find_library(self.environment) / "site-packages"
        if not python.exists() or not self.packages.is_dir():
            raise Refused("no_environment")

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Held by this process and by the step it runs, so that no second repair begins while either lives."""
        self.state.mkdir(mode=0o755, exist_ok=True)  # a service of another account reads there what is expected
        lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise Refused("repair_busy") from None
                    time.sleep(0.05)
            yield lock
        finally:
            os.close(lock)

    def list_saved(self) -> List[str]:
        """What a saved copy of this environment must hold, as relative paths."""
        about = [path for _, _, path in list_distributions(self.packages)]
        return [str(path.relative_to(self.environment)) for path in (self.python, self.packages, *about)]

    def put_back(self, journal: Order) -> List[str]:
        """What `begin` saved, if it did; gives back what could not be made the same."""
        if journal["saved"] is None:
            return []
        return restore(self.saved, self.environment, STATE, journal["saved"])

    def read_journal(self) -> Optional[Order]:
        try:
            journal: Order = json.loads(self.journal.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return journal

    def read_expected(self) -> Optional[Order]:
        """What the environment is to hold, as a repair has left it written."""
        try:
            expected: Order = json.loads((self.state / EXPECTED).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return expected

    def write_journal(self, journal: Order) -> None:
        write_whole(self.journal, json.dumps(journal, indent=1), mode=0o600)

    def own_journal(self, order: Order) -> Order:
        """The journal, if it is still this repair's: whoever took it over has the say."""
        journal = self.read_journal()
        if journal is None or journal["run_id"] != order["run_id"]:
            raise Refused("repair_taken_over")
        return journal


def find_library(environment: Path) -> str:
    """`python3.11`, as the environment itself says; older folders may lie beside it."""
    try:
        text = (environment / "pyvenv.cfg").read_text("utf-8")
    except FileNotFoundError:
        raise Refused("no_environment") from None
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
    return f"python{found.group(1)}" if found else "python"


def write_whole(path: Path, text: str, mode: int) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def look(order: Order, place: Place) -> Order:
    return {
        "environment": str(place.environment),
        "python": str(place.python),
        "state_directory": str(place.state),
        "journal": place.read_journal(),
        "expected": place.read_expected(),
        **take_inventory(place.packages, order["family"], order["unit"]),
    }


def begin(order: Order, place: Place) -> Order:
    """Save what is there and write the plan down. A repair that is under way must be ended first."""
    with place.locked():
        journal = place.read_journal()
        if journal is not None and journal["phase"] not in {"finished", "rolled_back", "saving"}:
            raise Refused("repair_unfinished")
        journal = {
            "run_id": order["run_id"],
            "goal": order["goal"],
            "began_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "phase": "saving",
            "saved": place.list_saved() if order["saves"] else None,  # None: no step changes packages
            "actions": [{"state": "pending", "action": action} for action in order["actions"]],
        }
        place.write_journal(journal)
        (place.state / "freeze.txt").write_text(freeze(place), encoding="utf-8")
        (place.state / "constraints.txt").write_text(order["constraints"], encoding="utf-8")
        shutil.rmtree(place.saved, ignore_errors=True)
        if order["saves"]:
            save(place.environment, place.saved, STATE)
        journal["phase"] = "applying"
        place.write_journal(journal)
    return {"journal": journal}


def freeze(place: Place) -> str:
    """What was there, for people: putting back does not read it."""
    done = subprocess.run(
        [str(place.python), "-m", "pip", "freeze", "--all"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    return "".join(f"{name}=={version}\n" for name, version, _ in list_distributions(place.packages))


def claim(order: Order, place: Place) -> Order:
    """Take over a repair that was cut off. Whoever began it, if alive, is refused from here on."""
    with place.locked():
        journal = place.read_journal()
        if journal is None:
            raise Refused("repair_taken_over")
        journal["run_id"] = order["run_id"]
        place.write_journal(journal)
    return {"journal": journal}


def rewind(order: Order, place: Place) -> Order:
    """Put back what was saved and mark every step that changes packages as not done; the repair goes on from there."""
    with place.locked():
        journal = place.own_journal(order)
        place.put_back(journal)
        for step in journal["actions"]:
            if step["action"]["changes_packages"] or step["state"] != "done":
                step["state"] = "pending"
        place.write_journal(journal)
    return {"journal": journal}


def run_step(order: Order, place: Place) -> Order:
    """One step, its words in a file and their end in the answer."""
    with place.locked() as lock:
        journal = place.own_journal(order)
        step = journal["actions"][order["index"]]
        step["state"] = "running"
        place.write_journal(journal)
        action = step["action"]
        log = place.state / "steps" / f"{order['index']:02}-{action['name']}.log"
        log.parent.mkdir(mode=0o700, exist_ok=True)
        with log.open("wb") as sink:
            done = subprocess.run(
                action["argv"], env=surroundings(action["environment"]),
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, pass_fds=[lock], check=False,
            )  # fmt: skip
        step["state"] = "failed" if done.returncode else "done"
        place.write_journal(journal)
    said = log.read_bytes()[-KEPT_BYTES:].decode("utf-8", "replace")
    return {"journal": journal, "exit_code": done.returncode, "said": said}


def roll_back(order: Order, place: Place) -> Order:
    with place.locked():
        journal = place.own_journal(order)
        journal["phase"] = "rolling_back"
        place.write_journal(journal)
        strayed = place.put_back(journal)
        end(place, journal, "rolled_back")
    return {"journal": journal, "strayed": strayed}


def finish(order: Order, place: Place) -> Order:
    with place.locked():
        journal = place.own_journal(order)
        end(place, journal, "finished")
    return {"journal": journal}


def end(place: Place, journal: Order, phase: str) -> None:
    journal["phase"] = phase
    place.write_journal(journal)
    shutil.rmtree(place.wheels, ignore_errors=True)
    if phase == "rolled_back":  # else it stays until the next `begin`: whether all is well is only verified from now on
        shutil.rmtree(place.saved, ignore_errors=True)


def expect(order: Order, place: Place) -> Order:
    """Write down what this environment is to hold, for the guard. Whether that is new."""
    with place.locked():
        is_new = place.read_expected() != order["goal"]
        if is_new:
            write_whole(place.state / EXPECTED, json.dumps(order["goal"], indent=1, sort_keys=True), mode=0o644)
    return {"is_new": is_new}


WORK: Dict[str, Callable[[Order, Place], Order]] = {
    "look": look,
    "begin": begin,
    "claim": claim,
    "rewind": rewind,
    "run_step": run_step,
    "roll_back": roll_back,
    "finish": finish,
    "expect": expect,
}
