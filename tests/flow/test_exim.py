# SPDX-License-Identifier: MIT
"""The collector's stream sockets: Exim's lines, answered at once; and log readers that tell an outcome again."""
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

import programs as lib
from servers import wait_until

EVENTS = lib.DATA / "mta" / "exim-4.96"
NOW = "2026-11-21T12:00:00Z"
READSOCKET_S = 1  # what Exim waits for the collector


def recorded(scenario):
    return [line + b"\n" for line in (EVENTS / f"{scenario}.events").read_bytes().splitlines()]


def leave(path, *lines, timeout=READSOCKET_S):
    """What Exim's readsocket does: connect, write, shut down, wait for the other side.  Returns the seconds it took."""
    begin = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        for line in lines:
            connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            while connection.recv(4096):
                pass
    return time.monotonic() - begin


@pytest.fixture
def exim_site(make_site):
    site = make_site(now=NOW)
    site.exim_socket = site.socket.with_name("exim.sock")
    site.set(exim_socket=site.exim_socket)
    return site


def wait_for(site, **counters):
    wait_until(lambda: all(site.counters().get(name, 0) >= value for name, value in counters.items()),
               f"the counters {counters}")


def store_rows(site, query):
    with contextlib.closing(sqlite3.connect(f"file:{site.state}/sessions.db?mode=ro", uri=True)) as store:
        return store.execute(query).fetchall()


def test_each_line_is_taken_at_once(exim_site):
    exim_site.start_collector()
    took = [leave(exim_site.exim_socket, line) for scenario in ("good", "dane-bad", "dane-mx2", "nostarttls", "shared-both")
            for line in recorded(scenario)]
    assert max(took) < 0.5
    wait_for(exim_site, received=7)
    counters = exim_site.counters()
    assert (counters["stored"], counters.get("no_outcome", 0), counters.get("malformed", 0)) == (6, 1, 0)


def test_one_session_one_outcome_where_tls_was_required(exim_site):
    """Exim says "clear" before "failure"; only the failure counts."""
    exim_site.start_collector()
    for line in recorded("dane-nostarttls"):
        leave(exim_site.exim_socket, line)
    wait_for(exim_site, received=2)
    assert exim_site.counters()["stored"] == 1 and exim_site.counters()["no_outcome"] == 1


def test_hostile_lines(exim_site):
    exim_site.start_collector()
    lines = [b"\n", b"{\n", b"{}\n", b'{"v":"exim1"}\n', b'{"v":"exim9","what":"success","domain":"a.test"}\n', b"x" * 70000 + b"\n",
             b'{"v":"exim1","what":"success","domain":"a b"}\n', b'{"v":"exim1","what":"success","domain":""}\n',
             b'{"v":"exim1","what":"success","domain":"a.test","domain":"b.test"}\n', b"[" * 60000 + b"\n", b"\0\xff\n",
             b'{"v":"exim1","what":"failure","domain":"a.test","reason":"' + b"\xff" * 1000 + b'"}\n']
    for line in lines:
        assert leave(exim_site.exim_socket, line) < 0.9
    assert leave(exim_site.exim_socket, *recorded("good")) < 0.5
    wait_for(exim_site, received=len(lines))  # an empty line is none; the last one here is "good"
    assert exim_site.counters()["malformed"] == len(lines) - 2
    assert exim_site.counters()["stored"] == 2
    assert exim_site.stop_collector() == 0


def test_a_user_that_is_not_allowed_is_refused(exim_site):
    exim_site.set(allow_uid=os.getuid() + 1)
    exim_site.start_collector()
    leave(exim_site.exim_socket, *recorded("good"))
    wait_for(exim_site, refused=1)
    assert exim_site.counters().get("stored", 0) == 0


