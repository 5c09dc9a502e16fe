# SPDX-License-Identifier: MIT
"""Full disks, on each file system that the kernel has: no program is ended by a signal, and nothing is lost in silence."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess

import pytest

import programs as lib
from collecting import run_collector, send_unwaited, total, wait_for_event
from servers import wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
DISK_BYTES = 320 << 20  # XFS wants 300 MB
FULL = 73  # EX_CANTCREAT


@pytest.fixture(params=sorted(MAKE))
def disk(request, tmp_path):
    """A small file system of its own."""
    make = MAKE[request.param]
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", request.param], capture_output=True, check=False)
    if request.param not in pathlib.Path("/proc/filesystems").read_text().split():
        pytest.skip(f"the kernel has no {request.param}")
    if shutil.which(make[0]) is None:
        pytest.skip(f"there is no {make[0]}")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    for command in ([*make, image], ["mount", "-o", "loop", image, folder]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Until not even a byte more is taken."""
    for number, size in enumerate((65536, 4096, 512)):
        with contextlib.suppress(OSError), open(folder / f"fill{number}", "wb", buffering=0) as file:
            while file.write(b"x" * size) == size:
                pass
        subprocess.run(["sync", "-f", folder], check=True)


def make_room(folder):
    for file in folder.glob("fill*"):
        file.unlink()


def overwrites_in_place(folder):
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    return done.stdout.strip() != "btrfs"


def datagrams(count, first=0):
    return [f'{{"dpv":"1","d":"d{n % 500}.example","policies":[{{"policy-type":9,"t":0,"f":0}}]}}'
            for n in range(first, first + count)]


@AS_ROOT
def test_the_disk_becomes_full_under_the_collector(make_site, disk):
    """What comes waits in the ring, without delay for the sender; when there is room again all of it is counted."""
    site = make_site(state_dir=disk / "state")
    (disk / "state").mkdir()
    site.start_collector()
    site.send(*datagrams(10))
    fill(disk)
    send_unwaited(site, *datagrams(10_000, 10))
    assert "full" in wait_for_event(site, "store_failed")[0]["reason"]
    send_unwaited(site, *datagrams(5_000, 10_010))
    assert site.collector.poll() is None
    assert not site.collector_events("ring_full")
    make_room(disk)
    wait_until(lambda: total(site) == 15_010, "everything to be counted", 60)
    site.stop_collector()
    assert "dropped" not in site.counters()


@AS_ROOT
def test_the_first_start_on_a_full_disk(make_site, disk, tmp_path):
    """Each program says what is wrong and ends; when there is room again it starts."""
    site = make_site(state_dir=disk / "state", send="off")
    (disk / "state").mkdir()
    log = tmp_path / "mail.log"
    log.write_text('{"policy-domain":"a.example","policy-type":"no-policy-found","result":"success"}\n')
    reader = [site.programs.log, "-c", site.config, "--mta", "ndjson", "--follow", log, "--once", "--stdout"]

    def read_log():
        return subprocess.run(reader, capture_output=True, text=True, timeout=60, check=False, env=site.environment)

    fill(disk)
    for done in (run_collector(site), read_log(), site.run(check=False)):
        assert done.returncode in (FULL, 74), (done.args, done.returncode, done.stderr)
        assert "full" in done.stderr or "No space left" in done.stderr
    make_room(disk)
    done = read_log()
    assert done.returncode == 0 and "a.example" in done.stdout, done.stderr
    site.collect(datagrams(10))
    assert total(site) == 10
    site.run()


@AS_ROOT
def test_the_disk_becomes_full_under_the_log_reader(make_site, disk, tmp_path):
    """Reading goes on; at worst what was read is emitted again after a restart, with the same numbers."""
    site = make_site(state_dir=disk / "state")
    (disk / "state").mkdir()
    log = tmp_path / "mail.log"
    log.touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.bind(str(site.socket))
        taker.settimeout(60)
        reader = subprocess.Popen([site.programs.log, "-c", site.config, "--mta", "ndjson", "--follow", log],
                                  stderr=subprocess.DEVNULL, env=site.environment)
        try:
            wait_until(lambda: list((disk / "state").glob("log-*.place")), "the log to be followed")
            fill(disk)
            with open(log, "a", encoding="ascii") as lines:
                for number in range(300):
                    lines.write(f'{{"policy-domain":"d{number}.example","policy-type":"no-policy-found",'
                                '"result":"success"}\n')
            assert [f"d{number}.example" for number in range(300)] == [json.loads(taker.recv(65536))["d"] for _ in range(300)]
            assert reader.poll() is None
        finally:
            reader.terminate()
        assert reader.wait(60) == 0


@AS_ROOT
def test_the_ring_on_each_file_system(disk):
    """Its unit tests, where the file can be written through its mapping and where it cannot."""
    test = lib.BUILD / "tests" / "unit" / "ring" / "ring_test"
    if not test.exists():
        pytest.skip("the unit tests are not built")
    done = subprocess.run([test], capture_output=True, text=True, timeout=120, check=False,
                          env=dict(os.environ, TMPDIR=str(disk)))
    assert done.returncode == 0, done.stdout + done.stderr


@AS_ROOT
def test_a_push_from_a_full_disk(make_site, database, disk):
    """The file "clock" is missed with a warning; without room for push.db it ends, and later brings everything."""
    (disk / "state").mkdir()
    site = make_site(state_dir=disk / "state", fleet=database, fleet_host="mx0")
    site.run("fleet-init")
    site.start_collector()
    site.send(*datagrams(10))
    site.run("push")
    with contextlib.closing(sqlite3.connect(disk / "state" / "push.db")) as other:  # like a run in progress
        other.execute("SELECT * FROM state").fetchall()
        site.run("push")  # takes room that stays taken
        fill(disk)
        site.set_time("2026-03-14T12:30:00Z")  # the clock is to be remembered
        done = site.run("push", check=False)
    assert "event=clock_unsaved" in done.stderr and "No space left" in done.stderr
    assert done.returncode == 0 or (not overwrites_in_place(disk) and done.returncode == FULL), done.stderr
    make_room(disk)  # the other gave its room back
    fill(disk)
    done = site.run("push", check=False)
    assert done.returncode == FULL and "push.db" in done.stderr and "No space left" in done.stderr
    make_room(disk)
    site.send(*datagrams(10, 10))
    done = site.run("push")
    assert "event=pushed" in done.stderr and "clock_unsaved" not in done.stderr


@AS_ROOT
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_unreadable_ring_on_a_full_disk(make_site, disk, how):
    """It stays where it is until there is room for another; the log says why it could not be read."""
    site = make_site(state_dir=disk / "state")
    state = disk / "state"
    state.mkdir()
    site.start_collector()
    site.send(*datagrams(10))
    site.stop_collector(how)
    with open(state / "ring", "r+b") as ring:
        ring.write(bytes(4096))
        os.fsync(ring.fileno())
    damaged = (state / "ring").read_bytes()
    fill(disk)
    for _ in range(2):
        done = run_collector(site)
        assert done.returncode == FULL and "No space left" in done.stderr, done.stderr
        assert "sessions.db" in done.stderr or "is not a ring of tlsrpt-gen-collect, and no other can be made" in done.stderr
        assert not list(state.glob("ring.*"))
    assert (state / "ring").read_bytes() == damaged
    make_room(disk)
    site.start_collector()
    site.send(*datagrams(5))
    site.stop_collector()
    assert total(site) == 15
    assert ["not a ring" in event["reason"] for event in site.collector_events("ring_set_aside")] == [True]
    assert (state / "ring.unreadable-1").read_bytes() == damaged
