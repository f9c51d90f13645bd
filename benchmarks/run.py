"""Run sections of the benchmark and write the page.

    python -m benchmarks.run                      # every section, five rounds each
    python -m benchmarks.run text --rounds 5      # one again, alone
    python -m benchmarks.run --quick              # fewer rows, sides and rounds: under five minutes
    python -m benchmarks.run --page               # the page alone, from benchmarks/results/*.json
    python -m benchmarks.run --fresh              # with the models and their variants made anew first

Needs the environments of the peers (`python -m benchmarks.environments`; `make bench` makes them). A side that does not
run is named with its reason. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks.page import ORDER, write_page
from benchmarks.prepare import prepare_models
from benchmarks.results_file import describe_host, save
from models.errors import ModelError

#: In the order of the page.
SECTIONS = ORDER
QUICK = ("text", "mixes", "classify", "sequences", "null", "start")
ROUNDS, QUICK_ROUNDS = 5, 2


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def run_section(name: str, rounds: int, quick: bool) -> None:
    """Measure one section and keep its numbers."""
    module = importlib.import_module(f"benchmarks.sections.{name}")
    say(f"== {name}: {module.TITLE}")
    host, started = describe_host(), time.monotonic()
    result = module.measure(rounds, quick, say)
    result.host, result.seconds = host, round(time.monotonic() - started, 1)
    say(f"== {name}: {result.seconds:.0f} s, kept in {save(result).name}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure, and write the page.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; by default all")
    parser.add_argument("--rounds", type=int, help=f"by default {ROUNDS}; with --quick {QUICK_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="fewer rows, sides and rounds; kept apart")
    parser.add_argument("--page", action="store_true", help="assemble the page from the results that are there")
    parser.add_argument("--fresh", action="store_true", help="make models and variants anew first")
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"there is no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, found {options.rounds}")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    if not options.page:
        try:
            prepare_models(say, fresh=options.fresh)
            for name in options.sections or (QUICK if options.quick else SECTIONS):
                run_section(name, rounds, options.quick)
        except ModelError as error:
            sys.exit(f"{error}")
    say(f"written: {write_page(quick=options.quick)}")


if __name__ == "__main__":
    main()
