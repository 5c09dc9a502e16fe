#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A host of its own for `tlsrpt-gen check`, in a network and a mount namespace.

Run by test_check.py as: unshare --mount --net check_world.py FOLDER.  For each scenario: break one thing, run check,
follow the mend that it prints to the letter, run check again.  Prints one JSON line each:
{"name", "before", "found", "mend", "after", "skipped"}.
"""
import base64
import contextlib
import fcntl
import importlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

import programs
import servers

SUBMITTER = "reports.seaport.example"
QLEN = pathlib.Path("/proc/sys/net/unix/max_dgram_qlen")
CRON = pathlib.Path("/etc/cron.d/tlsrpt-gen")

POSTCONF = """#!/bin/sh
# stands in for postconf(1): one file for each setting
cd {folder} || exit 1
[ -e broken ] && exit 1
case $1 in
-h) [ -e "$2" ] && cat "$2" || {{ echo "postconf: warning: $2: unknown parameter" >&2; }} ;;
-e) printf '%s\\n' "${{2#*= }}" >"${{2%% =*}}" ;;
esac
"""

# stands in for postmap(1) and a policy plug-in: answers "secure", with TLSRPT attributes where the table's name says so
POSTMAP = """#!/bin/sh
cd {folder} || exit 1
case $3 in
*:down) exit 1 ;;
*:hangs) exec sleep 60 ;;
*:QUERYwithTLSRPT | *:rpt) echo "secure match=mx.$2 servername=hostname policy_type=sts policy_domain=$2" ;;
*) echo "secure match=mx.$2 servername=hostname" ;;
esac
"""


def raise_network():
    """The loopback interface, and a long queue."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH2s4s8s", b"lo", socket.AF_INET, b"", socket.inet_aton("127.0.0.1"), b"")
        fcntl.ioctl(sock, 0x8916, request)  # SIOCSIFADDR
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x8 | 0x40))  # up, loopback, running
    QLEN.write_text("512")


