"""Imports of packed disks against the same work done by the system's own tools."""

import hashlib
import os
import random
import statistics
import subprocess
import sys
import time

from .ground import run

WHAT = "image import of xz, gzip, zstd and bzip2 against TOOL -dc FILE | sha256sum"
# What the bytes take may be this much longer than the slowest of: the tools (and what our decoder takes longer than theirs),
# the bare writing of the same bytes. What an import takes before and after them is a row of its own, and taken off.
BOUND = 1.1
MIB = 128
PACKINGS = [
    ("nothing", None, ""), ("xz", ["xz", "-k", "-3", "-T1"], ".xz"), ("gzip", ["gzip", "-k"], ".gz"),
    ("zstd", ["zstd", "-q", "-k"], ".zst"), ("bzip2", ["bzip2", "-k"], ".bz2"),
]


def measure(ground, options, table):
    disk = ground.dir + "/disk"
    make(disk)
    with open(disk, "rb") as handle:
        whole = hashlib.file_digest(handle, "sha256").hexdigest()
    small = ground.dir + "/small"
    with open(disk, "rb") as source, open(small, "wb") as target:
        target.write(source.read(1 << 20))
    run("zfs", "create", ground.name + "/plain")
    starts = [imported(ground, small, None) for _ in range(options.runs)]
    start = statistics.median(starts)
    table.row("image import, packed by nothing", 1, None, start * 1000, None, None)
    for name, pack, ending in PACKINGS:
        if pack:
            run(*pack, disk)
        rows = [round_of(ground, disk, disk + ending, pack, whole, start) for _ in range(max(3, options.runs // 2) + 1)][1:]
        ours, tools, ratio, decoder, pool, slowest = (statistics.median(column) for column in zip(*rows))
        table.row(f"image import, packed by {name}", MIB, None, ours * 1000, tools * 1000, ratio)
        table.note(f"its decoder alone takes {decoder:.2f} times the tool; the same bytes on the pool {pool:.2f} times the tools")
        if slowest > BOUND:
            table.broken(f"an import of {name} takes {slowest:.2f} times the slowest of its parts, more than {BOUND}")


def imported(ground, file, whole):
    """How long an import takes; `whole`: the hash that it must come to."""
    took = seconds(lambda: ground.do("image", "import", file, "--name", "bench"))
    got = ground.do("image", "list", "-H", "-o", "sha256").strip()
    if whole and got != whole:
        sys.exit(f"bench: the import of {file} is {got}, not {whole}")
    ground.do("image", "delete", "bench", "--yes")
    return took


def round_of(ground, disk, file, pack, whole, start):
    """One import, and each of the works that it is made of; `start`: what it takes without them."""
    tool = [pack[0], "-dc", file] if pack else ["cat", file]
    ours = imported(ground, file, whole)
    tools = seconds(lambda: piped(tool, ["sha256sum"]))
    decoder = seconds(lambda: ground.do("dev", "unpack", file))
    alone = seconds(lambda: piped(tool, ["dd", "of=/dev/null", "bs=256k", "status=none"]))
    copy = f"{ground.dir}/mnt/plain/copy"
    pool = seconds(lambda: run("dd", f"if={disk}", f"of={copy}", "bs=64k", "conv=sparse,fsync"))
    os.remove(copy)
    return ours, tools, ours / tools, decoder / alone, pool / tools, (ours - start) / max(tools + max(0, decoder - alone), pool)


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def piped(first, second):
    """Two commands with a pipe between them, as a shell runs them."""
    with subprocess.Popen(first, stdout=subprocess.PIPE) as one:
        subprocess.run(second, stdin=one.stdout, stdout=subprocess.DEVNULL, check=True)
    if one.returncode != 0:
        sys.exit(f"bench: `{' '.join(first)}` failed")


def make(path):
    """A disk as disks are: text that compresses, noise that does not, and holes."""
    noise = random.Random(7)
    words = [bytes(noise.choices(b"abcdefghijklmnopqrstuvwxyz", k=noise.randint(2, 10))) for _ in range(4000)]
    with open(path, "wb") as handle:
        for block in range(MIB):
            if block % 8 == 7:
                handle.seek(1 << 20, os.SEEK_CUR)
            elif block % 8 in (2, 5):
                handle.write(noise.randbytes(1 << 20))
            else:
                handle.write(b" ".join(noise.choices(words, k=180000))[: 1 << 20].ljust(1 << 20))
        handle.truncate(MIB << 20)
