"""Run the benchmarks: `python -m bench [--quick] [--json FILE] [--markdown FILE] [--plot FILE]`.

Ours and the published node take turns, so that both feel alike what else the machine does. It takes
about ten minutes; `--quick` shows in one or two that everything runs, with figures of no value.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.contestants import AS_GOT, EVERYBODY, LIFTED, OURS, Contestant
from bench.measures import (
    IN_FLIGHT,
    QUICK,
    Counts,
    Figures,
    command,
    enqueue,
    handshake,
    messages,
    round_trip,
    start,
)
from bench.process import BenchError
from bench.report import markdown, plot, put_into_page
from bench.results import BURSTS, Results, machine_facts

Measure = Callable[[Contestant], Figures]

GROUPS = ("messages", "round-trip", "handshake", "enqueue", "start")


def measures(counts: Counts, groups: tuple[str, ...]) -> list[tuple[str, Measure, bool]]:
    """Return name, measurement, and whether the published limits play a part in it."""
    wanted: list[tuple[str, str, Measure, bool]] = [
        *(
            ("messages", title, partial(messages, counts=counts, size=size, prefix=prefix), True)
            for prefix, title, size in BURSTS
        ),
        ("round-trip", "round trip", partial(round_trip, counts=counts), True),
        ("handshake", "handshake", handshake, False),
        ("enqueue", "durable enqueue", partial(enqueue, counts=counts), True),
        ("start", "--help", command, False),
        ("start", "start and idle", start, False),
    ]
    return [(title, run, is_limited) for group, title, run, is_limited in wanted if group in groups]


def run(counts: Counts, contestants: list[Contestant], groups: tuple[str, ...]) -> Results:
    """Measure everything, round by round, the contestants taking turns."""
    results = Results(
        machine=machine_facts(),
        settings={"rounds": counts.rounds, "in flight": IN_FLIGHT, "transport": "plain ws"},
        titles={contestant.key: contestant.title for contestant in contestants},
    )
    for number in range(counts.rounds):
        for title, measure, is_limited in measures(counts, groups):
            # Every other round the other way round: who goes first may find a warmer machine.
            for contestant in contestants if number % 2 == 0 else contestants[::-1]:
                if contestant is AS_GOT and not is_limited and LIFTED in contestants:
                    continue  # limits play no part: it is the same measurement twice
                _measure(results, contestant, title, measure, number)
    return results


def _measure(
    results: Results, contestant: Contestant, title: str, measure: Measure, number: int
) -> None:
    began = time.monotonic()
    try:
        figures = measure(contestant)
    except BenchError as error:
        results.leave_out(f"{contestant.title}, {title}: {str(error).splitlines()[0]}")
        told = str(error)
    else:
        if not figures:
            results.leave_out(f"{contestant.title}, {title}: it cannot do this yet")
        results.add(contestant.key, figures)
        told = ", ".join(f"{key} {value:,.2f}" for key, value in figures.items())
    took = time.monotonic() - began
    print(f"[{number + 1}] {title}, {contestant.title} ({took:.1f} s): {told}", flush=True)


def main() -> int:
    """Run and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny counts, one round")
    parser.add_argument("--rounds", type=int, help="rounds instead of 5")
    parser.add_argument("--only", action="append", choices=GROUPS, help="only this group")
    parser.add_argument("--ours", action="store_true", help="without the published node")
    parser.add_argument("--json", type=Path, help="write all values here")
    parser.add_argument("--markdown", type=Path, help="put the table into this page")
    parser.add_argument("--plot", type=Path, help="draw the plot here (SVG)")
    args = parser.parse_args()
    counts = QUICK if args.quick else Counts()
    if args.rounds:
        counts = Counts(args.rounds, counts.messages, counts.round_trips, counts.enqueued)
    contestants = [OURS] if args.ours else list(EVERYBODY)
    missing = [contestant for contestant in contestants if not contestant.python.exists()]
    if missing:
        print(f"no {missing[0].python}: run `make bench`, or give --ours", file=sys.stderr)
        return 2
    results = run(counts, contestants, tuple(args.only or GROUPS))
    table = markdown(results)
    print(f"\n{table}")
    if args.json:
        args.json.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    if args.markdown:
        args.markdown.write_text(put_into_page(args.markdown.read_text(), table))
    if args.plot:
        args.plot.write_text(plot(results))
    return 1 if OURS.key not in results.values else 0


if __name__ == "__main__":
    sys.exit(main())
