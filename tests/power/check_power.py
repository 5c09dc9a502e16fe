#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Cut the power of a disk on which the programs work, again and again, and start them on what is left.

The disk is an image on a file system that can copy a file at one moment (reflink, on XFS or btrfs).  Power is cut by
such a copy while a collector, a log reader and now and then a generator run: everything that the disk had completed at
that moment is in it, and nothing that the kernel still kept.  The copy is mounted, checked with the file system's
checker, and becomes the disk of the next round.  In each round
  every program starts,
  each session result that was sent more than ring_sync (and the time of a flush) before the cut is counted,
  no session result is ever counted twice.
Rounds differ: a new state folder or the old one, another ring_size, a store that somebody else locks, a cut within
milliseconds or after the kernel's own writing has begun.  One line of JSON for each file system; exit code 1 if a
round broke a rule.  As root.
"""
import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import programs  # noqa: E402  (found through the line above)
from collecting import datagram  # noqa: E402
from servers import end_process  # noqa: E402

FICLONE, CLONE_NEWNS = 0x40049409, 0x20000
OUTER_BYTES, DISK_BYTES = 6 << 30, 320 << 20
RING_SYNC_S = 1.0
SLACK_S = 0.5  # two threads' turns on a busy processor
FLUSHES = 4  # one of the file system in the image is so many of the one below, at most
READ_S = 0.5  # from a line of the log to its result
FILE_SYSTEMS = {
    "ext4": (["mkfs.ext4", "-q", "-F"], ["e2fsck", "-f", "-n"]),
    "xfs": (["mkfs.xfs", "-q", "-f"], ["xfs_repair", "-n"]),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], ["btrfs", "check", "--readonly"]),
}


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def missing_for(name):
    """Why this file system cannot be tried here; None if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("modprobe"):
        run("modprobe", name, check=False)
    if name not in pathlib.Path("/proc/filesystems").read_text().split():
        return f"the kernel has no {name}"
    for words in FILE_SYSTEMS[name]:
        if shutil.which(words[0]) is None:
            return f"there is no {words[0]}"
    return None


class Mounted:
    """An image that is mounted: `with Mounted(image, folder): ...`"""

    def __init__(self, image, folder):
        self.image, self.folder = image, folder
        folder.mkdir(exist_ok=True)

    def __enter__(self):
        run("mount", "-o", "loop", self.image, self.folder)
        return self.folder

    def __exit__(self, *_):
        for _ in range(300):  # a process that was killed may end late
            if run("umount", self.folder, check=False).returncode == 0:
                return
            time.sleep(0.1)
        run("umount", "-l", self.folder)


def make_image(image, name, size):
    with open(image, "wb") as file:
        file.truncate(size)
    run(*FILE_SYSTEMS[name][0], image)


def copy_at_once(source, target):
    """What the disk has at this moment; (before, after) as monotonic time."""
    with open(source, "rb") as old, open(target, "wb") as new:
        before = time.monotonic()
        fcntl.ioctl(new, FICLONE, old.fileno())
        return before, time.monotonic()


