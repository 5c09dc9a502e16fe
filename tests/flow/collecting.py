# SPDX-License-Identifier: MIT
"""What tests of the collector share: datagrams, what is stored, and ways to make its life hard."""
import contextlib
import fcntl
import os
import signal
import socket
import sqlite3
import struct
import subprocess

import programs as lib
from servers import wait_until

NONE = '{"policy-type":9,"t":0,"f":0}'
TYPES = {0: "tlsa", 1: "sts", 2: "no-policy-found"}


def datagram(domain, policy=NONE, more=""):
    return f'{{"dpv": "1","d": "{domain}",{more}"policies":[{policy}]}}'


def failed(detail='{"c":201}'):
    return f'{{"policy-type":9,"failure-details":[{detail}],"t":1,"f":1}}'


@contextlib.contextmanager
def store_of(site, mode="ro"):
    with contextlib.closing(sqlite3.connect(f"file:{site.settings['state_dir']}/sessions.db?mode={mode}", uri=True,
                                            isolation_level=None, timeout=20)) as db:
        yield db


def stored(site):
    """Every policy row as (domain, day, type, policy-domain, success, failure, [(result, reason, sessions)])."""
    with store_of(site) as db:
        rows = []
        for domain_id, name, day, policy_id, kind, policy_domain, success, failure in db.execute(
                "SELECT d.id, d.name, t.utc_day, p.id, p.type, p.policy_domain, t.success, t.failure"
                " FROM domain d JOIN tally t ON t.domain_id = d.id"
                " JOIN policy p ON p.domain_id = d.id AND p.id = t.policy_id ORDER BY d.name, t.utc_day, p.type,"
                " p.policy_domain, p.strings"):
            details = db.execute(
                "SELECT d.result_type, d.failure_reason_code, t.sessions FROM detail_tally t JOIN detail d"
                " ON d.domain_id = t.domain_id AND d.id = t.detail_id"
                " WHERE t.domain_id = ? AND t.utc_day = ? AND t.policy_id = ? ORDER BY 1, 2",
                (domain_id, day, policy_id)).fetchall()
            rows.append((name, day, TYPES[kind], policy_domain, success, failure, details))
        return rows


def sessions_by_day(site):
    """"2026-03-14" -> sessions."""
    with store_of(site) as db:
        return dict(db.execute("SELECT date(utc_day * 86400, 'unixepoch'), sum(success + failure) FROM tally"
                               " GROUP BY utc_day ORDER BY utc_day"))


def total(site):
    return sum(sessions_by_day(site).values())


def counted_through(site):
    with store_of(site) as db:
        return db.execute("SELECT counted_through_s FROM mark").fetchone()[0]


def notes(site):
    with store_of(site) as db:
        return dict(db.execute("SELECT name, text FROM note"))


def run_collector(site, *arguments, **keywords):
    """A collector that should end by itself."""
    return subprocess.run([site.programs.collect, "-c", site.config, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, env=site.environment, check=False, **keywords)


@contextlib.contextmanager
def locked(site):
    """Somebody else holds the store: the collector cannot commit."""
    with store_of(site, "rw") as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def send_unwaited(site, *datagrams):
    """Send, and wait only until the receiving thread has taken them."""
    lib.send_datagrams(site.socket, datagrams)


class Inherited:
    """Sockets that a service manager holds open: `with Inherited(path) as held: held.start(site)`."""

    def __init__(self, *paths):
        self.sockets = []
        for path in paths:
            self.sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self.sockets[-1].bind(str(path))

    def start(self, site, within=()):
        """Start the site's collector with the sockets as descriptors 3, 4, …; within: words of a wrapper."""
        duplicates = [fcntl.fcntl(sock, fcntl.F_DUPFD, 50) for sock in self.sockets]
        def pass_on():
            for number, duplicate in enumerate(duplicates):
                os.dup2(duplicate, 3 + number)
        site.start_collector(wrapper=[*within, "sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS={len(duplicates)} exec "$@"', "sh"],
                             pass_fds=[3 + number for number in range(len(duplicates))], preexec_fn=pass_on)
        for duplicate in duplicates:
            os.close(duplicate)
        return site

    def waiting(self):
        """Bytes of the first datagram that waits in the first socket; 0: none."""
        return struct.unpack("i", fcntl.ioctl(self.sockets[0], 0x541B, b"\0\0\0\0"))[0]  # FIONREAD

    def close(self):
        for sock in self.sockets:
            path = sock.getsockname()
            sock.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def environment(self, **more):
        return dict(more, NOTIFY_SOCKET=str(self.path))

    def wait_for(self, word):
        """Messages up to the first that begins with word, that included."""
        seen = []
        while not seen or not seen[-1].startswith(word):
            seen.append(self.socket.recv(4096).decode())
        return seen

    def drain(self):
        self.socket.setblocking(False)
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(self.socket.recv(4096).decode())
        self.socket.settimeout(20)
        return seen

    def close(self):
        self.socket.close()


def kill(site):
    """As a power switch would, but for the file system."""
    site.stop_collector(signal.SIGKILL)


def wait_for_event(site, name, timeout=30):
    wait_until(lambda: site.collector_events(name), f"the collector to log {name}", timeout)
    return site.collector_events(name)
