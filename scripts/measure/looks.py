"""Commands that look, and the plan of a start, against the zfs calls that they make.

Two ratios are taken. One is against the same calls made by hand just after, for the whole is what a person waits for. But a
daemon of ZFS may take a fifth more or less for one and the same call, by what was asked before it; so what the program adds
is seen where the calls run: the time of the whole over that of the calls, as the program's own trace tells it. That one has
the bound. What this harness takes to start and end any program is no work of the program's and is taken off: it is measured
by one that does nothing, in the same turn.
"""

import os
import statistics

from .ground import timed

WHAT = "list, get, info, completion and start --dry-run with 10, 100 and 1,000 guests"
# Own work at most this share above the calls, of the commands that look.
LOOK_BOUND = 1.15
LOOKS = ("list", "get", "info", "_complete")
CALLS_BOUND = 2


def measure(ground, options, table):
    for count in options.guests:
        ground.fill(count)
        last = f"g{count - 1:04}"
        whole = (["list"], ["get", "all", "ram"], ["get", "all", "all"], ["info", "all"], ["_complete", "--line", "chyves start g"])
        one = (["info", last], ["get", last, "ram"], ["get", last, "all"], ["start", last, "--dry-run"])
        for words in whole + one:
            calls, ratio, ours, bare = ground.compare([ground.chyves, *words], options.runs)
            shown = " ".join(words).replace(last, "GUEST")
            table.row(shown, count, calls, ours, bare, ratio)
            share, own = added(ground, words, options.runs)
            table.note(f"own {own * 1000:.2f} ms; {share:.2f} times its calls where they run")
            if words[0] in LOOKS and share > LOOK_BOUND:
                table.broken(f"`{shown}` at {count} guests takes {share:.2f} times its calls, more than {LOOK_BOUND}")
            if calls > CALLS_BOUND:
                table.broken(f"`{shown}` makes {calls} zfs calls, more than {CALLS_BOUND}")


def added(ground, words, runs):
    """How many times its calls a command takes, and its own seconds: medians."""
    file = ground.dir + "/trace"
    shares, owns = [], []
    for _ in range(runs):
        start = timed(["busybox", "true"], ground.env)
        open(file, "w", encoding="utf-8").close()
        whole = timed([ground.chyves, *words], dict(ground.env, CHYVES_TRACE=file)) - start
        with open(file, encoding="utf-8") as handle:
            # The process, when it began, how long it took, how it ended, its words.
            calls = sum(float(line.split()[2]) for line in handle) / 1000
        shares.append(whole / calls)
        owns.append(whole - calls)
    os.remove(file)
    return statistics.median(shares), statistics.median(owns)
