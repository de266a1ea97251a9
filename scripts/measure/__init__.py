"""The measurements of scripts/bench, a file each; what they stand on is ground.py.

A measurement is a module with `WHAT`, one line for people, and `measure(ground, options, table)`. It takes the program and
what it is held against side by side, A B A B, and tells the median of the pairwise ratios: machines are shared and noisy. A
bound that the project promises and that does not hold is told by `table.broken`.
To add one: a file here, and its name in MEASUREMENTS.
"""

MEASUREMENTS = ["creates", "imports", "lab", "looks", "networks", "size", "starts", "storage", "traffic"]
