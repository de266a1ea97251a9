"""The size of the release executable, which is one file to copy to a host."""

import os

WHAT = "the size of the executable that `make build` makes"
# In bytes.
BOUND = 8 << 20


def measure(ground, _options, table):
    size = os.stat(ground.chyves).st_size
    table.note(f"{ground.chyves}: {size / (1 << 20):.2f} MiB")
    if size > BOUND:
        table.broken(f"the executable has {size / (1 << 20):.2f} MiB, more than {BOUND >> 20}")
