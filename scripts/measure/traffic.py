"""A guest that chyves started against a bare QEMU with the same command line on a bare tap of the same bridge."""

import contextlib
import ctypes
import os
import pty
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time

from .ground import ROOT, run

WHAT = "ping and a stream between a guest and a peer, against a bare QEMU on a bare tap of the same bridge"
# chyves is not in the way of packets: what is more than this is no noise.
BOUND = 1.25
PINGS = 60
STREAM_BYTES = 48 << 20
PORT = 5001
# Seconds; only what hangs meets it.
PATIENCE = 240
CLONE_NEWNET = 0x40000000
PEER, OURS, THEIRS = "10.7.0.2", "10.7.0.10", "10.7.0.11"

# Sends as much as it is told to whoever connects, and says how long it took until the other side had all of it.
SERVE = """
import socket, sys, time
size, block = int(sys.argv[3]), bytes(1 << 16)
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    print("ready", flush=True)
    with server.accept()[0] as peer:
        began = time.perf_counter()
        for _ in range(size // len(block)):
            peer.sendall(block)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
        print(time.perf_counter() - began)
"""


def measure(ground, options, table):
    image = os.path.join(os.environ.get("CHYVES_TEST_GUESTS", ROOT + "/target/guests"), "linux.img")
    if not os.path.exists(image):
        table.broken("the linux test guest was not built (scripts/guest/build target/guests): no packet is measured")
        return
    if not all(shutil.which(tool) for tool in ("ip", "ping", "nsenter", "qemu-system-x86_64")):
        table.broken("ip, ping, nsenter or qemu-system-x86_64 is missing: no packet is measured")
        return
    ground.do("image", "import", image, "--name", "traffic")
    with own_interfaces(), contextlib.ExitStack() as stack:
        peer = stack.enter_context(a_peer())
        ground.do("network", "bridge0", "attach", "em0")
        ground.do("create", "traffic", "--image", "traffic", "--ram", "128M", "loader=bios", "net0.backend=bridge")
        bare_disk = ground.dir + "/bare.raw"
        run("cp", "--sparse=always", image, bare_disk)
        ground.do("start", "traffic")
        stack.callback(ground.do, "stop", "traffic", "--now")
        words = command_line(ground)
        ours = Console.of_command([ground.chyves, "console", "traffic"], ground.env)
        stack.callback(ours.close)
        theirs = stack.enter_context(bare(words, bare_disk, ground.dir))
        for console, address in ((ours, OURS), (theirs, THEIRS)):
            console.logs_in()
            console.shell(f"ip address add {address}/24 dev eth0; ip link set eth0 up; ping -c 1 -w 60 {PEER} >/dev/null")
        compare(peer, ours, theirs, options, table)


def compare(peer, ours, theirs, options, table):
    """Round trips and streams, one of ours and one of the bare one in turn."""
    trips, streams = [], []
    for turn in range(options.runs + 1):
        # Who goes first changes, so that neither always follows the other.
        order = (0, 1) if turn % 2 else (1, 0)
        pair, both = [0.0, 0.0], [0.0, 0.0]
        for side in order:
            pair[side] = ping(peer, (OURS, THEIRS)[side])
            both[side] = stream(peer, (ours, theirs)[side])
        if turn:  # the first pair learns addresses and warms caches
            trips.append(pair)
            streams.append(both)
    for what, pairs in (("round trip, median", trips), (f"stream of {STREAM_BYTES >> 20} MiB", streams)):
        mine, bare_one = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        table.row(what, len(pairs), None, mine, bare_one, ratio)
        if ratio > BOUND:
            table.broken(f"{what} of a guest takes {ratio:.2f} times that of a bare QEMU, more than {BOUND}")
    mine, bare_one = ((STREAM_BYTES >> 20) / statistics.median(column) * 1000 for column in zip(*streams, strict=True))
    table.note(f"{mine:.0f} MiB/s through chyves' tap, {bare_one:.0f} MiB/s through a bare one")


def ping(peer, address):
    """The median round trip, in milliseconds."""
    said = run(*peer, "ping", "-n", "-i", "0.02", "-c", str(PINGS), "-W", "20", address)
    return statistics.median(float(time) for time in re.findall(r"time=([0-9.]+) ms", said))


