"""Runs a command and tells when its processes began and ended: how much of the time it worked itself, and how much it waited
for programs.

usage: trace.py UNTIL COMMAND ...

Processes that run COMMAND's own program are its own, such as a supervisor that it leaves behind. Every other program that one
of them runs counts from its fork to its end. What is measured is the time from COMMAND's exec to that of a program called
UNTIL. Prints JSON: the whole time, the time in which none of those programs ran, and their command lines.

The kernel stops a process for the tracer at forks, execs and ends alone, so that nothing else is slowed. What the tracer takes
at such a stop counts as the command's own.
"""

import ctypes
import json
import os
import signal
import sys
import time

TRACEME, CONT, SETOPTIONS, GETEVENTMSG = 0, 7, 0x4200, 0x4201
FORK, VFORK, CLONE, EXEC = 1, 2, 3, 4
OPTIONS = 1 << FORK | 1 << VFORK | 1 << CLONE | 1 << EXEC
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")


def born(pid):
    """The process that a stopped one has just made."""
    message = ctypes.c_ulong()
    ptrace(GETEVENTMSG, pid, ctypes.addressof(message))
    return message.value


def words(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as handle:
        return handle.read().decode(errors="replace").rstrip("\0").split("\0")


class Trace:
    """What is known of the command's processes."""

    def __init__(self, until, own):
        self.until, self.own_program = until, own
        self.began = self.ended = None
        # Processes of the command's own program; programs that they run: their beginning, end and words.
        self.own, self.programs = set(), {}

    def forked(self, parent, child, now):
        if parent in self.own:
            self.programs[child] = [now, None, None]

    def execed(self, pid, now):
        # The program itself, not a name that it was called by.
        if os.readlink(f"/proc/{pid}/exe") == self.own_program:
            self.own.add(pid)
            self.programs.pop(pid, None)
            self.began = self.began or now
        elif pid in self.programs:
            line = words(pid)
            self.programs[pid][2] = self.programs[pid][2] or line
            if os.path.basename(line[0]) == self.until and self.ended is None:
                # What follows is that program's.
                self.ended = now
                del self.programs[pid]

    def gone(self, pid, now):
        if pid in self.programs and self.programs[pid][1] is None:
            self.programs[pid][1] = now
            # Its number may be somebody else's from now on.
            self.programs[f"{pid} at {now}"] = self.programs.pop(pid)
        self.own.discard(pid)

    def sum_up(self):
        if self.ended is None:
            sys.exit(f"trace: no program called `{self.until}` was run")
        spans = sorted([a, min(b or self.ended, self.ended), w] for a, b, w in self.programs.values() if a < self.ended)
        waited, upto = 0.0, self.began
        for begin, end, _ in spans:
            waited += max(0.0, end - max(begin, upto))
            upto = max(upto, end)
        whole = self.ended - self.began
        return {"whole": whole, "own": whole - waited, "programs": [line or ["?"] for _, _, line in spans]}


def resume(pid, with_signal=0):
    try:
        ptrace(CONT, pid, with_signal)
    except OSError:
        pass  # it was killed meanwhile


def main():
    until, command = sys.argv[1], sys.argv[2:]
    root = os.fork()
    if root == 0:
        ptrace(TRACEME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execvp(command[0], command)
    os.waitpid(root, WALL)
    ptrace(SETOPTIONS, root, OPTIONS)
    trace = Trace(until, os.path.realpath(command[0]))
    resume(root)
    # Each new process stops once before it does anything, and may be seen doing so before the one that made it is.
    known, first, early = {root}, set(), set()
    while True:
        pid, status = os.waitpid(-1, WALL)
        now = time.perf_counter()
        if not os.WIFSTOPPED(status):
            trace.gone(pid, now)
            known.discard(pid)
            if pid == root:
                # With this process all that it traces goes on by itself.
                print(json.dumps(trace.sum_up()))
                sys.exit(0 if status == 0 else f"trace: `{' '.join(command)}` failed")
            continue
        event, number = status >> 16, os.WSTOPSIG(status)
        if pid not in known:
            early.add(pid)
            continue
        if event in (FORK, VFORK, CLONE):
            child = born(pid)
            known.add(child)
            if event != CLONE:
                trace.forked(pid, child, now)
            if child in early:
                early.discard(child)
                resume(child)
            else:
                first.add(child)
        elif event == EXEC:
            trace.execed(pid, now)
        elif number == signal.SIGSTOP and pid in first:
            first.discard(pid)
        else:
            resume(pid, number)
            continue
        resume(pid)


if __name__ == "__main__":
    main()
