"""A guest made from an image that is there, against the zfs calls that a person would type, for a small and a large image."""

import os
import statistics
import time

from .ground import run, timed

WHAT = "create --image, from an image of 1M and one of 16G, against zfs clone, mount and unmount"
# At most this many times the bare calls, whatever the image's size.
BOUND = 1.5
# The large image may cost so much more than the small one: nothing but noise.
EVEN = 1.25


def measure(ground, options, table):
    took = {}
    for name, size in (("small", 1 << 20), ("large", 16 << 30)):
        image(ground, name, size)
        calls = len(ground.calls([ground.chyves, "create", f"{name}-counted", "--image", name]))
        ratios, ours, bare = [], [], []
        for turn in range(options.runs + 1):
            mine = timed([ground.chyves, "-q", "create", f"{name}-a{turn}", "--image", name, "--cpu", "2"], ground.env)
            theirs = by_hand(ground, name, f"{name}-b{turn}")
            if turn:  # the first pair warms caches
                ours.append(mine)
                bare.append(theirs)
                ratios.append(mine / theirs)
        ratio = statistics.median(ratios)
        took[name] = statistics.median(ours)
        table.row(f"create --image {name}", name, calls, took[name] * 1000, statistics.median(bare) * 1000, ratio)
        if ratio > BOUND:
            table.broken(f"a guest from the {name} image takes {ratio:.2f} times zfs clone, mount and unmount, more than {BOUND}")
    if took["large"] > took["small"] * EVEN:
        table.broken(f"a guest from an image of 16G takes {took['large'] / took['small']:.2f} times one from an image of 1M")


def image(ground, name, size):
    """An image of that size that holds little, set up as an import leaves it: reading 16G of holes is another measurement."""
    dataset = f"{ground.root}/images/{name}"
    own = {"image.kind": "disk", "image.size": str(size), "image.added": "2026-01-31T12:00:00Z"}
    run("zfs", "create", "-o", "canmount=noauto", "-o", "recordsize=64K", *(w for k, v in own.items() for w in ("-o", f"chyves:{k}={v}")), dataset)
    if run("zfs", "get", "-H", "-o", "value", "mounted", dataset).strip() != "yes":
        run("zfs", "mount", dataset)
    with open(os.path.join(ground.dir, "mnt/chyves/images", name, "disk0.raw"), "wb") as file:
        file.write(os.urandom(1 << 16))
        file.truncate(size)
    unmount(dataset)
    run("zfs", "snapshot", dataset + "@ready")


def unmount(dataset):
    # zfs-fuse lets go of a file system some time after the last file in it was closed.
    for _ in range(100):
        run("zfs", "unmount", dataset, check=False)
        if run("zfs", "get", "-H", "-o", "value", "mounted", dataset).strip() == "no":
            return
        time.sleep(0.05)


def by_hand(ground, image, guest):
    """Seconds of the calls that make the same by hand: the clone with its settings, its file system mounted and unmounted."""
    to = f"{ground.root}/guests/{guest}"
    options = ["-o", "canmount=noauto"]
    for key in ("created", "epoch", "cpu", "disk0.kind", "disk0.size", "net0.backend", "image"):
        options += ["-o", f"chyves:{key}=1"]
    return ground.bare([["zfs", "clone", *options, f"{ground.root}/images/{image}@ready", to], ["zfs", "mount", to], ["zfs", "unmount", to]])
