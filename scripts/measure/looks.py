"""Commands that look, and the plan of a start, against the zfs calls that they make."""

WHAT = "list, get, info and start --dry-run with 10, 100 and 1,000 guests"
# Own work at most this share above the bare calls, of the commands that look.
LOOK_BOUND = 1.15
LOOKS = ("list", "get", "info")
CALLS_BOUND = 2


def measure(ground, options, table):
    for count in options.guests:
        ground.fill(count)
        last = f"g{count - 1:04}"
        whole = (["list"], ["get", "all", "ram"], ["get", "all", "all"], ["info", "all"])
        one = (["info", last], ["get", last, "ram"], ["get", last, "all"], ["start", last, "--dry-run"])
        for words in whole + one:
            calls, ratio, ours, bare = ground.compare([ground.chyves, *words], options.runs)
            shown = " ".join(words).replace(last, "GUEST")
            table.row(shown, count, calls, ours, bare, ratio)
            if words[0] in LOOKS and ratio > LOOK_BOUND:
                table.broken(f"`{shown}` at {count} guests takes {ratio:.2f} times the bare calls, more than {LOOK_BOUND}")
            if calls > CALLS_BOUND:
                table.broken(f"`{shown}` makes {calls} zfs calls, more than {CALLS_BOUND}")
