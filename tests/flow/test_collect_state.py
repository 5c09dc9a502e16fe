# SPDX-License-Identifier: MIT
"""What the collector took is counted, and once: through kills, restarts, midnight, and a store that stays away."""
import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

import programs as lib
from collecting import (Inherited, Manager, counted_through, datagram, failed, kill, locked, notes, run_collector,
                        send_unwaited, sessions_by_day, store_of, stored, total, wait_for_event)
from servers import wait_until

DAY, NEXT_DAY = "2026-03-14", "2026-03-15"
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def many(count, first=0):
    return [datagram(f"d{number}.example") for number in range(first, first + count)]


# ---- killed ------------------------------------------------------------------------------------------------

def test_what_waits_in_the_ring_survives_a_kill(collector):
    collector.send(*many(10))
    with locked(collector):
        send_unwaited(collector, *many(200))
        kill(collector)
    assert total(collector) == 10
    collector.start_collector()
    assert int(collector.collector_events("collector_started")[-1]["waiting_bytes"]) > 200 * 60
    wait_until(lambda: total(collector) == 210, "the ring to be counted")
    collector.send(*many(5))
    collector.restart_collector()
    collector.stop_collector()
    assert total(collector) == 215
    assert collector.counters()["received"] == collector.counters()["stored"] == 215


def test_kills_in_a_row_count_nothing_twice(site):
    sent = 0
    for _ in range(5):
        site.start_collector()
        site.send(*many(20))
        sent += 20
        kill(site)
    site.start_collector()
    site.stop_collector()
    assert total(site) == sent


def test_a_second_collector_is_refused(collector, tmp_path):
    done = run_collector(collector, "-o", f"socket={tmp_path}/other.sock")
    assert done.returncode == 75 and "another collector" in done.stderr
    collector.send(*many(3))
    assert total(collector) == 3


