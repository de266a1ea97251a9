"""One guest in QEMU for `check`: its process, its serial console and its QMP monitor.

Not its job: what is checked, and anything that chyves does. This drives QEMU directly, so that a fault
found here is a fault of the image and not of chyves.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

# Seconds. Only a guest that hangs meets it: a busy machine may be slow, and that is no fault of the image.
PATIENCE = 240


class Failed(Exception):
    """What was waited for did not come, or something else did."""


def ovmf():
    """(code, variables) of a UEFI firmware without secure boot, the newer 4M layout first."""
    for size in ("_4M", ""):
        code, variables = (f"/usr/share/OVMF/OVMF_{part}{size}.fd" for part in ("CODE", "VARS"))
        if os.path.exists(code) and os.path.exists(variables):
            return code, variables
    raise Failed("no OVMF firmware in /usr/share/OVMF: install the package ovmf")


class Guest:
    """A running guest, used as `with Guest(folder, disk) as guest`: the process is gone afterwards, whatever happened.

    folder  a scratch folder; UEFI variables stay in it, so a second guest in the same folder finds them
    disk    the image to boot, written to
    uefi    OVMF instead of SeaBIOS
    bus     the first disk's: "virtio" or "ahci"
    more    further QEMU arguments
    """

    def __init__(self, folder, disk, uefi=False, bus="virtio", memory=512, more=()):
        self.folder = folder
        self.text = ""  # all that the console has said
        self.seen = 0  # how far expect() has read it
        self.events = []  # QMP events, all of them
        self.replies = []  # QMP answers not yet taken
        self.partial = b""
        device = {"virtio": "virtio-blk-pci,drive=disk0", "ahci": "ide-hd,drive=disk0,bus=ide.0"}[bus]
        # Without bootindex OVMF, which numbers disks of one kind by their PCI place, takes a disk that
        # another has come before for a new one, and tries new ones only after its shell.
        device += ",bootindex=0"
        self.arguments = [
            "qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-nodefaults", "-display", "none", "-no-reboot",
            "-m", str(memory),
            "-chardev", f"socket,id=console,path={folder}/console", "-serial", "chardev:console",
            "-chardev", f"socket,id=monitor,path={folder}/monitor", "-mon", "chardev=monitor,mode=control",
            "-drive", f"if=none,id=disk0,format=raw,file={disk}", "-device", device, *more,
        ]  # fmt: skip
        if uefi:
            code, variables = ovmf()
            if not os.path.exists(f"{folder}/variables"):
                shutil.copyfile(variables, f"{folder}/variables")
            self.arguments += [
                "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
                "-drive", f"if=pflash,unit=1,format=raw,file={folder}/variables",
            ]  # fmt: skip
        # Even a check that is killed takes its guests along.
        if shutil.which("setpriv"):
            self.arguments = ["setpriv", "--pdeathsig", "KILL", *self.arguments]

    def __enter__(self):
        self.process = self.console = self.monitor = None
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        for end in (self.console, self.monitor):
            if end:
                end.close()

    def _start(self):
        # We listen and QEMU connects before the guest's first instruction: no byte and no event is missed.
        listeners = [self._listen(name) for name in ("console", "monitor")]
        try:
            with open(f"{self.folder}/stderr", "wb") as stderr:
                self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
            self.console, self.monitor = (self._accept(listener) for listener in listeners)
        finally:
            for listener in listeners:
                listener.close()
        self.command("qmp_capabilities")

    def _listen(self, name):
        path = f"{self.folder}/{name}"
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        return listener

    def _accept(self, listener):
        deadline = time.monotonic() + PATIENCE
        while not select.select([listener], [], [], 0.2)[0]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(f"{self.folder}/stderr", errors="replace") as stderr:
                    raise Failed(f"QEMU did not start: {stderr.read().strip()}")
        return listener.accept()[0]

    def _wait_for(self, what, ready):
        """Reads both sockets until ready() gives something other than None, and returns that."""
        deadline = time.monotonic() + PATIENCE
        while (result := ready()) is None:
            open_ends = [end for end in (self.console, self.monitor) if end]
            if not open_ends:
                raise Failed(f"QEMU ended before {what}; the console's end: {self.text[-300:]!r}")
            readable = select.select(open_ends, [], [], max(0, deadline - time.monotonic()))[0]
            if not readable:
                raise Failed(f"waited {PATIENCE} s for {what}; the console's end: {self.text[-300:]!r}")
            for end in readable:
                self._read(end)
        return result

    def _read(self, end):
        try:
            data = end.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            end.close()
            if end is self.console:
                self.console = None
            else:
                self.monitor = None
        elif end is self.console:
            self.text += data.decode("latin-1")
        else:
            *lines, self.partial = (self.partial + data).split(b"\n")
            for message in map(json.loads, lines):
                if "event" in message:
                    self.events.append(message)
                elif "QMP" not in message:
                    self.replies.append(message)

    def expect(self, pattern):
        """The match of a regular expression in what the console says from where the last one ended."""

        def ready():
            match = re.compile(pattern).search(self.text, self.seen)
            if match:
                self.seen = match.end()
            return match

        return self._wait_for(f"{pattern!r} on the console", ready)

    def send(self, text):
        """Types on the console."""
        if not self.console:
            raise Failed(f"QEMU ended before {text!r} could be typed")
        self.console.sendall(text.encode())

    def command(self, name, **arguments):
        """A QMP command; its answer."""
        if not self.monitor:
            raise Failed(f"QEMU ended before the command {name}")
        self.monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        reply = self._wait_for(f"the answer to {name}", lambda: self.replies.pop(0) if self.replies else None)
        if "return" not in reply:
            raise Failed(f"QMP {name}: {reply}")
        return reply["return"]

    def event(self, name):
        """The first QMP event of this name, already there or still to come."""
        return self._wait_for(f"the event {name}", lambda: next((e for e in self.events if e["event"] == name), None))

    def ended(self):
        """Waits for QEMU's own end, and returns the reason that its SHUTDOWN event gives."""
        event = self.event("SHUTDOWN")
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("QEMU told of a shutdown and did not end") from None
        if status != 0:
            raise Failed(f"QEMU ended with status {status}")
        return event["data"]["reason"]
