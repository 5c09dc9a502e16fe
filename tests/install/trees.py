# SPDX-License-Identifier: MIT
"""Debian trees to install into: made once with mmdebstrap, copied for each use, booted with systemd where that works.

A tree is a folder.  Booted runs systemd in it (systemd-nspawn -b, a network of its own with nothing but loopback);
Plain is the same without: commands run by chroot, and services are started as their units would.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
WORK = BUILD / "install"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
               "DEBIAN_FRONTEND": "noninteractive"}
APT_INSTALL = ["apt-get", "-q=2", "-o", "Dpkg::Use-Pty=0", "install", "--no-install-recommends", "-y"]
MINUTES = 60
SOURCES = "/srv/tlsrpt-gen"  # where a tree has ours


def say(text):
    print(f"# {text}", flush=True)


def mirror():
    """Where this machine gets its own Debian packages from."""
    sources = [*pathlib.Path("/etc/apt").glob("sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        text = path.read_text(errors="replace") if path.suffix in (".list", ".sources") else ""
        for uri in re.findall(r"^\s*(?:URIs:|deb(?: \[[^]]*\])?)\s+((?:https?|file)://\S+)", text, re.M):
            if uri.rstrip("/").endswith("/debian"):
                return uri
    raise RuntimeError("no Debian mirror in /etc/apt/sources.list or sources.list.d")


def run(command, timeout=10 * MINUTES, check=True, **keywords):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False, **keywords)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done


def chroot(tree, *command, **keywords):
    return run(["chroot", tree, *command], env=ENVIRONMENT, **keywords)


@contextlib.contextmanager
def no_services(tree):
    """While packages are configured in a chroot, none of their services may start."""
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def make(suite, name, packages=(), variant="apt", foreign=()):
    """A tree of that release with these packages, kept below build/ as SUITE.NAME.

    variant: as mmdebstrap names them; "apt" is the smallest in which packages can be installed.  foreign: architectures
    beside the machine's own.
    """
    tree = WORK / f"{suite}.{name}"
    made = WORK / f"{suite}.{name}.made"
    wanted = " ".join([variant, *foreign, *packages])
    if not made.exists() or made.read_text() != wanted:
        begin = time.monotonic()
        made.unlink(missing_ok=True)
        remove(tree)
        WORK.mkdir(parents=True, exist_ok=True)
        own = run(["dpkg", "--print-architecture"]).stdout.strip()
        run(["mmdebstrap", "--mode=root", f"--variant={variant}", f"--architectures={','.join([own, *foreign])}",
             # a mirror may be a snapshot that is older than its own Valid-Until
             "--aptopt=Acquire::Check-Valid-Until \"false\"",
             *(f"--include={package}" for package in packages), "--skip=cleanup/apt/lists", suite, tree, mirror()],
            timeout=30 * MINUTES)
        made.write_text(wanted)
        say(f"{suite}: a tree with {len(packages)} chosen packages: {time.monotonic() - begin:.0f} s")
    return tree


def base(suite):
    """The packages that debootstrap --variant=minbase takes."""
    return make(suite, "base", variant="minbase")


def with_packages(suite, name, *packages):
    """base(suite) with these packages, kept below build/ as SUITE.NAME."""
    tree = WORK / f"{suite}.{name}"
    made = WORK / f"{suite}.{name}.made"
    if not made.exists() or made.read_text() != " ".join(packages):
        copy(base(suite), tree)
        say(f"{suite}: installing {' '.join(packages)}")
        with no_services(tree):
            run(["chroot", tree, "debconf-set-selections"], env=ENVIRONMENT, check=False)
            (tree / "srv/preseed").write_text("postfix postfix/main_mailer_type select Local only\n"
                                               "postfix postfix/mailname string mail.example\n")
            chroot(tree, "debconf-set-selections", "/srv/preseed")
            (tree / "srv/preseed").unlink()
            # with a /proc of its own: systemd-tmpfiles, which packages run, needs it
            run(["unshare", "--mount", "--pid", "--fork", f"--root={tree}", "--mount-proc", "--wd=/", *APT_INSTALL, *packages],
                env=ENVIRONMENT, timeout=20 * MINUTES)
        made.write_text(" ".join(packages))
    return tree


def inside(tree, folder, command, timeout=30 * MINUTES):
    """Run a shell command with a process tree and a /dev of its own, on the machine's network: packages must be fetched.

    Root may do there what it may do on a host, which a container forbids by default: else tests would be skipped.
    """
    if shutil.which("systemd-nspawn"):
        shell = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--capability=all", "-D", tree, f"--chdir={folder}"]
    else:
        shell = ["unshare", "--mount", "--pid", "--fork", f"--root={tree}", "--mount-proc", f"--wd={folder}"]
    return run([*shell, "/bin/sh", "-c", command], timeout=timeout, check=False,
               env={**ENVIRONMENT, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"})


def put_sources(tree, sources):
    """A copy of the sources, and nothing else, in the tree's SOURCES."""
    place = tree / SOURCES.removeprefix("/")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sources, place, symlinks=True)