class Sender(threading.Thread):
    """Sends numbered results and notes when each was taken by the kernel; to the socket, or as lines of a log."""

    def __init__(self, first, rate, path=None, log=None):
        super().__init__()
        self.first, self.rate, self.path, self.log = first, rate, path, log
        self.times, self.is_over = [], threading.Event()

    def name_of(self, number):
        return f"{'l' if self.log else 'd'}{number}.example"

    def put(self, number, target):
        if self.log:
            target.write(json.dumps({"policy-domain": self.name_of(number), "policy-type": "no-policy-found",
                                     "result": "success"}) + "\n")
            target.flush()
        else:
            target.send(datagram(self.name_of(number)).encode())

    def run(self):
        with (open(self.log, "a", encoding="ascii") if self.log
              else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as target:
            if not self.log:
                target.connect(str(self.path))
                target.settimeout(5)
            with contextlib.suppress(OSError):
                while not self.is_over.is_set():
                    self.put(self.first + len(self.times), target)
                    self.times.append(time.monotonic())
                    time.sleep(1 / self.rate)

    def stop(self):
        self.is_over.set()
        self.join()


class Probe(threading.Thread):
    """How late a thread is that flushes the disk below ten times a second; where others work, that may be seconds."""

    def __init__(self, folder):
        super().__init__()
        self.file = open(folder / "probe", "wb", buffering=0)
        self.times, self.is_over = [], threading.Event()

    def run(self):
        while not self.is_over.is_set():
            self.times.append([time.monotonic() + 0.1, None])
            time.sleep(0.1)
            self.file.write(b"x")
            os.fdatasync(self.file.fileno())
            self.times[-1][1] = time.monotonic()

    def slowest(self, cut_s):
        """Of the last ten seconds before the cut; one that was under way counts up to then."""
        times = list(self.times)
        return max([min(end or cut_s, cut_s) - begin for begin, end in times
                    if cut_s - 10 < (end or cut_s) and begin < cut_s], default=0.0)

    def stop(self):
        self.is_over.set()
        self.join()
        self.file.close()


@contextlib.contextmanager
def locked(site, is_wanted):
    """Somebody holds the store, so that only the ring can take what comes."""
    if not is_wanted:
        yield
        return
    with contextlib.closing(sqlite3.connect(site.settings["state_dir"] / "sessions.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


class Disk:
    """One file system's rounds."""

    def __init__(self, name, folder, seed):
        self.name, self.folder, self.chance = name, folder, random.Random(f"{name} {seed}")
        self.images = folder / "images"
        self.mount = folder / "disk"
        self.number = 0
        self.site = programs.Site(folder / "site", state_dir=self.mount / "state", send="off", max_details=1)
        self.log = folder / "mail.log"
        self.log.touch()
        self.figures = dict(cuts=0, sent=0, lost=0, oldest_lost_s=0.0, slowest_flush_s=0.0, twice=0, broken=[])
        self.next = {"d": 0, "l": 0}

    def image(self):
        return self.images / f"{self.name}.{self.number}"

    def is_broken(self, what):
        self.figures["broken"].append(f"round {self.figures['cuts']}: {what}")
        print(f"{self.name}: {self.figures['broken'][-1]}", flush=True)

    # ---- the programs ----
    def start(self):
        try:
            self.site.start_collector()
        except (RuntimeError, TimeoutError) as error:
            self.is_broken(f"the collector did not start: {error}")
            return False
        return True

    def reader(self, *more):
        return [self.site.programs.log, "-c", self.site.config, "--mta", "ndjson", "--follow", self.log, *more]

    def must_run(self, what, command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60,
                              env=self.site.environment)
        if done.returncode != 0:
            self.is_broken(f"{what}: exit code {done.returncode}: {done.stderr}")

    def counted(self):
        """How often each domain was counted."""
        with contextlib.closing(sqlite3.connect(f"file:{self.site.settings['state_dir']}/sessions.db?mode=ro", uri=True)) as db:
            return dict(db.execute("SELECT d.name, sum(t.success + t.failure) FROM domain d JOIN tally t"
                                   " ON t.domain_id = d.id GROUP BY d.name"))

    # ---- one round ----
    def work_until_cut(self, after_s, is_locked):
        """Run everything; returns what was sent and when the cut was.  The disk after it is the next image."""
        begin = {key: self.next[key] for key in self.next}
        reader = generator = None
        senders = [Sender(begin["d"], 2000, path=self.site.socket), Sender(begin["l"], 200, log=self.log)]
        try:
            with locked(self.site, is_locked):
                reader = subprocess.Popen(self.reader(), stderr=subprocess.DEVNULL, env=self.site.environment)
                generator = subprocess.Popen(self.site.command(), stderr=subprocess.DEVNULL, env=self.site.environment)
                for sender in senders:
                    sender.start()
                time.sleep(after_s)
                cut = copy_at_once(self.image(), self.images / f"{self.name}.{self.number + 1}")
                for process in (self.site.collector, reader, generator):
                    process.kill()
        finally:
            for sender in senders:
                sender.stop()
            for process in (reader, generator):
                if process:
                    process.kill()
                    process.wait()
            self.site.stop_collector(signal.SIGKILL)
        for sender, key in zip(senders, self.next):
            self.next[key] += len(sender.times)
        return senders, cut

    def check_counts(self, senders, cut):
        counted = self.counted()
        flush_s = self.probe.slowest(cut[1])
        self.figures["slowest_flush_s"] = max(self.figures["slowest_flush_s"], flush_s)
        self.figures["twice"] += sum(1 for count in counted.values() if count != 1)
        for sender in senders:
            for at, sent_at in enumerate(sender.times):
                if sent_at >= cut[0]:
                    break
                self.figures["sent"] += 1
                if sender.name_of(sender.first + at) in counted:
                    continue
                self.figures["lost"] += 1
                age_s = cut[1] - sent_at
                self.figures["oldest_lost_s"] = max(self.figures["oldest_lost_s"], age_s)
                if age_s > RING_SYNC_S + FLUSHES * flush_s + SLACK_S + (READ_S if sender.log else 0):
                    self.is_broken(f"{sender.name_of(sender.first + at)}, {age_s:.2f} s old, is lost;"
                                   f" flushes took {flush_s:.2f} s")
                    return

    def after_cut(self, senders, cut):
        """The power is back."""
        with Mounted(self.image(), self.mount):
            pass  # the journal is replayed
        done = run(*FILE_SYSTEMS[self.name][1], self.image(), check=False)
        if done.returncode != 0:
            self.is_broken(f"{FILE_SYSTEMS[self.name][1][0]}: {done.stdout}{done.stderr}")
        with Mounted(self.image(), self.mount):
            if not self.start():
                return
            self.must_run("the log reader", self.reader("--once"))
            self.must_run("the generator", self.site.command())
            end_process(self.site.collector, 30)
            self.site.collector = None
            self.check_counts(senders, cut)

    def round(self):
        is_new, is_locked = self.number % 5 == 0, self.chance.random() < 0.25
        after_s = self.chance.choice([self.chance.uniform(0, 0.3), self.chance.uniform(0.3, 3), self.chance.uniform(0.3, 3),
                                      self.chance.uniform(5.5, 8)])
        self.site.set(ring_size="16M" if is_locked else self.chance.choice(["1M", "4M", "16M"]))  # nothing is dropped
        with Mounted(self.image(), self.mount):
            if is_new:
                shutil.rmtree(self.mount / "state", ignore_errors=True)
                (self.mount / "state").mkdir()
                run("sync", "-f", self.mount)
                self.log.write_bytes(b"")
            if not self.start():
                return False
            senders, cut = self.work_until_cut(after_s, is_locked)
        self.image().unlink()
        self.number += 1
        self.figures["cuts"] += 1
        self.after_cut(senders, cut)
        return not self.figures["broken"]

    def rounds(self, count):
        self.images.mkdir()
        with Mounted(self.outer(), self.images):
            self.probe = Probe(self.images)
            self.probe.start()
            try:
                make_image(self.image(), self.name, DISK_BYTES)
                for _ in range(count):
                    if not self.round():
                        break
            finally:
                self.site.stop_collector(signal.SIGKILL)
                self.probe.stop()
        return self.figures

    def outer(self):
        """An image whose file system copies files at once."""
        image = self.folder / "outer"
        for name in ("xfs", "btrfs"):
            if missing_for(name) is None:
                make_image(image, name, OUTER_BYTES)
                return image
        raise RuntimeError("neither XFS nor btrfs: no file system that copies at once")


def leave_mounts():
    """Whoever makes a name space of mounts meanwhile does not keep ours: a copy of XFS cannot be mounted beside it."""
    if os.geteuid() == 0 and ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0:
        run("mount", "--make-rprivate", "/", check=False)


def try_mount(folder):
    """Why no image can be mounted here; None if it can."""
    reasons = [missing_for(name) for name in ("xfs", "btrfs")]
    if all(reasons):
        return f"no file system that copies at once: {', '.join(reasons)}"
    image, mount = folder / "try", folder / "tried"
    make_image(image, "xfs" if reasons[0] is None else "btrfs", DISK_BYTES)
    try:
        with Mounted(image, mount):
            return None
    except RuntimeError as error:
        return f"cannot mount here: {error}"
    finally:
        image.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=100, help="of all file systems together")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", choices=list(FILE_SYSTEMS), help="one file system")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else list(FILE_SYSTEMS)
    failed = 0
    leave_mounts()
    for name in names:
        with tempfile.TemporaryDirectory(prefix="tlsrpt-gen-power.") as folder:
            reason = missing_for(name) or try_mount(pathlib.Path(folder))
            if reason is not None:
                print(json.dumps({"file_system": name, "skipped": reason}), flush=True)
                continue
            figures = Disk(name, pathlib.Path(folder), chosen.seed).rounds(-(-chosen.cuts // len(names)))
        failed += bool(figures["broken"] or figures["twice"])
        print(json.dumps({"file_system": name, **figures, "oldest_lost_s": round(figures["oldest_lost_s"], 3),
                          "slowest_flush_s": round(figures["slowest_flush_s"], 3),
                          "promised": {"twice": 0, "oldest_lost_s": RING_SYNC_S}, "seed": chosen.seed}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
