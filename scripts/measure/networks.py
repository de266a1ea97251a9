"""Planning the networks of a large host."""

import os
import statistics
import subprocess

from .ground import ROOT

WHAT = "planning the networks of 1,000 guests with 4 cards each on 200 bridges"
BOUND_MILLISECONDS = 50
SIZE = ["1000", "4", "200"]


def measure(ground, options, table):
    built = ["cargo", "build", "--quiet", "--release", "-p", "chyves-host", "--example", "plan_networks"]
    subprocess.run(built, cwd=ROOT, check=True)
    folder = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    command = [os.path.join(folder, "release", "examples", "plan_networks"), *SIZE, str(options.runs)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took = statistics.median(float(line) for line in said.split())
    table.row("planning 4,000 cards, 200 bridges", int(SIZE[0]), None, took, None, None)
    if took > BOUND_MILLISECONDS:
        table.broken(f"planning the networks of 1,000 guests takes {took:.0f} ms, more than {BOUND_MILLISECONDS}")
