"""From `chyves start` to the exec of bhyve on a FreeBSD host that the lab plays, less the programs that run on the way."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

from .ground import run

WHAT = "start to the exec of bhyve in the lab, with 3 and 40 guests: its own time, and how many processes"
OWN_BOUND_SECONDS = 0.03

# Entering the lab costs what a program costs, so it is entered once for all of them.
TIMED = """
import json, os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)] + [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_WRONLY, 0) for n in (1, 2)]
began = time.perf_counter()
for call in json.loads(sys.argv[1]):
    os.waitpid(os.posix_spawnp(call[0], call, os.environ, file_actions=quiet), 0)
print(time.perf_counter() - began)
"""


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
            calls, gap, own = lab.cost(max(3, options.runs // 2))
            counts[count] = len(calls)
            table.row("start → exec of bhyve", count, len(calls), gap * 1000, (gap - own) * 1000, None)
            table.note(f"own {own * 1000:.1f} ms")
            if own > OWN_BOUND_SECONDS:
                table.broken(f"start in the lab at {count} guests takes {own:.3f} s of its own, more than {OWN_BOUND_SECONDS}")
        if len(set(counts.values())) != 1:
            table.broken(f"the processes of a start grow with the number of guests: {counts}")
    finally:
        lab.close()


class Lab:
    """A lab around the ground's pool, with wrappers that write down what is called."""

    def __init__(self, ground, program):
        self.ground, self.program = ground, program
        self.dir = ground.dir + "/lab"
        run(program, "up", self.dir, "release=14.3", env=ground.env)
        self.env = dict(ground.env, CHYVES_LAB=self.dir)
        self.env["PATH"] = f"{self.dir}/bin:{self.env['PATH']}"
        self.stub = ground.dir + "/labstub"
        self.log = ground.dir + "/labcalls"
        self.moments = ground.dir + "/labmoments"
        os.makedirs(self.stub)

    def words(self, *words):
        return [self.program, "exec", self.dir, *words]

    def do(self, *words, env=None):
        return run(*self.words(*words), env=env or self.env)

    def wrap(self, counting):
        """Wrappers: of bhyve, which tells its moment, and while it is counted of every other program."""
        shutil.rmtree(self.stub)
        os.makedirs(self.stub)
        tools = ["zfs", "zpool", "fuser", "ps", *os.listdir(self.dir + "/bin")] if counting else ["bhyve"]
        for tool in tools:
            real = shutil.which(tool, path=self.env["PATH"])
            note = f"date +%s.%N >>{self.moments}\n" if tool == "bhyve" else f'echo "{tool} $*" >>{self.log}\n'
            with open(f"{self.stub}/{tool}", "w", encoding="utf-8") as handle:
                # The stand-ins know themselves by the name that they are called by.
                handle.write(f'#!/bin/sh\n{note}exec {real} "$@"\n')
            os.chmod(f"{self.stub}/{tool}", 0o755)
        open(self.log, "w", encoding="utf-8").close()
        open(self.moments, "w", encoding="utf-8").close()

    def start(self):
        """Seconds to the exec of bhyve."""
        open(self.moments, "w", encoding="utf-8").close()
        # The lab's own folder would stand first again: its `exec` puts it there.
        env = dict(self.env)
        began = time.time()
        run(*self.words("env", f"PATH={self.stub}:{env['PATH']}", self.ground.chyves, "start", "zlab"), env=env)
        with open(self.moments, encoding="utf-8") as handle:
            return float(handle.read().split()[0]) - began

    def stop(self):
        self.do(self.ground.chyves, "-q", "stop", "zlab", "--now")

    def cost(self, runs):
        """The programs on the way, seconds to the exec, and of them its own."""
        self.wrap(counting=True)
        self.start()
        with open(self.log, encoding="utf-8") as handle:
            calls = [line.split(" ") for line in handle.read().splitlines()]
        self.stop()
        self.wrap(counting=False)
        # What the description of a tap says has no blanks, so a line's words are the arguments.
        calls = [[word for word in call if word] for call in calls]
        # That of entering the lab is the measurement's own.
        enter = self.words("true")
        gaps, owns = [], []
        for _ in range(runs):
            gap = self.start()
            self.stop()
            bare = self.inside(calls) + self.bare([enter])
            self.undo(calls)
            gaps.append(gap)
            owns.append(gap - bare)
        return calls, statistics.median(gaps), statistics.median(owns)

    def inside(self, calls):
        """Seconds that programs take one after the other for one who is in the lab already, whatever they end with."""
        return float(self.do(sys.executable, "-c", TIMED, json.dumps(calls)))

    def bare(self, calls):
        began = time.perf_counter()
        for call in calls:
            subprocess.run(call, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return time.perf_counter() - began

    def undo(self, calls):
        """Takes back what the bare calls have made."""
        for call in calls:
            if call[:3] == ["ifconfig", "tap", "create"]:
                self.inside([["ifconfig", call[-1], "destroy"]])
            if call[:2] == ["zfs", "mount"]:
                self.bare([["zfs", "unmount", call[-1]]])

    def close(self):
        subprocess.run(self.words(self.ground.chyves, "-q", "stop", "all", "--now"), env=self.env, stdin=subprocess.DEVNULL, check=False)
        subprocess.run([self.program, "down", self.dir], env=self.env, stdin=subprocess.DEVNULL, check=False)
