# SPDX-License-Identifier: MIT
"""A followed log when the kernel fails: each read, stat, open, mmap, send and allocation in turn, once.

The log was read to its second line and then rotated twice, once packed.  Whatever fails, the reader ends with a word or
goes on, and after one more run without a fault every line was told, and none twice.
"""
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

import programs as lib
from servers import wait_until
from test_faults import SANITIZED, SHIM, check_end, places, possible
from test_log import NOW, append, line, wanted

KINDS = possible("read:{}:5", "stat:{}:5", "open:{}:24", "mmap:{}", "send:{}", "write:{}:28", "malloc:{}", "short", "eintr")

pytestmark = pytest.mark.skipif(not SHIM.exists() or SANITIZED, reason="needs a build without sanitizers and its shim")


class Host:
    """A log, a state folder and a socket that stands for the collector."""

    def __init__(self, folder, programs):
        self.folder, self.programs = folder, programs
        self.log, self.seen, self.clock = folder / "mainlog", folder / "seen", folder / "clock"
        self.clock.write_text("0\n")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(str(folder / "tlsrpt.sock"))
        self.socket.setblocking(False)

    def command(self, *arguments):
        return [str(self.programs.log), "-o", f"state_dir={self.folder}/state", "--mta", "exim", "--follow", str(self.log),
                "--socket", str(self.folder / "tlsrpt.sock"), *arguments]

    def environment(self, fault):
        self.seen.unlink(missing_ok=True)
        faulty = {"LD_PRELOAD": str(SHIM), "SHIM_FAULT": fault, "SHIM_FAULT_SEEN": str(self.seen)} if fault else {}
        return dict(os.environ, TLSRPT_GEN_CLOCK=str(self.clock), TZ="UTC", LC_ALL="C.UTF-8", **faulty)

    def run(self, fault=None):
        done = subprocess.run(self.command("--once"), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=lib.RUN_S, env=self.environment(fault), check=False)
        check_end(done, fault)
        assert fault or done.returncode == 0, done.stderr
        return done.stderr

    def told(self):
        """Domains that wait in the socket; what comes twice under one number the collector counts once."""
        found = {}
        while True:
            try:
                datagram = json.loads(self.socket.recv(65536))
            except BlockingIOError:
                return sorted(found.values())
            found[datagram["log-id"], datagram["log-number"]] = datagram["d"]

    def keep(self):
        shutil.copytree(self.folder / "state", self.folder / "before")

    def begin_again(self):
        shutil.rmtree(self.folder / "state")
        shutil.copytree(self.folder / "before", self.folder / "state")


@pytest.fixture
def host(tmp_path, programs):
    host = Host(tmp_path, programs)
    host.clock.write_text(f"{lib.utc_seconds(NOW) - int(os.stat(tmp_path).st_ctime)}\n")
    append(host.log, line(1), line(2))
    host.run()
    assert host.told() == wanted([1, 2])
    host.keep()
    yield host
    host.socket.close()


def rotate(host):
    """Line 3 ends in the packed file, line 4 was a file of its own, 5 and 6 stand in the log."""
    append(host.log, line(3))
    packed, older = host.folder / "mainlog.2.gz", host.folder / "mainlog.1"
    packed.write_bytes(gzip.compress(host.log.read_bytes()))
    host.log.unlink()
    append(older, line(4))
    append(host.log, line(5), line(6))
    for age, path in enumerate((host.log, older, packed)):
        os.utime(path, (os.stat(host.folder).st_ctime - 10 * age,) * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_each_place(host, kind):
    rotate(host)
    for place in places(kind) if "{" in kind else [0]:
        fault = kind.format(place)
        host.begin_again()
        words = host.run(fault)
        was_hit = host.seen.exists()
        words += host.run()
        assert host.told() == wanted([3, 4, 5, 6]), f"{fault}:\n{words}"
        if not was_hit:
            break


@pytest.mark.parametrize("kind", ["read:{}:5", "stat:{}:5", "open:{}:24", "eintr"])
def test_rotation_under_the_reader(host, kind):
    """The fault comes while the reader waits for lines and its log is rotated; it may end, and is then started again."""
    for place in range(4, 60, 8) if "{" in kind else [0]:
        fault = kind.format(place)
        host.begin_again()
        for old in host.folder.glob("mainlog*"):
            old.unlink()
        append(host.log, line(1), line(2))
        with open(host.folder / "output", "wb") as output:
            reader = subprocess.Popen(host.command(), env=host.environment(fault), stdin=subprocess.DEVNULL, stdout=output,
                                      stderr=output)
        wait_until(lambda: b"event=log_followed" in (host.folder / "output").read_bytes() or reader.poll() is not None,
                   "the reader to follow its log")
        append(host.log, line(3))
        host.log.rename(host.folder / "mainlog.1")
        append(host.log, line(4), line(5))
        wait_until(lambda: b"event=log_rotated" in (host.folder / "output").read_bytes() or reader.poll() is not None,
                   "the reader to see the rotation")
        if reader.poll() is None:
            reader.send_signal(signal.SIGTERM)
        words = (host.folder / "output").read_text()
        check_end(subprocess.CompletedProcess(reader.args, reader.wait(30), None, words), fault)
        words += host.run()
        assert host.told() == wanted([3, 4, 5]), f"{fault}:\n{words}"
