"""From `chyves start` to the exec of bhyve on a FreeBSD host that the lab plays, less the programs that run on the way.

The programs on the way are traced where they run: what they take under other conditions, such as a second time, with nothing
left to do, says nothing about what they took there. So its own time is that of the way in which none of them ran.
"""

import json
import os
import statistics
import subprocess
import sys

from . import trace
from .ground import run

WHAT = "start to the exec of bhyve in the lab, with 3 and 40 guests: its own time, and how many processes"
OWN_BOUND_SECONDS = 0.03


def measure(ground, options, table):
    image = ground.tiny()
    lab_program = os.path.join(os.path.dirname(ground.chyves), "chyves-lab")
    if image is None or not os.path.exists(lab_program):
        table.broken(f"no start in a lab is measured: the tiny test guest or {lab_program} was not built")
        return
    lab = Lab(ground, lab_program)
    try:
        lab.do("ifconfig", "bridge0", "create", "up")
        lab.do("kldload", "-n", "vmm", "nmdm")
        lab.do(ground.chyves, "create", "zlab", "--image", image, "--ram", "32M")
        counts = {}
        for count in (3, 40):
            ground.fill(count)
            programs, whole, own, least = lab.cost(max(3, options.runs))
            counts[count] = len(programs)
            table.row("start → exec of bhyve", count, len(programs), whole * 1000, (whole - own) * 1000, None)
            table.note(f"own {own * 1000:.1f} ms (at least {least * 1000:.1f}), of {', '.join(sorted(set(programs)))}")
            if own > OWN_BOUND_SECONDS:
                table.broken(f"start in the lab at {count} guests takes {own:.3f} s of its own, more than {OWN_BOUND_SECONDS}")
        if len(set(counts.values())) != 1:
            table.broken(f"the processes of a start grow with the number of guests: {counts}")
    finally:
        lab.close()


class Lab:
    """A lab around the ground's pool."""

    def __init__(self, ground, program):
        self.ground, self.program = ground, program
        self.dir = ground.dir + "/lab"
        run(program, "up", self.dir, "release=14.3", env=ground.env)
        self.env = dict(ground.env, CHYVES_LAB=self.dir)
        self.env["PATH"] = f"{self.dir}/bin:{self.env['PATH']}"

    def words(self, *words):
        return [self.program, "exec", self.dir, *words]

    def do(self, *words):
        return run(*self.words(*words), env=self.env)

    def start(self):
        """One start, traced; the guest is off again afterwards."""
        seen = json.loads(self.do(sys.executable, trace.__file__, "bhyve", self.ground.chyves, "-q", "start", "zlab"))
        self.do(self.ground.chyves, "-q", "stop", "zlab", "--now")
        return seen

    def cost(self, runs):
        """The programs on the way; the medians of the whole time and of its own; the least of its own."""
        self.start()  # warms caches
        seen = [self.start() for _ in range(runs)]
        counts = {len(one["programs"]) for one in seen}
        if len(counts) != 1:
            sys.exit(f"bench: starts of one guest run different numbers of programs: {sorted(counts)}")
        own = [one["own"] for one in seen]
        programs = [os.path.basename(line[0]) for line in seen[0]["programs"]]
        return programs, statistics.median(one["whole"] for one in seen), statistics.median(own), min(own)

    def close(self):
        subprocess.run(self.words(self.ground.chyves, "-q", "stop", "all", "--now"), env=self.env, stdin=subprocess.DEVNULL, check=False)
        subprocess.run([self.program, "down", self.dir], env=self.env, stdin=subprocess.DEVNULL, check=False)
