"""Let spin search the models in spec/model, and see that they bite.

    python scripts/model.py [--only TEXT] [--show TEXT]

A case is a scene of a model, what its attacker can do, and perhaps one check of the protocol that
is left out. With all checks, every property must hold in every state that can be reached; without
one, the attacker must find a way to break the property that the check is there for. And honest ends
must be able to get through, else nothing was shown. A search that was cut short is a failure.

Needs spin and gcc. Without them nothing is checked, which is a failure in CI. `--show` prints what
the attacker said to whom in each counterexample.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).resolve().parent.parent / "spec" / "model"
SKIPPED: Final = 77
"""Exit code if nothing could be checked, and nobody insists on it."""
TOOLS: Final = ("spin", "gcc")
DEPTH: Final = 10_000
LIMIT_S: Final = 300.0
COMPILE: Final = (
    "gcc",
    "-O2",
    "-w",
    "-DSAFETY",
    "-DNOFAIR",
    "-DNOREDUCE",
    "-DMEMLIM=1024",
    "-o",
    "pan",
    "pan.c",
)
SEARCH: Final = ("-E", f"-m{DEPTH}", "-w20")

_DEFINED = re.compile(r"^#define ([A-Z]\w+) (\d+) +/\* (.+?) \*/$", re.MULTILINE)
_SUMMARY = re.compile(r"depth reached \d+, errors: (\d+)")
_STATES = re.compile(r"^ *([\d.e+]+) states, stored", re.MULTILINE)
_TROUBLE = ("max search depth too small", "out of memory", "MEMLIM", "aborting", "cannot allocate")
_OURS = "assertion violated  !((violated&watched))"
_SAID = re.compile(r"^(?:to \d: |steals |tests |\d and \d shake)")


class Expected(Enum):
    """How a search must end."""

    HOLDS = "holds"
    BROKEN = "broken"
    """The attacker finds a way."""
    REACHED = "reached"
    """Honest ends get through: the claim that they never do is refuted."""


@dataclass(frozen=True, slots=True)
class Case:
    """One search."""

    model: str
    scene: str
    expected: Expected
    watched: str = ""
    """The property in question; empty = all of them."""
    without: str = ""
    powers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What sets it apart, for people."""
        who = " ".join((self.scene, *self.powers)).lower()
        what = {
            Expected.HOLDS: f"{self.watched} holds" if self.watched else "all hold",
            Expected.BROKEN: f"{self.watched} breaks",
            Expected.REACHED: f"{self.watched} is refuted",
        }[self.expected]
        return f"{self.model}, {who}: {f'{self.without}: ' if self.without else ''}{what}"


@dataclass(frozen=True, slots=True)
class Search:
    """What pan found."""

    is_refuted: bool
    states: str
    trouble: str = ""
    """Why the result says nothing."""


def _holds(model: str, scene: str, *powers: str, without: str = "") -> Case:
    return Case(model, scene, Expected.HOLDS, without=without, powers=powers)


def _broken(model: str, scene: str, without: str, watched: str, *powers: str) -> Case:
    return Case(model, scene, Expected.BROKEN, watched, without, powers)


def _reached(model: str, scene: str, watched: str, *powers: str) -> Case:
    return Case(model, scene, Expected.REACHED, watched, powers=powers)


