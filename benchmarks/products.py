"""What two processes of plain matrix products gain on this machine at this time: the most that two workers could."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.peer_process import environment

#: Fits the cache of one core, as a micro-batch does.
SIZE = 384
SCRIPT = """
import os, sys, time
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.sched_setaffinity(0, {int(sys.argv[3])})
import numpy as np
a = np.random.default_rng(0).random((int(sys.argv[2]), int(sys.argv[2])), np.float32)
for _ in range(50):
    a @ a
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for _ in range(int(sys.argv[1])):
    a @ a
print(time.perf_counter() - started, flush=True)
"""


def gain_of_two(products: int = 6000) -> float:
    """How many times more products two processes on a core each finish in the same time than one; 2 at best."""
    return 2 * time_processes(1, products) / time_processes(2, products)


def time_processes(count: int, products: int) -> float:
    """Seconds until the last of these processes, begun together, has done its products on one thread."""
    command, pipe = [sys.executable, "-c", SCRIPT, str(products), str(SIZE)], subprocess.PIPE
    running = [
        subprocess.Popen([*command, str(core)], stdin=pipe, stdout=pipe, text=True, env=environment())
        for core in sorted(os.sched_getaffinity(0))[:count]
    ]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(0.1)
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(float(process.communicate(timeout=300)[0].split()[-1]) for process in running)
    finally:
        for process in running:
            process.kill()
            process.wait()
