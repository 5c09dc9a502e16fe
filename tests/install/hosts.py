# SPDX-License-Identifier: MIT
"""A host with the package on it, in a tree: who sends, how services are started, what is counted; and one line per check."""
import json
import os
import pathlib
import re
import socket
import sys
import time
import traceback

import trees

PACKAGES = ["systemd", "systemd-sysv", "dbus", "postfix", "runit"]
MAIN_SOCKET, POSTFIX_SOCKET = "/run/tlsrpt-gen/tlsrpt.sock", "/var/spool/postfix/run/tlsrpt/tlsrpt.sock"
COLLECTOR, SOCKET = "tlsrpt-gen-collect.service", "tlsrpt-gen-collect.socket"
DATAGRAM = {"d": "quay.example", "pr": "v=TLSRPTv1;rua=mailto:tls@quay.example",
            "policies": [{"policy-type": 9, "policy-domain": "quay.example", "f": 0, "t": 0, "failure-details": []}]}
CONFIG = "/etc/tlsrpt-gen/tlsrpt-gen.conf"
CLOCK = "/etc/tlsrpt-gen/clock"


class Report:
    """One line per check, and the sum."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, sentence, ok, details=""):
        self.passed += bool(ok)
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} - {sentence}", flush=True)
        if not ok and details:
            print("".join(f"#     {line}\n" for line in str(details).splitlines()[-60:]), end="", flush=True)
        return ok


# ---- who sends -----------------------------------------------------------------------------------------------

def numbers(host, user):
    """(uid, gid) of a user of the tree."""
    for line in (host.root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == user:
            return int(uid), int(gid)
    raise KeyError(user)


def group_number(host, group):
    for line in (host.root / "etc/group").read_text().splitlines():
        name, _, gid, *_ = line.split(":")
        if name == group:
            return int(gid)
    raise KeyError(group)


def as_user(host, user, jail, action):
    """Run action() in a child that is this user of the tree, chrooted to jail inside it; returns its text or errno."""
    uid, gid = numbers(host, user)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "broken"
        try:
            os.chroot(str(host.root) + jail)
            os.chdir("/")
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            answer = action() or "ok"
        except OSError as error:
            answer = os.strerror(error.errno)
        finally:
            os.write(write_end, answer.encode())
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def sender(path, count=1, pause_s=0.0, datagram=None):
    raw = json.dumps(datagram or DATAGRAM).encode()
    def send():
        for _ in range(count):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(20)
                sock.connect(path)
                sock.send(raw)
            time.sleep(pause_s)
    return send


# ---- a host, with or without systemd -------------------------------------------------------------------------

class Services:
    """Start and stop the programs as their units do."""

    def __init__(self, host):
        self.host = host
        self.collector = 0
        self.sockets = []

    def systemctl(self, *words, check=True):
        return self.host.run("systemctl", *words, check=check).stdout.strip()

    def restart_sockets(self):
        if self.host.is_booted:
            self.systemctl("daemon-reload")
            self.systemctl("restart", SOCKET, COLLECTOR)
        else:
            self.stop()
            self.start()

    def restart(self):
        if self.host.is_booted:
            self.systemctl("restart", COLLECTOR)
        else:
            self.stop(keep_sockets=True)
            self.start()

    def stop(self, keep_sockets=False):
        if self.host.is_booted:
            self.systemctl("stop", COLLECTOR)
            return
        if self.collector:
            os.kill(self.collector, 15)
            os.waitpid(self.collector, 0)
            self.collector = 0
        if not keep_sockets:
            for sock in self.sockets:
                pathlib.Path(sock.getsockname()).unlink()  # RemoveOnStop=
                sock.close()
            self.sockets = []

    def unit_lines(self, key):
        """Values of a key in the socket unit and its drop-ins."""
        unit = self.host.root / "usr/lib/systemd/system" / SOCKET
        texts = [unit.read_text()]
        texts += [path.read_text() for path in sorted((self.host.root / "etc/systemd/system" / f"{SOCKET}.d").glob("*.conf"))]
        return re.findall(rf"^{key}=(.*)$", "\n".join(texts), re.M)

    def _make_sockets(self):
        uid, _ = numbers(self.host, self.unit_lines("SocketUser")[-1])
        gid = group_number(self.host, self.unit_lines("SocketGroup")[-1])
        for path in self.unit_lines("ListenDatagram"):
            place = pathlib.Path(str(self.host.root) + path)
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.bind(str(place))
            os.chown(place, uid, gid)
            os.chmod(place, int(self.unit_lines("SocketMode")[-1], 8))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self.sockets.append(sock)

    def start(self):
        """Without systemd: a child with the unit's sockets from descriptor 3 on, as the unit's user."""
        if not self.sockets:
            self._make_sockets()
        uid, gid = numbers(self.host, "tlsrpt-gen")
        self.collector = os.fork()
        if self.collector == 0:
            with open(self.host.tree.with_name("collector.log"), "ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            high = [os.dup2(sock.fileno(), 200 + i) for i, sock in enumerate(self.sockets)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
            os.chroot(self.host.root)
            os.chdir("/")
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.umask(0o077)
            os.execve("/usr/sbin/tlsrpt-gen-collect", ["tlsrpt-gen-collect"],
                      {"LISTEN_FDS": str(len(high)), "LISTEN_PID": str(os.getpid()), "TLSRPT_GEN_CLOCK": CLOCK})

    def generate(self):
        """One run of the generator; (exit code, its log)."""
        if not self.host.is_booted:
            done = self.host.run("setpriv", "--reuid=tlsrpt-gen", "--regid=tlsrpt-gen", "--clear-groups", "env",
                                 f"TLSRPT_GEN_CLOCK={CLOCK}", "/usr/sbin/tlsrpt-gen", "--if-configured", check=False)
            return done.returncode, done.stdout
        self.host.run("journalctl", "--rotate")
        self.host.run("journalctl", "--vacuum-time=1s", "-q")
        done = self.host.run("systemctl", "start", "tlsrpt-gen.service", check=False)
        log = self.host.run("journalctl", "-q", "-o", "cat", "-u", "tlsrpt-gen.service").stdout
        return done.returncode, done.stdout + log


def set_clock(host, shift_s):
    """Time passes until the clock is ahead by that; it may be set back."""
    file = host.root / CLOCK[1:]
    passed_s = int(file.read_text().split()[1]) if file.exists() else 0
    file.write_text(f"{shift_s} {max(shift_s, passed_s)}\n")


def counted(host, day="today"):
    """Sessions of quay.example that are in the store."""
    done = host.run("env", f"TLSRPT_GEN_CLOCK={CLOCK}", "tlsrpt-gen", "-o", "organization_name=T", "-o",
                    "contact_info=t@t.example", "-o", "resolver=127.0.0.1:9", "--dry-run", "--format", "json", "--day", day,
                    check=False)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            if row["domain"] == "quay.example" and row.get("report"):
                summary = row["report"]["policies"][0]["summary"]
                return summary["total-successful-session-count"] + summary["total-failure-session-count"]
    return 0


def wait_counted(host, want, day="today", seconds=20):
    deadline = time.monotonic() + seconds
    while (got := counted(host, day)) != want and time.monotonic() < deadline:
        time.sleep(0.2)
    return got


def collector_log(host, is_unit=True):
    if host.is_booted and is_unit:
        return host.run("journalctl", "-q", "-o", "cat", "-u", COLLECTOR, check=False).stdout[-3000:]
    return host.tree.with_name("collector.log").read_text(errors="replace")[-3000:]


def run_suites(suites, check):
    """check(suite, report) for each; prints the sum.  The exit code."""
    report = Report()
    for suite in suites:
        begin = time.monotonic()
        child = os.fork()  # it enters the tree's network and does not come back
        if child == 0:
            try:
                check(suite, report)
            except Exception:
                report.check(f"{suite}: the checks run to their end", False, traceback.format_exc())
            sys.stdout.flush()
            (trees.WORK / "result").write_text(f"{report.passed} {report.failed}")
            os._exit(0)
        os.waitpid(child, 0)
        report.passed, report.failed = map(int, (trees.WORK / "result").read_text().split())
        trees.say(f"{suite}: {time.monotonic() - begin:.0f} s")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0