_H, _N, _IN = "handshake", "negotiation", "INSIDER"
CASES: Final = (
    _holds(_N, "ANY"),
    _holds(_H, "PAIR"),
    _holds(_H, "PAIR", _IN),
    _holds(_H, "OFFER", _IN),
    _holds(_H, "BOTH", _IN),
    _holds(_H, "BOTH", _IN, "STOLEN_IDENTITY"),
    _holds(_H, "CROSSING", _IN),
    _holds(_H, "TWICE", _IN),
    _holds(_H, "TWICE", "STOLEN_SESSION"),
    _holds(_H, "TWICE", _IN, "STOLEN_SESSION"),
    _holds(_H, "DOOR"),
    _holds(_H, "DIALLING"),
    _holds(_H, "RESUMPTION"),
    _holds(_H, "RESUMPTION", _IN),
    # Not needed where the rest is there: what was proved differs by role as it is.
    _holds(_H, "CROSSING", _IN, without="NO_ROLE"),
    _holds(_H, "CROSSING", _IN, without="NO_REFLECTED"),
    _holds(_H, "RESUMPTION", without="NO_REFLECTED"),
    # Two pins do without the mark; one does not, as is seen below. The mark does without pins.
    _holds(_N, "NATIVE_TWO_PINS", without="NO_MARK"),
    Case(_N, "NATIVE", Expected.HOLDS, "DOWNGRADE", "NO_PIN"),
    _reached(_H, "PAIR", "NEVER_DONE"),
    _reached(_H, "OFFER", "NEVER_DONE"),
    _reached(_H, "BOTH", "NEVER_DONE"),
    _reached(_H, "CROSSING", "NEVER_DONE"),
    _reached(_H, "TWICE", "NEVER_DONE"),
    _reached(_H, "DOOR", "NEVER_DONE"),
    _reached(_H, "DIALLING", "NEVER_DONE"),
    _reached(_H, "RESUMPTION", "NEVER_DONE"),
    _reached(_H, "RESUMPTION", "NEVER_RESUMED"),
    _reached(_N, "ANY", "NEVER_NATIVE"),
    _reached(_N, "ANY", "NEVER_LEGACY"),
    _broken(_H, "OFFER", "NO_OFFER", "DOWNGRADE"),
    _broken(_H, "RESUMPTION", "NO_SWALLOWED", "AGREEMENT"),
    _broken(_H, "TWICE", "NO_FRESH", "SECRECY", "STOLEN_SESSION"),
    _broken(_H, "PAIR", "NO_ISK", "AUTHENTIC"),
    _broken(_H, "DOOR", "NO_CPACE", "ONE_GUESS"),
    _broken(_H, "PAIR", "NO_LOW_ORDER", "AUTHENTIC"),
    _broken(_H, "PAIR", "NO_SEAL", "PRIVACY"),
    _broken(_H, "BOTH", "NO_SIGNATURE", "AGREEMENT", _IN, "STOLEN_IDENTITY"),
    _broken(_H, "PAIR", "NO_TRANSCRIPT", "SECRECY", _IN),
    _broken(_H, "PAIR", "NO_SIGNER", "AGREEMENT", _IN),
    _broken(_H, "BOTH", "NO_SELF", "AUTHENTIC"),
    _broken(_H, "PAIR", "NO_EXPECTED", "AUTHENTIC", _IN),
    _broken(_H, "PAIR", "NO_ORDER", "PRIVACY", _IN),
    _broken(_H, "PAIR", "NO_PROFILE", "DOWNGRADE", _IN),
    _broken(_H, "DOOR", "NO_TOKEN", "ONE_GUESS"),
    _broken(_H, "DIALLING", "NO_RATION", "ONE_GUESS"),
    _broken(_H, "RESUMPTION", "NO_TICKET_ROLE", "REFLECTION"),
    _broken(_H, "RESUMPTION", "NO_BINDER", "AGREEMENT"),
    _broken(_H, "RESUMPTION", "NO_BINDER_FIRST", "THEFT"),
    _broken(_H, "RESUMPTION", "NO_BURN", "REPLAY"),
    _broken(_H, "RESUMPTION", "NO_SECRET", "SECRECY"),
    _broken(_N, "NATIVE", "NO_OFFER", "VERSION"),
    _broken(_N, "NATIVE", "NO_ALLOWING", "POLICY"),
    _broken(_N, "NATIVE", "NO_GIVEN", "POLICY"),
    _broken(_N, "NATIVE", "NO_MARK", "DOWNGRADE"),
    _broken(_N, "NATIVE_ONE_PIN", "NO_MARK", "FORBIDDEN"),
    _broken(_N, "NATIVE", "NO_SIGNED_MARK", "DOWNGRADE"),
    _broken(_N, "NATIVE", "NO_MARK_CHECK", "DOWNGRADE"),
    _broken(_N, "ANY", "NO_PIN", "PINNED"),
    _broken(_N, "ANY", "NO_BINDING", "REAL"),
    _broken(_N, "ANY", "NO_SELF", "REAL"),
    _broken(_N, "NATIVE", "NO_NAME", "NAME"),
    _broken(_N, "NATIVE", "NO_SEPARATE", "GUESSING"),
)


def switches(model: str) -> Mapping[str, tuple[int, str]]:
    """Return what a model can be told, each with its number and what it stands for."""
    text = (MODELS / f"{model}.pml").read_text(encoding="utf-8")
    return {name: (int(number), what) for name, number, what in _DEFINED.findall(text)}


def properties(model: str) -> list[str]:
    """Return the names of what must always hold: they have numbers with one bit each, in a row."""
    names = list(switches(model))
    first = len(names) - names[::-1].index(_last_check(names))
    end = next(i for i, name in enumerate(names) if name.startswith("NEVER_"))
    return names[first:end]


