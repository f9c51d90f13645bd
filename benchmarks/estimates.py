"""`python -m benchmarks.estimates`: plan and run twenty jobs, keep the numbers, write the page; about ten minutes."""

from __future__ import annotations

import argparse

from benchmarks.page import write_page
from benchmarks.prepare import prepare_models
from benchmarks.run import run_section, say


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimates", description="Plans beside runs.")
    parser.add_argument("--rounds", type=int, default=1, help="how often each data set is planned and run")
    parser.add_argument("--quick", action="store_true", help="five of the twenty; kept apart")
    options = parser.parse_args()
    prepare_models(say)
    run_section("estimates", options.rounds, options.quick)
    say(f"written: {write_page(quick=options.quick)}")


if __name__ == "__main__":
    main()
