# SPDX-License-Identifier: MIT
"""The programs under test, and Site: one host's configuration, state, socket and clock in a folder of its own."""
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pathlib
import signal
import socket
import sqlite3
import struct
import subprocess
import termios
import time

import receivers
from servers import end_process, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
RUN_S = 60

# What the worked examples of tests/data/worked were made with.
IDENTITY = {"organization_name": "Seaport Mail Operations", "contact_info": "tlsrpt-team@reports.seaport.example"}


@dataclasses.dataclass(frozen=True)
class Programs:
    generate: pathlib.Path = BUILD / "tlsrpt-gen"
    collect: pathlib.Path = BUILD / "tlsrpt-gen-collect"
    smtp: pathlib.Path = BUILD / "tlsrpt-gen-smtp"
    log: pathlib.Path = BUILD / "tlsrpt-gen-log"


def utc_seconds(text):
    """"2026-03-14T12:00:00Z" (or "2026-03-14") as seconds since 1970; a number is given back."""
    if isinstance(text, int):
        return text
    text = text if "T" in text else text + "T00:00:00Z"
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def write_config(path, settings):
    """A settings file; a list becomes a comma list, None leaves the key out."""
    lines = []
    for key, value in settings.items():
        if value is not None:
            lines.append(f"{key} = {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    pathlib.Path(path).write_text("\n".join(lines) + "\n")
    return path


def read_datagrams(path):
    """The datagrams of a file that holds one a line."""
    return [line for line in pathlib.Path(path).read_bytes().split(b"\n") if line]


def as_bytes(datagram):
    if isinstance(datagram, dict):
        datagram = json.dumps(datagram)
    return datagram.encode() if isinstance(datagram, str) else bytes(datagram)


def send_datagrams(socket_path, datagrams, timeout=30):
    """Send each (bytes, str or dict) as one datagram, and wait until the collector has taken all of them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        sock.connect(str(socket_path))
        for datagram in datagrams:
            sock.send(as_bytes(datagram))
        def queued():
            return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        wait_until(lambda: queued() == 0, "the collector to read its socket", timeout)


def parse_log(text):
    """Log lines as a list of dicts: {"event": …, key: value} (values unquoted, escapes left alone)."""
    events = []
    for line in text.splitlines():
        at = line.find("event=")
        if at < 0:
            continue
        fields, rest = {}, line[at:]
        while "=" in rest:
            key, rest = rest.split("=", 1)
            if rest.startswith('"'):
                end = 1
                while end < len(rest) and rest[end] != '"':
                    end += 2 if rest[end] == "\\" else 1
                value, rest = rest[1:end], rest[end + 1:].lstrip()
            else:
                value, _, rest = rest.partition(" ")
            fields[key] = value
        events.append(fields)
    return events


class Site:
    """One host: `with Site(directory) as site: site.send(...); site.run("--dry-run")`.

    The collector runs from start_collector() to stop_collector() (SIGTERM: everything sent before is stored).
    settings are written to the file conf by write(); change them with site.set(key=value).
    """

    def __init__(self, directory, programs=Programs(), now="2026-03-14T12:00:00Z", **settings):
        self.directory = pathlib.Path(directory)
        self.programs = programs
        self.state = self.directory / "state"
        self.socket = self.directory / "run" / "tlsrpt.sock"
        self.clock = self.directory / "clock"
        self.config = self.directory / "tlsrpt-gen.conf"
        self.collector_log = self.directory / "collector.log"
        self.collector = None
        self.shift_s = self.passed_s = 0
        for folder in (self.directory, self.state, self.socket.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.settings = dict(IDENTITY, state_dir=self.state, socket=self.socket, min_delay=0, spread=0)
        self.set(**settings)
        self.set_time(now)

    def set(self, **settings):
        self.settings.update(settings)
        write_config(self.config, self.settings)

    @property
    def environment(self):
        return dict(os.environ, TLSRPT_GEN_CLOCK=str(self.clock), LC_ALL="C.UTF-8", TZ="UTC", NO_COLOR="1")

    # ---- time ----
    def set_time(self, text):
        """Let time pass until this moment; it goes on from there.  A moment in the past is a jump of the clock."""
        self.passed_s += max(0, utc_seconds(text) - int(time.time()) - self.shift_s)
        self.jump_to(text)

    def jump_to(self, text):
        """Somebody sets the clock to this moment; no time passes."""
        self.shift_s = utc_seconds(text) - int(time.time())
        fresh = self.clock.with_name("clock.new")
        fresh.write_text(f"{self.shift_s} {self.passed_s}\n")
        fresh.rename(self.clock)

    # ---- the collector ----
    def start_collector(self, *arguments, wrapper=(), environment=None, **keywords):
        """wrapper: words in front of the command; environment: more variables; keywords: of subprocess.Popen."""
        self.collector_log.touch()
        seen = self.collector_log.stat().st_size
        with open(self.collector_log, "ab") as log:
            self.collector = subprocess.Popen([*wrapper, self.programs.collect, "-c", self.config, *arguments],
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=dict(self.environment, **(environment or {})), **keywords)
        def ready():
            if self.collector.poll() is not None:
                raise RuntimeError(f"collector ended with {self.collector.returncode}: "
                                   + self.collector_log.read_text(errors="replace")[seen:])
            with open(self.collector_log, "rb") as log:
                log.seek(seen)
                return b"event=collector_started" in log.read() and self.socket.exists()
        wait_until(ready, "the collector to start")
        return self

    def stop_collector(self, how=signal.SIGTERM):
        """End it; with SIGTERM everything sent so far is stored and the exit code must be 0."""
        if self.collector is None:
            return None
        collector, self.collector = self.collector, None
        if how != signal.SIGTERM:
            collector.send_signal(how)
            collector.wait(10)
            return collector.returncode
        code = end_process(collector, 30)
        if code != 0:
            raise RuntimeError(f"collector exit code {code}: " + self.collector_log.read_text(errors="replace"))
        return code

    def freeze_collector(self):
        """Stop its threads where they are; SIGCONT lets them go on."""
        self.collector.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.collector.pid}/task")
        wait_until(lambda: all(task.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
                               for task in tasks.iterdir()), "every thread of the collector to stand still")

    def restart_collector(self):
        self.stop_collector()
        return self.start_collector()

    def send(self, *datagrams):
        """Send datagrams (bytes, str or dict) to the running collector, and wait until it has counted them."""
        wanted = self.counters().get("received", 0) + len(datagrams)
        send_datagrams(self.socket, datagrams)
        wait_until(lambda: self.counters().get("received", 0) >= wanted, "the collector to count what was sent")

    def collect(self, datagrams):
        """Start a collector, send, stop it: everything is stored on return."""
        self.start_collector()
        self.send(*datagrams)
        self.stop_collector()

    def pass_day(self, now):
        """The collector sees that it is now this time; then it ends."""
        self.stop_collector()
        self.set_time(now)
        self.start_collector()
        self.stop_collector()

    def collector_events(self, name=None):
        events = parse_log(self.collector_log.read_text(errors="replace"))
        return [event for event in events if name is None or event["event"] == name]

    def counters(self):
        """name -> value of the collector's counters, as committed."""
        with contextlib.closing(sqlite3.connect(f"file:{self.settings['state_dir']}/sessions.db?mode=ro", uri=True)) as store:
            return dict(store.execute("SELECT name, value FROM counter"))

    # ---- the generator ----
    def command(self, *arguments):
        return [str(self.programs.generate), "-c", str(self.config), *map(str, arguments)]

    def run(self, *arguments, timeout=RUN_S, check=True, text=True):
        """One run of tlsrpt-gen; with check a non-zero exit code is an error that shows its words."""
        done = subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=text,
                              timeout=timeout, env=self.environment, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"tlsrpt-gen {' '.join(map(str, arguments))}: exit code {done.returncode}\n"
                               f"{done.stdout}\n{done.stderr}")
        return done

    def preview(self, *arguments):
        """The lines of --dry-run --format json as objects (key order kept), by domain."""
        done = self.run("--dry-run", "--format", "json", *arguments)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        for row in rows:
            if "report" in row:
                receivers.accept_all(row["report"])
        return {row["domain"]: row for row in rows}

    def close(self):
        with contextlib.suppress(RuntimeError):
            self.stop_collector()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