def environment(case: Case) -> dict[str, str]:
    """Return what a search is told."""
    known = {name: number for name, (number, _) in switches(case.model).items()}
    watched = [case.watched] if case.watched else properties(case.model)
    return {
        "SCENE": str(known[f"SCENE_{case.scene}"]),
        "POWERS": str(sum(known[power] for power in case.powers)),
        "WITHOUT": str(known[case.without] if case.without else 0),
        "WATCHED": str(sum(known[name] for name in watched)),
    }


def read_search(output: str) -> Search:
    """Make sense of what pan printed."""
    summary, states = _SUMMARY.search(output), _STATES.search(output)
    if summary is None or states is None:
        return Search(is_refuted=False, states="?", trouble="the search broke off without a result")
    trouble = next((words for words in _TROUBLE if words in output), "")
    has_error = summary[1] != "0"
    if has_error and _OURS not in output:
        trouble = trouble or "the search ended with an error that is no property's"
    if not has_error and "Search not completed" in output:
        trouble = trouble or "the search was not completed"
    return Search(has_error, states[1], trouble)


def complaint(case: Case, search: Search) -> str:
    """Return what is wrong with the result of a case; empty = nothing."""
    if search.trouble:
        return search.trouble
    if case.expected is Expected.HOLDS:
        return "a property does not hold" if search.is_refuted else ""
    if search.is_refuted:
        return ""
    if case.expected is Expected.REACHED:
        return "honest ends never get through: the model shows nothing"
    return "nothing breaks without it: the model does not bite"


def prepared(model: str, folder: Path) -> Path:
    """Make the search program of a model; return its folder.

    Raises:
        subprocess.CalledProcessError: spin or the compiler refuses it.
    """
    place = folder / model
    place.mkdir()
    shutil.copy(MODELS / f"{model}.pml", place)
    for command in (("spin", "-a", f"{model}.pml"), COMPILE):
        subprocess.run(
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=True, timeout=LIMIT_S,
        )  # fmt: skip
    return place


def searched(case: Case, folder: Path) -> tuple[Search, float, list[str]]:
    """Search a case; return what was found, in how many seconds, and what the attacker said."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = partial(_pan, folder / case.model / "pan", Path(place), environment(case))
        search = read_search(run(*SEARCH))
        trails = [path.name for path in Path(place).glob("*.trail")]
        replayed = run("-r", trails[0], "-S") if trails else ""
    said = [line for line in replayed.splitlines() if _SAID.match(line)]
    return search, time.monotonic() - start, said


def main(arguments: Sequence[str] | None = None) -> int:
    """Search every wanted case, and print one line for each."""
    parser = argparse.ArgumentParser(description="let spin search the models in spec/model")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--show", action="store_true", help="print the counterexamples")
    wanted = parser.parse_args(arguments)
    cases = [case for case in CASES if wanted.only in case.name]
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"the model is not checked: it needs {' and '.join(missing)} (make system)")
        return 1 if os.environ.get("CI", "").lower() in {"1", "true", "yes"} else SKIPPED
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ironmesh-model-") as name:
        failures = _all(cases, Path(name), shows=wanted.show)
    print(
        f"\n{len(cases) - failures} of {len(cases)} as expected, {time.monotonic() - start:.0f} s"
    )
    return 0 if cases and not failures else 1


def _all(cases: Sequence[Case], folder: Path, *, shows: bool) -> int:
    failures = 0
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        try:
            list(pool.map(partial(prepared, folder=folder), dict.fromkeys(c.model for c in cases)))
        except subprocess.CalledProcessError as error:
            print(error.stdout, file=sys.stderr)
            return len(cases)
        results = pool.map(partial(searched, folder=folder), cases)
        for case, (search, seconds, said) in zip(cases, results, strict=True):
            wrong = complaint(case, search)
            failures += bool(wrong)
            mark = "FAIL" if wrong else "ok"
            print(f"{mark:<4} {case.name:<62} {search.states:>8} states {seconds:5.1f} s  {wrong}")
            for line in said if shows else ():
                print(f"       {line}")
            sys.stdout.flush()
    return failures


def _pan(program: Path, place: Path, told: Mapping[str, str], *options: str) -> str:
    try:
        return subprocess.run(
            [program, *options], cwd=place, env=dict(told), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=LIMIT_S,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""


def _last_check(names: Sequence[str]) -> str:
    return [name for name in names if name.startswith("NO_")][-1]


if __name__ == "__main__":
    sys.exit(main())