def test_many_at_once_and_clients_that_only_sit_there(exim_site):
    exim_site.start_collector()
    sitters = []
    for _ in range(200):
        sitters.append(socket.socket(socket.AF_UNIX))
        sitters[-1].connect(str(exim_site.exim_socket))
    line = recorded("good")[0]
    threads = [threading.Thread(target=lambda: [leave(exim_site.exim_socket, line) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(exim_site, stored=400)
    assert exim_site.counters()["stored"] == 400
    for sitter in sitters:
        sitter.close()


def test_a_frozen_collector_costs_one_second_and_loses_nothing(exim_site):
    """Exim's bound is readsocket's; what it left behind is taken when the collector goes on."""
    exim_site.start_collector()
    exim_site.freeze_collector()
    took = leave(exim_site.exim_socket, *recorded("good"))
    assert READSOCKET_S * 0.9 < took < READSOCKET_S + 0.5
    exim_site.collector.send_signal(signal.SIGCONT)
    wait_for(exim_site, stored=1)


def test_a_missing_socket_costs_nothing(exim_site):
    begin = time.monotonic()
    with pytest.raises(OSError):
        leave(exim_site.exim_socket, *recorded("good"))
    assert time.monotonic() - begin < 0.1


def test_lines_survive_a_kill(exim_site):
    """A line whose connection was closed is in the ring."""
    exim_site.start_collector()
    for _ in range(20):
        leave(exim_site.exim_socket, *recorded("good"))
    exim_site.stop_collector(signal.SIGKILL)
    exim_site.start_collector()
    wait_for(exim_site, stored=20)
    assert exim_site.counters()["stored"] == 20


def start_with(site, *sockets):
    """Start the collector with these sockets inherited, as a service manager does: they outlive it."""
    fds = " ".join(f"{3 + at}<&{held.fileno()}" for at, held in enumerate(sockets))
    for held in sockets:
        os.set_inheritable(held.fileno(), True)
    with open(site.collector_log, "ab") as log:
        site.collector = subprocess.Popen(
            ["/bin/bash", "-c", f'export LISTEN_PID=$$; exec "$@" {fds}', "sh", site.programs.collect, "-c", site.config],
            stdout=log, stderr=log, close_fds=False, env=dict(site.environment, LISTEN_FDS=str(len(sockets))))


def test_an_inherited_stream_socket(exim_site, tmp_path):
    """It is used instead of exim_socket; the datagram socket of the settings is made all the same."""
    path = tmp_path / "inherited.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        start_with(exim_site, listener)
        assert leave(path, *recorded("good"), timeout=20) < 15
        wait_until(lambda: exim_site.state.joinpath("sessions.db").exists(), "the store")
        wait_for(exim_site, stored=1)
        assert exim_site.socket.exists() and not exim_site.exim_socket.exists()


# ---- a log reader and the collector, both killed ----

def line(number):
    return (f"2026-11-21 10:21:19 1x{number:04d}-0008O9-0l => u@d{number}.test R=dns T=smtp H=mx.d{number}.test "
            f"[192.0.2.1]:25 I=[192.0.2.9]:{10000 + number} X=TLS1.3:x:256 CV=yes DN=\"CN=x\" C=\"250 ok\"\n")


def test_a_numbered_outcome_counts_once(exim_site):
    """In one batch, in another one, and after a restart of the collector; a log of another name counts for itself."""
    def datagram(number, name="00000000000000aa"):
        return {"dpv": "1", "d": "a.test", "policies": [{"policy-type": 9, "t": 0, "f": 0}], "log-id": name, "log-number": number}
    exim_site.start_collector()
    exim_site.send(datagram(1), datagram(1), datagram(2))
    exim_site.send(datagram(2), datagram(3))
    exim_site.restart_collector()
    exim_site.send(datagram(3), datagram(1), datagram(4), datagram(1, "00000000000000bb"))
    counters = exim_site.counters()
    assert (counters["stored"], counters["repeated"]) == (5, 4)


def test_reader_and_collector_killed_in_turn_count_each_session_once(exim_site, tmp_path):
    """The socket is inherited, so that what waits in it outlives the collector."""
    log = tmp_path / "mainlog"
    log.touch()
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    held.bind(str(exim_site.socket))
    command = [exim_site.programs.log, "-c", exim_site.config, "--mta", "exim", "--follow", log]
    output = open(tmp_path / "reader.log", "ab")
    reader = subprocess.Popen(command, env=exim_site.environment, stdout=output, stderr=output)
    start_with(exim_site, held)
    wait_until(lambda: "collector_started" in exim_site.collector_log.read_text(), "the collector")
    try:
        for number in range(1200):
            with open(log, "a") as writer:
                writer.write(line(number))
            if number % 100 == 50:
                reader.kill()
                reader.wait()
                reader = subprocess.Popen(command, env=exim_site.environment, stdout=output, stderr=output)
            if number % 300 == 250:
                exim_site.stop_collector(signal.SIGKILL)
                start_with(exim_site, held)
            if number % 40 == 0:
                wait_until(lambda number=number: exim_site.counters().get("stored", 0) >= number // 2, "progress", 60)
        wait_for(exim_site, stored=1200)
    finally:
        reader.terminate()
        reader.wait()
        output.close()
    exim_site.stop_collector()
    held.close()
    assert exim_site.counters()["stored"] == 1200
    assert store_rows(exim_site, "SELECT count(*) FROM domain WHERE name LIKE 'd%.test'") == [(1200,)]


def test_the_follower_tells_a_real_collector_the_day_of_the_log(exim_site, tmp_path):
    log = tmp_path / "mainlog"
    log.write_text(line(1).replace("2026-11-21", "2026-11-19") + line(2))
    exim_site.start_collector()
    done = subprocess.run([exim_site.programs.log, "-c", exim_site.config, "--mta", "exim", log], env=exim_site.environment,
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    wait_for(exim_site, stored=2)
    days = store_rows(exim_site, "SELECT DISTINCT utc_day FROM tally ORDER BY 1")
    assert days == [(lib.utc_seconds(day) // 86400,) for day in ("2026-11-19", "2026-11-21")]