class World:
    """Everything as it should be: check finds nothing to mend."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.bin = self.folder / "bin"
        self.postfix = self.folder / "main.cf.d"
        self.queue = self.folder / "queue"
        self.readers = []
        for path in (self.bin, self.postfix, self.queue / "run" / "tlsrpt"):
            path.mkdir(parents=True)
        self.make_host()
        self.make_key()
        self.nsd = servers.Nsd(self.folder / "nsd").start()
        self.sink = servers.SmtpSink().start()
        self.make_programs()
        self.queue_socket = self.queue / "run" / "tlsrpt" / "tlsrpt.sock"
        self.site = programs.Site(self.folder / "site", programs.Programs(), socket_group="postfix",
                                  resolver=self.nsd.address, relay=self.sink.address)
        self.settings = dict(self.site.settings, socket=[self.site.socket, self.queue_socket],
                             dkim_key=f"sel:rsa-sha256:{self.folder}/dkim.pem")
        self.restore()

    def make_host(self):
        """A private /etc, an interface with a public address, a long queue, no systemd."""
        private = self.folder / "etc"
        with contextlib.suppress(shutil.Error):  # what we may not read we do not need
            shutil.copytree("/etc", private, symlinks=True, ignore_dangling_symlinks=True,
                            ignore=shutil.ignore_patterns("shadow*", "gshadow*", "sudoers*"))
        for name in ("cron.d", "cron.daily", "cron.hourly", "sysctl.d", "systemd/system"):
            (private / name).mkdir(parents=True, exist_ok=True)
        (private / "crontab").write_text("# empty\n")
        self.remove_service_account(private)
        with open(private / "passwd", "a") as passwd, open(private / "group", "a") as group:
            passwd.write("postfix:x:0:61234::/nonexistent:/usr/sbin/nologin\n")
            group.write("postfix:x:61234:\n" if self.is_root() else "")
        if not self.is_root():
            (private / "group").write_text((private / "group").read_text() + "postfix:x:0:\n")
        subprocess.run(["mount", "--bind", str(private), "/etc"], check=True)
        for hidden in ("/run/systemd", "/var/spool/cron"):
            if os.path.isdir(hidden):
                subprocess.run(["mount", "-t", "tmpfs", "tmpfs", hidden], check=True)
        raise_network()

    @staticmethod
    def remove_service_account(etc):
        """Where the package is installed; check would want all files to belong to that account."""
        for name in ("passwd", "group"):
            lines = (etc / name).read_text().splitlines(keepends=True)
            (etc / name).write_text("".join(line for line in lines if not line.startswith("tlsrpt-gen:")))

    @staticmethod
    def is_root():
        """Real root, who may give files away."""
        return pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "4294967295"

    def make_key(self):
        key = self.folder / "dkim.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key],
                       check=True, capture_output=True)
        key.chmod(0o600)
        self.public = self.public_key(key)

    @staticmethod
    def public_key(key):
        der = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "der"], check=True,
                             capture_output=True).stdout
        return base64.b64encode(der).decode()

    def make_programs(self):
        (self.bin / "postconf").write_text(POSTCONF.format(folder=self.postfix))
        (self.bin / "postmap").write_text(POSTMAP.format(folder=self.postfix))
        (self.bin / "postfix").write_text("#!/bin/sh\nexit 0\n")
        for program in self.bin.iterdir():
            program.chmod(0o755)

    # ---- as it should be ----
    def restore(self):
        self.stop_readers()
        self.site.stop_collector()
        for path in (self.site.state, self.site.directory / "state.away"):
            shutil.rmtree(path, ignore_errors=True)
        self.site.state.mkdir()
        self.site.state.chmod(0o700)
        for path in (self.site.socket, self.queue_socket):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.site.settings = dict(self.settings)
        self.site.set()
        self.site.set_time("2026-03-14T12:00:00Z")
        for path in self.postfix.iterdir():
            path.unlink()
        self.set_postfix(mail_version="3.10.6", smtp_tlsrpt_enable="yes",
                         smtp_tlsrpt_socket_name="run/tlsrpt/tlsrpt.sock", smtp_tlsrpt_skip_reused_handshakes="no",
                         queue_directory=self.queue, mail_owner="postfix")
        self.dns = {SUBMITTER: {"MX": ["10 mx.seaport.example."]},
                    f"sel._domainkey.{SUBMITTER}": {"TXT": [f"v=DKIM1; k=rsa; p={self.public}"]},
                    "mx.seaport.example": {"A": ["127.0.0.1"]}}
        self.broken_zones()
        self.publish()
        self.sink.answers = {}
        CRON.write_text("*/15 * * * * root /usr/sbin/tlsrpt-gen\n")
        QLEN.write_text("512")
        self.site.start_collector()

    def broken_zones(self, *zones):
        """These zones answer SERVFAIL."""
        if self.nsd.broken != list(zones):
            self.nsd.broken = list(zones)
            self.nsd.restart()
            self.settings["resolver"] = self.nsd.address
            self.site.set(resolver=self.nsd.address)

    def set_postfix(self, **values):
        for name, value in values.items():
            (self.postfix / name).write_text(f"{value}\n")

    def publish(self):
        lines = []
        for name, kinds in self.dns.items():
            for kind, values in kinds.items():
                for value in values:
                    lines.append(f"{name}. {kind} " + (servers.txt_rdata(self.pieces(value)) if kind == "TXT" else value))
        self.nsd.lines = lines
        self.nsd.reload()

    @staticmethod
    def pieces(text):
        return [text[i:i + 250] for i in range(0, len(text), 250)] or [""]

    # ---- looking and mending ----
    @property
    def environment(self):
        return dict(self.site.environment, PATH=f"{self.bin}:{os.environ['PATH']}", COLUMNS="999",
                    **getattr(self, "extra", {}))

    def check(self):
        """[[verdict, topic, words, mend], ...] and the exit code."""
        command = [*getattr(self, "wrapper", ()), *self.site.command("check")]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment,
                              stdin=subprocess.DEVNULL, timeout=programs.RUN_S, check=False)
        rows = []
        for line in done.stdout.splitlines():
            found = re.match(r"(ok|warn|FAIL) +(\S+)  +(.*)", line)
            if found:
                rows.append([*found.groups(), ""])
            elif line.strip().startswith("mend: "):
                rows[-1][3] = line.strip()[len("mend: "):]
        return rows, done.returncode

    def follow(self, mend):
        """Do what it says, and nothing else."""
        for step in re.split(r", then |; for good, ", mend.split(", or ")[0]):
            if step.startswith("run "):
                subprocess.run(["sh", "-c", step[4:]], check=True, env=self.environment, cwd=self.folder,
                               capture_output=True, timeout=60)
            elif step.startswith("set "):
                key, _, value = step[4:].split(" (")[0].partition(" = ")
                self.site.set(**{key: value})
            elif step.startswith("publish "):
                self.follow_dns(step[8:])
            elif step.startswith("start tlsrpt-gen-log "):
                self.follow_log(step[len("start tlsrpt-gen-log "):])
            elif step == "start tlsrpt-gen-collect":
                self.site.stop_collector(signal.SIGKILL)
                self.site.start_collector()
            else:
                raise RuntimeError(f"cannot be followed: {step}")

    def follow_log(self, words="--mta postfix --follow /var/log/mail.log"):
        """Start tlsrpt-gen-log, on a log of our own."""
        log = self.folder / "mail.log"
        log.touch()
        words = words.replace("/var/log/mail.log", str(log)).split()
        reader = subprocess.Popen([self.site.programs.log, "-c", self.site.config, *words], env=self.environment,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.readers.append(reader)
        while "event=log_followed" not in reader.stderr.readline():
            if reader.poll() is not None:
                raise RuntimeError("tlsrpt-gen-log ended")
        return reader

    def follow_dns(self, record):
        """NAME. TYPE DATA takes the place of what has that name and type."""
        name, kind, data = re.fullmatch(r"(\S+)\. (MX|TXT) (.*?)( \(or add .*)?", record).groups()[:3]
        if kind == "MX":
            data = data.replace("and the name of its mail host", "mx.seaport.example.")
        if kind == "TXT":
            data = "".join(re.findall(r'"([^"]*)"', data))
        self.dns.setdefault(name, {})[kind] = [data]
        self.publish()

    def stop_readers(self):
        while self.readers:
            reader = self.readers.pop()
            reader.kill()
            reader.wait()

    def close(self):
        self.stop_readers()
        self.site.close()
        self.sink.stop()
        self.nsd.stop()


SCENARIOS = []


def scenario(verdict, topic, words, mended=None, needs_root=False):
    """mended: how to follow a mend that no machine can (start a server, upgrade Postfix, free space)."""
    def add(breaker):
        SCENARIOS.append((breaker.__name__, breaker, verdict, topic, words, mended, needs_root))
        return breaker
    return add


def is_finding(row, verdict, topic, words):
    return row[0] == verdict and row[1] == topic and words in row[2]


def play(world, name, breaker, verdict, topic, words, mended, needs_root):
    result = {"name": name, "wanted": [verdict, topic, words], "skipped": ""}
    if needs_root and not world.is_root():
        return dict(result, skipped="needs real root")
    world.restore()
    with contextlib.ExitStack() as undo:
        world.undo, world.extra, world.wrapper = undo, {}, []
        breaker(world)
        rows, code = world.check()
        found = [row for row in rows if is_finding(row, verdict, topic, words)]
        result.update(before=rows, before_code=code, found=found, mend=found[0][3] if found else "")
        if found:
            mended(world) if mended else world.follow(found[0][3])
            rows, code = world.check()
            result.update(after=rows, after_code=code, left=[row for row in rows if is_finding(row, verdict, topic, words)])
    return result


def screens(world):
    """The whole screen, with nothing and with much to mend, as wide as two terminals."""
    for name in ("check", "check-bad"):
        world.restore()
        world.extra, world.wrapper = {}, []
        if name == "check-bad":
            world.site.stop_collector()
            world.set_postfix(mail_version="3.10.2", smtp_tlsrpt_enable="no")
            world.site.set(relay="127.0.0.1:9", dkim_key=None)
            QLEN.write_text("10")
            world.site.state.chmod(0o777)
        for columns in (80, 140):
            done = subprocess.run(world.site.command("check"), capture_output=True, text=True, check=False,
                                  env=dict(world.environment, COLUMNS=str(columns)), timeout=programs.RUN_S)
            yield {"screen": name, "columns": columns, "text": done.stdout + done.stderr, "code": done.returncode}


def probe():
    """Ends with an error where the namespaces do not allow what a World needs, as in a container."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True)
    raise_network()


def leave_srv():
    """What is to be tested may lie below /srv itself: then it is used under the name /mnt."""
    words = [str(pathlib.Path(__file__).resolve()), sys.argv[1], str(programs.BUILD)]
    if any(word.startswith("/srv/") for word in words):
        subprocess.run(["mount", "--rbind", "/srv", "/mnt"], check=True)
        file, folder, build = [re.sub("^/srv/", "/mnt/", word) for word in words]
        os.execve(sys.executable, [sys.executable, file, folder], {**os.environ, "BUILD": build})


def main():
    if sys.argv[1:] == ["--probe"]:
        probe()
        return
    leave_srv()
    importlib.import_module("check_scenarios")  # fills SCENARIOS
    subprocess.run(["mount", "--bind", sys.argv[1], "/srv"], check=True)  # the same name, and so the same screen, always
    world = World("/srv")
    try:
        rows, code = world.check()
        print(json.dumps({"name": "everything in place", "before": rows, "before_code": code}), flush=True)
        for row in SCENARIOS:
            print(json.dumps(play(world, *row)), flush=True)
        for row in screens(world):
            print(json.dumps(row), flush=True)
    finally:
        world.close()


if __name__ == "__main__":
    sys.modules["check_world"] = sys.modules["__main__"]
    main()