def copy(source, target):
    remove(target)
    run(["cp", "-a", "--reflink=auto", source, target])
    return target


def remove(tree):
    """Never follow a mount: a tree with something mounted below it is left, loudly."""
    tree = pathlib.Path(tree)
    if not tree.exists():
        return
    mounts = [line.split()[1] for line in open("/proc/mounts") if line.split()[1].startswith(f"{tree}/")]
    if mounts:
        raise RuntimeError(f"still mounted: {mounts}")
    shutil.rmtree(tree)


class Plain:
    """Commands run by chroot on the machine's own loopback."""

    is_booted = False

    def __init__(self, tree):
        self.tree = pathlib.Path(tree)
        if not self.is_booted:
            run(["mount", "-t", "proc", "proc", self.tree / "proc"])

    @property
    def root(self):
        """The tree as its own processes see it."""
        return self.tree

    def command(self, *words):
        return ["chroot", str(self.tree), *map(str, words)]

    def run(self, *words, **keywords):
        return run(self.command(*words), env=ENVIRONMENT, **keywords)

    def enter_network(self):
        pass

    def close(self):
        run(["umount", self.tree / "proc"])


class Booted(Plain):
    """A tree in which systemd runs."""

    is_booted = True

    def __init__(self, tree):
        super().__init__(tree)
        self.log = self.tree.with_name(self.tree.name + ".boot.log")
        with open(self.log, "wb") as log:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-network", "-b", "-D", str(self.tree)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.init = 0
        try:
            self._wait()
        except Exception:
            self.close()
            raise

    def _find_init(self):
        """The process that is number 1 in its own namespace, among nspawn's descendants."""
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                text = status.read_text()
                numbers = re.search(r"^NSpid:\s*(\d+)\s+1$", text, re.M)
                parent = re.search(r"^PPid:\s*(\d+)$", text, re.M)
                if numbers and parent and int(parent[1]) == self.nspawn.pid:
                    return int(numbers[1])
        return 0

    def _wait(self, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.nspawn.poll() is not None:
                raise RuntimeError("systemd-nspawn ended: " + self.log.read_text(errors="replace")[-1500:])
            self.init = self.init or self._find_init()
            if self.init:
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise RuntimeError("systemd did not come up: " + self.log.read_text(errors="replace")[-1500:])

    @property
    def root(self):
        return pathlib.Path(f"/proc/{self.init}/root")

    def command(self, *words):
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "--", *map(str, words)]

    def enter_network(self):
        """From here on this process and its children use the tree's network."""
        import ctypes
        with open(f"/proc/{self.init}/ns/net", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
                raise OSError(ctypes.get_errno(), "setns")

    def close(self):
        if self.nspawn.poll() is not None:
            return
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGRTMIN + 3)  # systemd: halt
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait(30)


def open_tree(tree):
    """Boot it if this machine allows that; else work without systemd, and say why."""
    if os.environ.get("PLAIN"):
        say("PLAIN is set: systemd is not started in the tree")
        return Plain(tree)
    if shutil.which("systemd-nspawn"):
        try:
            return Booted(tree)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            say(f"systemd does not run in the tree here: {str(error).splitlines()[-1]}")
    else:
        say("no systemd-nspawn here: systemd is not started in the tree")
    return Plain(tree)


def must_be_root(what):
    if os.geteuid() != 0:
        print(f"skipped: {what} needs root (it makes Debian trees and runs systemd in them)\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