def test_the_ring_of_another_store_is_set_aside(collector):
    """The collector starts; when the old store is found again, it counts what waits in the old ring."""
    collector.send(*many(3))
    with locked(collector):
        send_unwaited(collector, *many(4))
        kill(collector)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            (collector.state / f"sessions.db{suffix}").rename(collector.state / f"old.db{suffix}")
    collector.collect(many(2))
    assert total(collector) == 2
    event = collector.collector_events("ring_set_aside")[0]
    assert "another store" in event["reason"] and event["kept"] == "ring.unreadable-1"
    (collector.state / "ring").unlink()
    (collector.state / "ring.unreadable-1").rename(collector.state / "ring")
    for suffix in ("", "-wal", "-shm"):
        (collector.state / f"sessions.db{suffix}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (collector.state / f"old.db{suffix}").rename(collector.state / f"sessions.db{suffix}")
    collector.collect([])
    assert total(collector) == 7


def test_a_ring_of_another_size_is_counted_then_remade(collector):
    collector.send(*many(1))
    with locked(collector):
        send_unwaited(collector, *many(100))
        kill(collector)
    collector.set(ring_size="2M")
    collector.start_collector()
    assert total(collector) == 101
    assert collector.collector_events("ring_remade")
    assert (collector.state / "ring").stat().st_size == 2 * 1024 * 1024
    collector.send(*many(7))
    kill(collector)
    collector.set(ring_size="1M")
    collector.collect(many(5))
    assert total(collector) == 113
    assert (collector.state / "ring").stat().st_size == 1024 * 1024


def test_a_damaged_record_costs_only_itself(collector):
    collector.send(*many(1))
    with locked(collector):
        send_unwaited(collector, *many(50))
        kill(collector)
    ring = collector.state / "ring"
    content = bytearray(ring.read_bytes())
    at = content.index(b"d17.example")
    content[at] ^= 0xFF
    ring.write_bytes(content)
    collector.start_collector()
    collector.stop_collector()
    assert total(collector) == 50
    assert collector.counters()["corrupt"] == 1
    assert "d17.example" not in [row[0] for row in stored(collector)]
    assert collector.collector_events("ring_damaged")


@pytest.mark.parametrize("content", [b"x" * 2_000_000, bytes(16 << 20), b""], ids=["another file", "zeros", "nothing"])
def test_what_is_no_ring_is_set_aside(site, content):
    """As a power cut may leave it.  The collector starts and keeps the file."""
    (site.state / "ring").write_bytes(content)
    site.collect(many(3))
    assert total(site) == 3
    assert "not a ring" in site.collector_events("ring_set_aside")[0]["reason"]
    assert (site.state / "ring.unreadable-1").read_bytes() == content


# ---- a store that stays away -------------------------------------------------------------------------------

def test_a_locked_store_is_tried_again(collector):
    collector.send(*many(10))
    with locked(collector):
        send_unwaited(collector, *many(300))
        events = wait_for_event(collector, "store_failed")
        assert "locked" in events[0]["reason"]
        send_unwaited(collector, *many(300))
    wait_until(lambda: total(collector) == 610, "the store to be filled")
    assert wait_for_event(collector, "store_recovered")
    assert len(collector.collector_events("store_failed")) == 1
    collector.stop_collector()
    assert collector.counters()["store_retries"] >= 1


def test_a_full_ring_drops_the_newest_and_counts_them(make_site):
    site = make_site(ring_size="1M").start_collector()
    site.send(*many(1))
    count = 16_000
    with locked(site):
        send_unwaited(site, *many(count))
        dropped = int(wait_for_event(site, "ring_full")[0]["dropped"])
        assert dropped > 0
    wait_until(lambda: total(site) > 1, "the ring to be counted")
    site.stop_collector()
    counters = site.counters()
    assert total(site) + counters["dropped"] == 1 + count
    assert counters["dropped"] > count // 4
    assert counters["received"] == counters["stored"] == total(site)
    numbers = sorted(int(row[0][1:].split(".")[0]) for row in stored(site))
    assert numbers == list(range(len(numbers)))  # the oldest were kept


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with open(folder / "fill", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 65536) == 65536:
            pass
        while True:
            file.write(b"x" * 512)


@AS_ROOT
def test_a_full_disk(make_site, small_disk):
    """The collector lives, the ring holds what comes, and it goes on when there is room again."""
    site = make_site(state_dir=small_disk).start_collector()
    site.send(*many(10))
    fill(small_disk)
    send_unwaited(site, *many(20_000, 10))
    events = wait_for_event(site, "store_failed")
    assert "full" in events[0]["reason"]
    assert site.collector.poll() is None
    (small_disk / "fill").unlink()
    wait_until(lambda: total(site) == 20_010, "everything to be stored", 60)
    assert wait_for_event(site, "store_recovered")
    site.stop_collector()
    assert total(site) == 20_010 and "dropped" not in site.counters()


@AS_ROOT
def test_a_full_disk_and_a_kill(make_site, small_disk):
    """What the ring took while the disk was full outlives the collector."""
    site = make_site(state_dir=small_disk).start_collector()
    site.send(*many(10))
    fill(small_disk)
    send_unwaited(site, *many(20_000, 10))
    wait_for_event(site, "store_failed")
    kill(site)
    (small_disk / "fill").unlink()
    site.start_collector()
    wait_until(lambda: total(site) == 20_010, "everything to be stored", 60)


def set_immutable(site, is_immutable):
    files = [f for f in site.state.iterdir() if f.name.startswith("sessions.db")]
    return subprocess.run(["chattr", "+i" if is_immutable else "-i", *files], capture_output=True, check=False).returncode == 0


@AS_ROOT
def test_a_store_that_cannot_be_written(make_site):
    """The kernel lets no file system turn read-only under an open file: so its files are made immutable."""
    site = make_site().start_collector()
    site.send(*many(10))
    if not set_immutable(site, True):
        set_immutable(site, False)
        pytest.skip("no immutable files on this file system")
    try:
        send_unwaited(site, *many(5000, 10))
        wait_for_event(site, "store_failed")
        assert site.collector.poll() is None
    finally:
        set_immutable(site, False)
    wait_until(lambda: total(site) == 5010, "everything to be stored", 60)
    site.stop_collector()


@pytest.fixture
def broken_disk(tmp_path):
    """An ext4 file system and a function that makes it read-only as after a fault of its disk."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 64 * 1024 * 1024)
    for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop,errors=remount-ro", image, folder]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"no {command[0]}")
        if done.returncode != 0:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", folder], capture_output=True, text=True,
                            check=True).stdout.strip()
    trigger = f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error"
    def break_it():
        if not os.path.exists(trigger):
            pytest.skip("this kernel cannot break a file system")
        with open(trigger, "w", encoding="ascii") as file:
            file.write("1\n")
    yield folder, break_it
    subprocess.run(["umount", "-l", folder], check=True)


@AS_ROOT
def test_a_disk_that_becomes_read_only(make_site, broken_disk):
    """With a broken file system below it the collector still takes what comes, and says what is wrong."""
    folder, break_it = broken_disk
    site = make_site(state_dir=folder).start_collector()
    site.send(*many(10))
    break_it()
    send_unwaited(site, *many(5000, 10))
    wait_for_event(site, "store_failed")
    send_unwaited(site, *many(5000, 5010))
    assert site.collector.poll() is None
    assert not site.collector_events("ring_full")
    kill(site)


def test_a_state_folder_that_cannot_be_used(make_site, tmp_path):
    site = make_site(state_dir=tmp_path / "missing")
    done = run_collector(site)
    assert done.returncode == 78 and str(tmp_path / "missing") in done.stderr  # a wrong setting, said at start


# ---- sockets that are held for us --------------------------------------------------------------------------

def test_inherited_sockets(make_site, tmp_path):
    site = make_site()
    other = tmp_path / "other.sock"
    with Inherited(site.socket, other) as held:
        held.start(site)
        site.send(*many(10))
        lib.send_datagrams(other, many(5))
        site.stop_collector()
        assert site.socket.exists()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:  # nobody runs: it waits in the kernel
            sock.connect(str(site.socket))
            for line in many(4):
                sock.send(line.encode(), socket.MSG_DONTWAIT)
        assert held.waiting() > 0
        held.start(site)
        wait_until(lambda: total(site) == 19, "what waited to be counted")
        kill(site)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(site.socket))  # it outlives a kill as well
            sock.send(many(1)[0].encode(), socket.MSG_DONTWAIT)
        held.start(site)
        wait_until(lambda: total(site) == 20, "what waited to be counted")
        site.stop_collector()


def test_an_inherited_socket_of_another_kind_is_refused(make_site):
    site = make_site()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        done = subprocess.run(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0', "sh", site.programs.collect, "-c",
                               site.config], stdin=stream, capture_output=True, text=True, timeout=20,
                              env=site.environment, check=False)
    assert done.returncode == 78 and "ListenDatagram" in done.stderr


def test_sockets_meant_for_another_process_are_left_alone(make_site):
    site = make_site()
    site.start_collector(environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    site.send(*many(2))
    assert total(site) == 2


# ---- the service manager -----------------------------------------------------------------------------------

def test_ready_status_and_stopping(make_site, tmp_path):
    site, manager = make_site(), Manager(tmp_path / "notify")
    site.start_collector(environment=manager.environment())
    assert manager.wait_for("READY=1") == ["READY=1"]
    assert site.socket.exists() and counted_through(site) >= 0
    site.send(*many(3))
    assert manager.wait_for("STATUS=")[-1].startswith("STATUS=received ")
    site.stop_collector()
    assert "STOPPING=1" in manager.wait_for("STOPPING")
    manager.close()


def test_not_ready_before_the_store_is_open(make_site, tmp_path):
    site, manager = make_site(), Manager(tmp_path / "notify")
    (site.state / "sessions.db").write_text("no database, but longer than the header of one " * 100)
    done = run_collector(site)
    assert done.returncode != 0
    assert manager.drain() == []
    manager.close()


def test_the_watchdog_is_fed_while_both_threads_move(make_site, tmp_path):
    site, manager = make_site(), Manager(tmp_path / "notify")
    site.start_collector(environment=manager.environment(WATCHDOG_USEC="2000000"))
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    manager.drain()
    # The counting thread reads the clock's file: a pipe without writer stops it there.
    os.mkfifo(site.clock.with_name("pipe"))
    site.clock.with_name("pipe").rename(site.clock)
    begin = time.monotonic()
    manager.socket.settimeout(1)
    fed = 0
    while time.monotonic() - begin < 6:
        with contextlib.suppress(TimeoutError):
            fed += manager.socket.recv(4096).startswith(b"WATCHDOG=1") and time.monotonic() - begin > 3
    assert fed == 0
    site.stop_collector(signal.SIGKILL)
    manager.close()


def test_no_watchdog_for_another_process(make_site, tmp_path):
    site, manager = make_site(), Manager(tmp_path / "notify")
    site.start_collector(environment=manager.environment(WATCHDOG_USEC="200000", WATCHDOG_PID="1"))
    manager.wait_for("STATUS=")
    site.stop_collector()
    assert not [message for message in manager.drain() if message.startswith("WATCHDOG")]
    manager.close()


def test_signals(collector):
    collector.send(*many(3))
    collector.collector.send_signal(signal.SIGUSR1)
    assert wait_for_event(collector, "collector_counters")[0]["stored"] == "3"
    collector.collector.send_signal(signal.SIGINT)
    assert collector.collector.wait(20) == 0


# ---- midnight ----------------------------------------------------------------------------------------------

def wait_for_fraction(low, high):
    """Until the clock stands between these fractions of a second."""
    while not low <= time.time() % 1 < high:
        time.sleep(0.002)


@pytest.mark.parametrize("in_one_batch", [False, True])
def test_a_tenth_of_a_second_around_midnight(collector, in_one_batch):
    collector.send(*many(1))
    context = locked(collector) if in_one_batch else contextlib.nullcontext()
    with context:
        wait_for_fraction(0.80, 0.92)
        collector.set_time(f"{DAY}T23:59:59Z")
        send_unwaited(collector, *many(3))
        wait_for_fraction(0.02, 0.30)
        send_unwaited(collector, *many(4))
    wait_until(lambda: total(collector) == 8, "everything to be counted")
    assert sessions_by_day(collector) == {DAY: 4, NEXT_DAY: 4}


def test_stopped_before_midnight_and_started_after_it(make_site):
    site = make_site(now=f"{DAY}T23:49:00Z")
    with Inherited(site.socket) as held:
        held.start(site)
        site.send(*many(10))
        site.set_time(f"{DAY}T23:50:00Z")
        site.stop_collector()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(site.socket))
            for line in many(3):
                sock.send(line.encode(), socket.MSG_DONTWAIT)
        site.set_time(f"{NEXT_DAY}T00:10:00Z")
        held.start(site)
        site.send(*many(5))
        wait_until(lambda: total(site) == 18, "what waited to be counted")
        assert sessions_by_day(site) == {DAY: 10, NEXT_DAY: 8}
        assert counted_through(site) >= lib.utc_seconds(f"{NEXT_DAY}T00:00:00Z")
        site.stop_collector()


def test_killed_before_midnight_with_a_full_hand(collector):
    """What lay in the ring counts for the day on which it came, however late it is counted."""
    collector.set_time(f"{DAY}T23:58:00Z")
    collector.send(*many(1))
    with locked(collector):
        send_unwaited(collector, *many(20))
        kill(collector)
    collector.set_time(f"{NEXT_DAY}T00:10:00Z")
    collector.collect(many(2))
    assert sessions_by_day(collector) == {DAY: 21, NEXT_DAY: 2}


def test_the_mark_waits_for_what_is_not_counted(collector):
    """While the store stays away, no day may be closed: the mark stands still."""
    collector.set_time(f"{DAY}T23:58:00Z")
    collector.send(*many(1))
    with locked(collector):
        send_unwaited(collector, *many(5))
        collector.set_time(f"{NEXT_DAY}T00:10:00Z")
        time.sleep(0.2)
        assert counted_through(collector) < lib.utc_seconds(f"{NEXT_DAY}T00:00:00Z")
    wait_until(lambda: counted_through(collector) >= lib.utc_seconds(f"{NEXT_DAY}T00:10:00Z"), "the mark to move")
    assert sessions_by_day(collector) == {DAY: 6}


def test_a_log_readers_day(collector):
    """Honoured up to max_age_days back, never in the future (G)."""
    def of(day):
        return datagram("a.example", more=f'"utc-day": "{day}",')
    collector.send(of("2026-03-13"), of("2026-03-11"), of("2026-03-10"), of("2026-03-15"), of("nonsense"))
    assert sessions_by_day(collector) == {"2026-03-11": 1, "2026-03-13": 1, DAY: 2}
    assert collector.counters()["late"] == 1


# ---- who may send, and how much is kept --------------------------------------------------------------------

@AS_ROOT
def test_only_allowed_users_count(make_site):
    site = make_site(allow_uid="nobody, 4711").start_collector()
    lib.send_datagrams(site.socket, many(3))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(site.socket))
        child = os.fork()
        if child == 0:
            os.setuid(4711)
            sock.send(datagram("good.example").encode())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: site.counters().get("received") == 4, "all to be counted")
    assert [row[0] for row in stored(site)] == ["good.example"]
    assert site.counters()["refused"] == 3
    with store_of(site) as db:
        assert db.execute("SELECT uid, count FROM refused").fetchall() == [(0, 3)]
    assert wait_for_event(site, "datagram_refused")[0]["uid"] == "0"


def test_an_unknown_user_in_allow_uid(make_site):
    done = run_collector(make_site(allow_uid="no-such-user"))
    assert done.returncode == 78 and "no-such-user" in done.stderr


def test_caps_fold_with_exact_totals(make_site):
    site = make_site(max_details=5, max_policies=3).start_collector()
    details = [datagram("a.example", failed(f'{{"c":204,"r": "192.0.2.{number}"}}')) for number in range(50)]
    policies = [datagram("b.example", f'{{"policy-type":1,"policy-domain": "mx{number}.b.example","f":0}}')
                for number in range(50)]
    site.send(*details, *details, *policies, *policies)
    rows = {row[0]: [] for row in stored(site)}
    for row in stored(site):
        rows[row[0]].append(row)
    assert len(rows["a.example"]) == 1 and rows["a.example"][0][5] == 100
    assert sum(count for _, _, count in rows["a.example"][0][6]) == 100
    assert len(rows["a.example"][0][6]) == 6
    assert sum(row[4] for row in rows["b.example"]) == 100
    assert len(rows["b.example"]) == 4 and ("b.example", 94) in [(row[3], row[4]) for row in rows["b.example"]]
    assert site.counters()["folded_details"] == 90 and site.counters()["folded_policies"] == 94


# ---- the kernel's queue ------------------------------------------------------------------------------------

@AS_ROOT
@pytest.mark.parametrize("length, is_short", [(10, True), (511, True), (512, False)])
def test_a_short_queue_is_said(make_site, length, is_short):
    if subprocess.run(["unshare", "-n", "test", "-w", "/proc/sys/net/unix/max_dgram_qlen"], check=False).returncode != 0:
        pytest.skip("this container has settings of the kernel that cannot be changed")
    site = make_site()
    site.start_collector(wrapper=["unshare", "-n", "sh", "-c",
                                  f'echo {length} > /proc/sys/net/unix/max_dgram_qlen && exec "$@"', "sh"])
    site.stop_collector()
    assert bool(site.collector_events("queue_short")) == is_short
    assert notes(site)["max_dgram_qlen"] == str(length)


@AS_ROOT
def test_the_queue_of_a_socket_from_elsewhere_is_not_guessed(make_site):
    """A unit with a network name space of its own sees that one's setting, not its inherited socket's."""
    site = make_site()
    with Inherited(site.socket) as held:
        held.start(site)
        site.stop_collector()
        assert notes(site)["max_dgram_qlen"] != ""
        namespaced = make_site()
        namespaced.socket = site.socket
        held.start(namespaced, within=["unshare", "-n"])
        namespaced.stop_collector()
        assert notes(namespaced)["max_dgram_qlen"] == ""
        assert not namespaced.collector_events("queue_short")
