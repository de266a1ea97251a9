"""What measurements stand on: a pool on a file, commands and their times, the table that is printed."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What a guest carries besides its identity, so that reading it costs what it costs in life.
SETTINGS = {
    "created": "2026-01-31T12:00:00Z", "epoch": "1", "cpu": "2", "ram": "1G", "loader": "uefi", "autostart": "1",
    "description": "a guest among many", "notes": "nothing to say", "disk0.kind": "raw", "disk0.size": "8G",
    "disk0.bus": "virtio-blk", "net0.backend": "auto", "net0.model": "virtio-net", "stop_timeout": "60",
}


def run(*words, env=None, check=True):
    """Runs a command to its end; what it printed."""
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if check and done.returncode != 0:
        sys.exit(f"bench: `{' '.join(words)}` failed: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def timed(words, env):
    """Seconds that a command takes, which must succeed."""
    began = time.perf_counter()
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"bench: `{' '.join(words)}` failed: {done.stderr.decode().strip()}")
    return took


class Ground:
    """A pool on a file with chyves on it, and nothing of it left afterwards."""

    def __init__(self, chyves):
        self.dir = tempfile.mkdtemp(prefix="chyves-bench-", dir=os.environ.get("CHYVES_BENCH_CELL", "/var/tmp"))
        self.name = "bench" + uuid.uuid4().hex[:8]
        # A clean environment: the calls that are compared see the same.
        self.env = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C", "CHYVES_RUNDIR": self.dir + "/run"}
        self.chyves = chyves
        self.count = 0
        file = self.dir + "/pool"
        with open(file, "wb") as handle:
            handle.truncate(4 << 30)
        run("zpool", "create", "-o", "cachefile=none", "-m", self.dir + "/mnt", self.name, file)
        self.do("pool", "init", self.name)
        self.root = self.name + "/chyves"
        self.owner = run("zfs", "get", "-H", "-o", "value", "chyves:host", self.root).strip()

    def do(self, *words):
        """One command of chyves."""
        return run(self.chyves, *words, env=self.env)

    def fill(self, count):
        """Makes guests up to a number, by bare zfs: the same datasets that `chyves create` makes, without their files."""
        while self.count < count:
            own = dict(SETTINGS, uuid=str(uuid.uuid4()), owner=self.owner)
            options = [word for key, value in own.items() for word in ("-o", f"chyves:{key}={value}")]
            run("zfs", "create", "-o", "canmount=noauto", *options, f"{self.root}/guests/g{self.count:04}")
            self.count += 1

    def tiny(self):
        """The image of the tiny test guest, imported once; none where it was not built."""
        image = os.path.join(os.environ.get("CHYVES_TEST_GUESTS", ROOT + "/target/guests"), "tiny.img")
        if not os.path.exists(image):
            return None
        if "benchtiny" not in self.do("image", "list", "-H", "-o", "name").split():
            self.do("image", "import", image, "--name", "benchtiny")
        return "benchtiny"

    def calls(self, words):
        """The commands of ZFS that one run of chyves makes, counted by wrappers that are found first."""
        folder = self.dir + "/wrap"
        log = self.dir + "/calls"
        os.makedirs(folder, exist_ok=True)
        for tool in ("zfs", "zpool"):
            real = shutil.which(tool, path=self.env["PATH"])
            with open(f"{folder}/{tool}", "w", encoding="utf-8") as handle:
                handle.write(f'#!/bin/sh\necho "{tool} $*" >>{log}\nexec {real} "$@"\n')
            os.chmod(f"{folder}/{tool}", 0o755)
        open(log, "w", encoding="utf-8").close()
        run(*words, env=dict(self.env, CHYVES_PATH=folder))
        with open(log, encoding="utf-8") as handle:
            return [line.split() for line in handle.read().splitlines()]

    def bare(self, calls):
        """Seconds that commands take one after the other, whatever they end with."""
        began = time.perf_counter()
        for call in calls:
            subprocess.run(call, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return time.perf_counter() - began

    def compare(self, words, runs):
        """A command that changes nothing against the ZFS calls that it makes: how many, median ratio, both medians in ms."""
        calls = self.calls(words)
        ratios, ours, bare = [], [], []
        for turn in range(runs + 1):
            mine = timed(words, self.env)
            theirs = self.bare(calls)
            if turn:  # the first pair warms caches
                ours.append(mine)
                bare.append(theirs)
                ratios.append(mine / theirs)
        return len(calls), statistics.median(ratios), statistics.median(ours) * 1000, statistics.median(bare) * 1000

    def close(self):
        """Takes all of it away."""
        subprocess.run([self.chyves, "-q", "stop", "all", "--now"], env=self.env, stdin=subprocess.DEVNULL, check=False)
        # zfs-fuse lets go of a file system some time after it was unmounted.
        for _ in range(100):
            if subprocess.run(["zpool", "destroy", self.name], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                break
            time.sleep(0.1)
        shutil.rmtree(self.dir, ignore_errors=True)


class Table:
    """What is printed: a row a measured command, and at the end the bounds that do not hold."""

    def __init__(self):
        self.problems = []
        self.headed = False

    def row(self, what, count, calls, ours, bare, ratio):
        """A command, how many guests (or snapshots, …) there are, and times in milliseconds; None is left empty."""
        if not self.headed:
            print(f"{'command':<34} {'of':>6} {'calls':>6} {'chyves ms':>10} {'bare ms':>9} {'ratio':>6}")
            self.headed = True
        cell = lambda value, form: "" if value is None else format(value, form)
        print(f"{what:<34} {count:>6} {cell(calls, 'd'):>6} {cell(ours, '.1f'):>10} {cell(bare, '.1f'):>9} {cell(ratio, '.2f'):>6}", flush=True)

    def note(self, text):
        """A figure that is no ratio."""
        print("    " + text, flush=True)

    def broken(self, text):
        """A bound that does not hold."""
        self.problems.append(text)

    def close(self):
        """Tells whether all bounds hold."""
        for line in self.problems:
            print("broken:", line)
        print("all bounds hold" if not self.problems else f"{len(self.problems)} bounds broken")
        return 1 if self.problems else 0
