"""From `chyves start` to the exec of the hypervisor, less the zfs calls on the way; what confinement adds to a start; what a
supervisor keeps in memory."""

import os
import shutil
import statistics
import sys
import time

from .ground import run

WHAT = "start to the exec of QEMU with 10, 100 and 1,000 guests; what confinement adds; a supervisor's memory"
OWN_BOUND_SECONDS = 0.1
RESIDENT_BOUND_KIB = 4096
CONFINED_BOUND_SECONDS = 0.01


def measure(ground, options, table):
    image = ground.tiny()
    if image is None:
        table.broken("the tiny test guest was not built (scripts/guest/build target/guests): no start is measured")
        return
    # What stands in for QEMU here is a script, whose shell a confined process does not see.
    ground.do("create", "zbench", "--image", image, "--loader", "bios", "accel=tcg", "confine=off")
    confined(ground, max(5, options.runs * 2), table)
    for count in options.guests:
        ground.fill(count)
        gap, own, size = cost(ground, max(3, options.runs // 2))
        table.row("start → exec of QEMU", count, None, gap * 1000, (gap - own) * 1000, None)
        table.note(f"own {own * 1000:.1f} ms; a supervisor keeps {size} KiB")
        if size > RESIDENT_BOUND_KIB:
            table.broken(f"a supervisor keeps {size} KiB, more than {RESIDENT_BOUND_KIB}")
        if own > OWN_BOUND_SECONDS:
            table.broken(f"start at {count} guests takes {own:.3f} s of its own, more than {OWN_BOUND_SECONDS}")


def confined(ground, runs, table):
    """What a confined start costs more than one that is not: taken in turns, and the fastest of each compared, since whatever
    else a busy host does can only add to either."""
    took = {"off": [], "full": []}
    for turn in range(runs + 1):
        for level in ("off", "full") if turn % 2 else ("full", "off"):
            ground.do("set", "zbench", f"confine={level}")
            began = time.time()
            ground.do("start", "zbench")
            # The first turn only warms the caches.
            if turn:
                took[level].append(time.time() - began)
            ground.do("stop", "zbench", "--now")
    ground.do("set", "zbench", "confine=off")
    bare, full = min(took["off"]), min(took["full"])
    more = full - bare
    medians = [statistics.median(took[level]) * 1000 for level in ("off", "full")]
    table.row("start confined / not", runs, None, full * 1000, bare * 1000, full / bare)
    table.note(f"confinement adds {more * 1000:.1f} ms to the fastest start (medians {medians[0]:.1f} and {medians[1]:.1f} ms)")
    if more > CONFINED_BOUND_SECONDS:
        table.broken(f"a confined start takes {more * 1000:.1f} ms more, not {CONFINED_BOUND_SECONDS * 1000:.0f} at most")


def cost(ground, runs):
    """Seconds to the exec, of them its own, and what the supervisor keeps, in KiB."""
    stub = ground.dir + "/stub"
    os.makedirs(stub, exist_ok=True)
    moments = ground.dir + "/moments"
    real = shutil.which("qemu-system-x86_64")
    with open(stub + "/qemu-system-x86_64", "w", encoding="utf-8") as handle:
        handle.write(f'#!/bin/sh\ndate +%s.%N >>{moments}\nexec {real} "$@"\n')
    os.chmod(stub + "/qemu-system-x86_64", 0o755)
    env = dict(ground.env, CHYVES_PATH=stub)
    calls = ground.calls([ground.chyves, "start", "zbench", "--dry-run"])
    guest = f"{ground.root}/guests/zbench"
    gaps, owns, sizes = [], [], []
    for _ in range(runs):
        open(moments, "w", encoding="utf-8").close()
        began = time.time()
        run(ground.chyves, "start", "zbench", env=env)
        with open(moments, encoding="utf-8") as handle:
            gap = float(handle.read().split()[0]) - began
        sizes.append(resident(ground))
        run(ground.chyves, "stop", "zbench", "--now", env=env)
        # A start looks at the guest and mounts its file system; unmounting is measured with it, to begin anew.
        gaps.append(gap)
        owns.append(gap - ground.bare([*calls, ["zfs", "mount", guest], ["zfs", "unmount", guest]]))
    return statistics.median(gaps), statistics.median(owns), max(sizes)


def resident(ground):
    """What the one supervisor of this ground keeps in memory, in KiB."""
    told = f"CHYVES_RUNDIR={ground.env['CHYVES_RUNDIR']}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as handle:
                words = handle.read().split(b"\0")
            with open(f"/proc/{pid}/environ", "rb") as handle:
                environment = handle.read().split(b"\0")
            if len(words) > 1 and words[1] == b"_supervise" and told in environment:
                with open(f"/proc/{pid}/status", encoding="utf-8") as handle:
                    return next(int(line.split()[1]) for line in handle if line.startswith("VmRSS:"))
        except OSError:
            continue
    sys.exit("bench: no supervisor found")
