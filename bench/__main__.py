"""Run the benchmarks: `python -m bench [--quick] [--only GROUP] [--json FILE] [--pages FOLDER]`.

Ours and the published node take turns, so that both feel alike what else the machine does. There
are five rounds, or as many as fit into ten minutes; `--quick` shows in two that all runs, with
figures of no value.
"""

from __future__ import annotations

import argparse
import compileall
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.contestants import AS_GOT, EVERYBODY, LIFTED, OURS, SOURCES, Contestant
from bench.counts import IN_FLIGHT, LIVE_TIMES, QUICK, Counts, Figures
from bench.process import BenchError, CannotError
from bench.report import RESULTS, STAGES, markdown, plot, put_into_page, stage_table
from bench.results import MESSAGE_SIZES, Results, machine_facts
from bench.sessions import connect, handshake
from bench.stages import stages
from bench.standing import commands, start
from bench.traffic import enqueue, messages, relay, round_trip


@dataclass(frozen=True, slots=True)
class Measure:
    """One measurement, and whom it concerns."""

    group: str
    title: str
    run: Callable[[Contestant], Figures]
    is_limited: bool = False
    """The published limits play a part in it, and the node is to be seen as installed too."""
    is_ours: bool = False
    """Only ours can be asked."""

    def concerns(self, contestant: Contestant, contestants: list[Contestant]) -> bool:
        """Tell whether it is worth while with this one."""
        if contestant.is_published and self.is_ours:
            return False
        # Where limits play no part, it would be the same measurement twice.
        return self.is_limited or contestant is not AS_GOT or LIFTED not in contestants


def measures(counts: Counts) -> list[Measure]:
    """Return all measurements but the profile."""
    bursts = (
        Measure(
            "messages", title, partial(messages, counts=counts, size=size), is_limited=size == 64
        )
        for size, title in MESSAGE_SIZES
    )
    connects = (
        Measure("connect", title, partial(connect, counts=counts, is_tls=is_tls))
        for title, is_tls in (("connect", False), ("connect with TLS", True))
    )
    return [
        *bursts,
        Measure("round-trip", "round trip", partial(round_trip, counts=counts), is_limited=True),
        Measure("handshake", "handshake alone", lambda _: handshake(counts), is_ours=True),
        *connects,
        Measure("relay", "relay in the middle", partial(relay, counts=counts)),
        Measure("enqueue", "durable enqueue", partial(enqueue, counts=counts), is_limited=True),
        Measure("start", "commands", commands),
        Measure("start", "start and idle", start),
    ]


PROFILE = "profile"
GROUPS = (*dict.fromkeys(measure.group for measure in measures(QUICK)), PROFILE)


def run(counts: Counts, contestants: list[Contestant], groups: tuple[str, ...]) -> Results:
    """Measure everything, round by round, the contestants taking turns."""
    results = Results(
        machine=machine_facts(),
        settings={
            "rounds": 0,
            "in flight": IN_FLIGHT,
            "transport": "plain ws unless the row says TLS",
            "wire of ours": "native",
            "live messages of ours": f"{LIVE_TIMES} for each durable one",
        },
        titles={contestant.key: contestant.title for contestant in contestants},
    )
    wanted = [measure for measure in measures(counts) if measure.group in groups]
    pairs = [(one, who) for one in wanted for who in contestants if one.concerns(who, contestants)]
    began, number = time.monotonic(), 0
    while number < counts.rounds and _has_time(number, time.monotonic() - began, counts.limit_s):
        results.note_load()
        _run_round(results, pairs, number)
        number += 1
        results.settings["rounds"] = number
    if PROFILE in groups:
        results.stages = stages(OURS, counts)
    results.note_load()
    return results


def _has_time(rounds_done: int, spent_s: float, limit_s: float) -> bool:
    """Tell whether another round as long as those before ends in time; one is always run."""
    return not rounds_done or spent_s * (rounds_done + 1) / rounds_done <= limit_s


def _run_round(results: Results, pairs: list[tuple[Measure, Contestant]], number: int) -> None:
    by_measure = {measure: [who for one, who in pairs if one is measure] for measure, _ in pairs}
    for measure, contestants in by_measure.items():
        # Every other round the other way round: who goes first may find a warmer machine.
        for contestant in contestants if number % 2 == 0 else contestants[::-1]:
            try:
                _measure(results, contestant, measure, number)
            except CannotError:
                pairs.remove((measure, contestant))


def _measure(results: Results, contestant: Contestant, measure: Measure, number: int) -> None:
    began = time.monotonic()
    try:
        figures = measure.run(contestant)
    except BenchError as error:
        results.leave_out(f"{measure.title}: {str(error).splitlines()[0]}")
        print(f"[{number + 1}] {measure.title}, {contestant.title}: {error}", flush=True)
        if isinstance(error, CannotError):
            raise
        return
    results.add(contestant.key, figures)
    told = ", ".join(f"{key} {value:,.2f}" for key, value in figures.items())
    took = time.monotonic() - began
    print(f"[{number + 1}] {measure.title}, {contestant.title} ({took:.1f} s): {told}", flush=True)


def _write_pages(results: Results, folder: Path) -> None:
    page = folder / "benchmarks.md"
    text = put_into_page(page.read_text(), RESULTS, markdown(results))
    page.write_text(put_into_page(text, STAGES, stage_table(results.stages)))
    (folder / "benchmarks.json").write_text(json.dumps(results.to_json(), indent=1) + "\n")
    (folder / "benchmarks.svg").write_text(plot(results))


def main() -> int:
    """Run and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny counts, one round")
    parser.add_argument("--rounds", type=int, help="so many rounds, however long they take")
    parser.add_argument("--only", action="append", choices=GROUPS, help="only this group")
    parser.add_argument("--ours", action="store_true", help="without the published node")
    parser.add_argument("--json", type=Path, help="write all values here")
    parser.add_argument(
        "--pages", type=Path, help="write table, plot and values into this folder, if all was run"
    )
    args = parser.parse_args()
    counts = QUICK if args.quick else Counts()
    if args.rounds:
        counts = replace(counts, rounds=args.rounds, limit_s=math.inf)
    contestants = [OURS] if args.ours else list(EVERYBODY)
    missing = [contestant for contestant in contestants if not contestant.python.exists()]
    if missing:
        print(f"no {missing[0].python}: run `make bench`, or give --ours", file=sys.stderr)
        return 2
    # As an installation does it, which the published node has behind it: else an environment that
    # writes no byte code (PYTHONDONTWRITEBYTECODE) has ours compile itself at every start.
    compileall.compile_dir(SOURCES, quiet=1)
    results = run(counts, contestants, tuple(args.only or GROUPS))
    print(f"\n{markdown(results)}")
    if results.stages:
        print(stage_table(results.stages))
    if args.json:
        args.json.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    if args.pages and not (args.quick or args.only or args.ours):
        _write_pages(results, args.pages)
    return 0 if results.values.get(OURS.key) or results.stages else 1


if __name__ == "__main__":
    sys.exit(main())