def stream(peer, console):
    """Milliseconds until a guest has read all that the peer sends."""
    server = subprocess.Popen([*peer, sys.executable, "-c", SERVE, PEER, str(PORT), str(STREAM_BYTES)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        console.shell(f"nc {PEER} {PORT} >/dev/null")
        return float(server.stdout.readline()) * 1000
    finally:
        server.kill()
        server.wait()


def command_line(ground):
    """The words of the hypervisor that runs for this ground."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as handle:
            words = handle.read().decode(errors="replace").split("\0")[:-1]
            if os.path.basename(words[0] if words else "").startswith("qemu-system") and any(ground.dir in word for word in words):
                return words
    sys.exit("bench: no hypervisor found")


@contextlib.contextmanager
def bare(words, disk, folder):
    """A QEMU with the same words, but for what only one can have: disk, tap, address, identity, sockets; its console."""
    run("ip", "tuntap", "add", "dev", "bare0", "mode", "tap", "user", "0")
    run("ip", "link", "set", "dev", "bare0", "master", "bridge0", "up")
    text = "\n".join(word for word in words if word != "-S")
    text = re.sub(r"file\.filename=[^,\n]*disk0\.raw", "file.filename=" + disk, text)
    text = re.sub(r"ifname=[^,\n]*", "ifname=bare0", text)
    text = re.sub(r"mac=[0-9a-f:]*", "mac=58:9c:fc:00:00:99", text)
    text = re.sub(r"path=[^,\n]*/(qmp|serial)", f"path={folder}/bare-\\1", text)
    # It dies with this process, whatever ends that; in a session of its own, as chyves' is: the scheduler shares by session.
    words = ["setpriv", "--pdeathsig", "KILL", *text.split("\n")]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        console = Console.of_socket(folder + "/bare-serial")
        try:
            yield console
        finally:
            console.close()
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def own_interfaces():
    """Interfaces of its own, of which there is only the loopback; afterwards those from before."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            sys.exit("bench: no network namespace: " + os.strerror(ctypes.get_errno()))
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


@contextlib.contextmanager
def a_peer():
    """Another host behind the card em0: the words by which a command runs there."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        run("ip", "link", "add", "em0", "type", "veth", "peer", "name", "far", "netns", str(holder.pid))
        run("ip", "link", "set", "em0", "up")
        there = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        for words in (["address", "add", PEER + "/24", "dev", "far"], ["link", "set", "far", "up"], ["link", "set", "lo", "up"]):
            run(*there, "ip", *words)
        yield there
    finally:
        holder.kill()
        holder.wait()


class Console:
    """What a person does at a guest's console."""

    def __init__(self, read, write, close):
        self.file, self.write, self.close = read, write, close
        self.text = ""

    @classmethod
    def of_command(cls, words, env):
        mine, other = pty.openpty()
        process = subprocess.Popen(words, env=dict(env, TERM="vt100"), stdin=other, stdout=other, stderr=other, start_new_session=True)
        os.close(other)

        def close():
            process.kill()
            process.wait()
            os.close(mine)

        return cls(mine, lambda data: os.write(mine, data), close)

    @classmethod
    def of_socket(cls, path):
        deadline = time.monotonic() + PATIENCE
        while True:
            end = socket.socket(socket.AF_UNIX)
            try:
                end.connect(path)
                return cls(end.fileno(), end.sendall, end.close)
            except OSError:
                end.close()
                if time.monotonic() > deadline:
                    sys.exit(f"bench: nobody listens at {path}")
                time.sleep(0.05)

    def expect(self, pattern):
        """Waits for a text and forgets all up to its end."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                sys.exit(f"bench: waited in vain for `{pattern}` on a console; it said: {self.text[-400:]!r}")
            self.text += os.read(self.file, 65536).decode(errors="replace")
        self.text = self.text[found.end():]

    def logs_in(self):
        self.expect(r"login: ")
        self.write(b"root\r")
        self.expect(r"# ")

    def shell(self, line):
        """Runs a line and waits for its end."""
        self.write(f"{line}; echo do''ne $?\r".encode())
        self.expect(r"done \d+")
        self.expect(r"# ")
