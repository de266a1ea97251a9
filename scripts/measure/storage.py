"""Clones, snapshots and the trash, many at once, against the bare zfs calls that they can't do without."""

import statistics

from .ground import run, timed

WHAT = "100 clones made, snapshotted, listed, deleted and destroyed; 10,000 snapshots listed"
CLONE_BOUND = 1.3
# Twice as many may take so much longer than twice as long: the machine is shared.
LINEAR_BOUND = 1.5
CLONES = 100
SNAPSHOTS = 10_000
# What makes or changes something: looking is chyves' own.
NEEDED = ("snapshot", "clone", "mount", "unmount", "set", "inherit", "rename", "destroy")


def measure(ground, options, table):
    image = ground.tiny()
    made = ["--image", image] if image else ["--size", "64M"]
    ground.do("create", "zsource", *made, "--loader", "bios")
    clones(ground, max(2, options.runs // 2), table)
    linear(ground, table)
    snapshots(ground, table)


def clones(ground, rounds, table):
    names = [f"c{n:03}" for n in range(CLONES)]
    words = [ground.chyves, "clone", "zsource", *names]
    calls = [call for call in ground.calls(words) if call[1] in NEEDED]
    taken = next(call[-1] for call in calls if call[1] == "snapshot")
    ratios, ours, bare = [], [], []
    for _ in range(rounds):
        ground.do("delete", *names, "--now", "--yes")
        theirs = ground.bare(calls)
        for name in names:
            run("zfs", "destroy", f"{ground.root}/guests/{name}")
        run("zfs", "destroy", taken)
        mine = timed(words, ground.env)
        ours.append(mine)
        bare.append(theirs)
        ratios.append(mine / theirs)
    ground.do("delete", *names, "--now", "--yes")
    ratio = statistics.median(ratios)
    table.row("clone GUEST NAME ...", CLONES, len(calls), statistics.median(ours) * 1000, statistics.median(bare) * 1000, ratio)
    if ratio > CLONE_BOUND:
        table.broken(f"{CLONES} clones take {ratio:.2f} times the bare calls, more than {CLONE_BOUND}")


def linear(ground, table):
    """Each command on so many guests, and on twice as many: the time for one may not grow with their number."""
    half = CLONES // 2
    each = {}
    for count in (half, 2 * half):
        names = [f"d{n:03}" for n in range(count)]
        ground.do("clone", "zsource", *names)
        steps = (["snapshot", *[f"{name}@s" for name in names]], ["list"], ["snapshot", "list"], ["delete", *names], ["trash", "empty", "--yes"])
        for words in steps:
            shown = " ".join(words[: 2 if words[0] in ("trash",) or words == ["snapshot", "list"] else 1])
            took = timed([ground.chyves, *words], ground.env)
            table.row(shown + " (all of them)", count, None, took * 1000, None, None)
            each.setdefault(shown, []).append(took / count)
    for shown, (few, many) in each.items():
        table.note(f"{shown}: {few * 1000:.1f} ms each of {half}, {many * 1000:.1f} ms each of {2 * half}")
        if many / few > LINEAR_BOUND:
            table.broken(f"`{shown}` takes {many / few:.2f} times as long for each of {2 * half} as for each of {half}, more than {LINEAR_BOUND}")


def snapshots(ground, table):
    """All snapshots of many guests: a command takes one of each of them, so that making them does not take hours."""
    ground.fill(CLONES)
    already = len(ground.do("snapshot", "list", "-H", "-o", "name").split())
    rounds = SNAPSHOTS // CLONES
    for n in range(rounds):
        run("zfs", "snapshot", "-r", f"{ground.root}/guests@s{n:05}")
    words = [ground.chyves, "snapshot", "list"]
    shown = len(ground.do("snapshot", "list", "-H", "-o", "name").split())
    if shown - already < SNAPSHOTS:
        table.broken(f"`snapshot list` shows {shown - already} of {SNAPSHOTS} snapshots")
    calls, ratio, ours, bare = ground.compare(words, 2)
    table.row("snapshot list", shown, calls, ours, bare, ratio)
    lists = sum("snapshot" in call for call in ground.calls(words))
    table.note(f"snapshot list: {lists} of its {calls} zfs calls reads snapshots")
    if lists != 1:
        table.broken(f"`snapshot list` asks {lists} times for {shown} snapshots, more than once")
