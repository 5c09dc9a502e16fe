# SPDX-License-Identifier: MIT
"""The collector, from its sockets to what is stored: `tlsrpt-gen --dry-run` reads it back."""
import os
import signal
import socket
import stat
import subprocess
import threading

import pytest

import programs as lib
from collecting import NONE, counted_through, datagram, run_collector, stored
from servers import wait_until

MALFORMED = {
    "empty": b"",
    "not JSON": b"hello",
    "wrong dpv": b'{"dpv": "two","d": "a.example","policies":[' + NONE.encode() + b"]}",
    "no d": b'{"policies":[' + NONE.encode() + b"]}",
    "policies not an array": b'{"d": "a.example","policies":{}}',
    "200 KB of garbage": os.urandom(200_000),
    "1,000 levels deep": b"[" * 1000 + b"]" * 1000,
}


def expected_rows():
    """Rows of expected-postfix-3.10.tsv by scenario."""
    path = lib.DATA / "mta" / "expected-postfix-3.10.tsv"
    lines = path.read_text().splitlines()
    keys = lines[0].split("\t")
    scenarios = {}
    for line in lines[1:]:
        row = dict(zip(keys, line.split("\t")))
        scenarios.setdefault(row["scenario"], []).append(row)
    return scenarios


def test_every_postfix_scenario_gives_what_is_expected(make_site):
    """One collector and store for each scenario would be slow: their domains are distinct, so one is enough."""
    site = make_site()
    folder = lib.DATA / "mta" / "postfix-3.10"
    scenarios = expected_rows()
    assert sorted(scenarios) == sorted(path.stem for path in folder.glob("*.datagrams"))
    site.collect([line for name in scenarios for line in lib.read_datagrams(folder / f"{name}.datagrams")])
    got = [(row[0], row[2], row[3], row[4], row[5], row[6]) for row in stored(site)]
    want = {}
    for rows in scenarios.values():
        for row in rows:
            if row["result"] == "nothing-sent":
                continue
            domain, success, failure = row["domain"].lower(), int(row["success"]), int(row["failure"])
            key = (domain, row["policy-type"], row["policy-domain"].lower())
            entry = want.setdefault(key, [0, 0, []])
            entry[0] += success
            entry[1] += failure
            if failure:
                entry[2].append((row["result"], "" if row["reason"] == "-" else row["reason"], failure))
    assert got == sorted(((*key, *entry) for key, entry in want.items()),
                         key=lambda row: (row[0], ["tlsa", "sts", "no-policy-found"].index(row[1]), row[2]))


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_datagram_is_counted_and_logged_and_the_next_is_stored(collector, name):
    collector.send(MALFORMED[name], datagram("good.example"))
    collector.stop_collector()
    assert [row[0] for row in stored(collector)] == ["good.example"]
    assert {k: collector.counters()[k] for k in ("received", "stored", "malformed")} == {
        "received": 2, "stored": 1, "malformed": 1}
    events = collector.collector_events("datagram_malformed")
    assert [int(event["bytes"]) for event in events] == [len(MALFORMED[name])]
    assert events[0]["reason"]


def test_invalid_utf8_is_repaired_and_counted(collector):
    detail = b'{"policy-type":9,"failure-details":[{"c":205,"f": "caf\xe9"}],"t":1,"f":1}'
    collector.send(b'{"d": "a.example","policies":[' + detail + b"]}", datagram("b.example"))
    collector.stop_collector()
    assert stored(collector)[0][6] == [("validation-failure", "caf\N{REPLACEMENT CHARACTER}", 1)]
    assert collector.counters()["repaired"] == 1
    assert collector.counters()["stored"] == 2
    assert "malformed" not in collector.counters()


def test_a_flood_of_malformed_datagrams_is_logged_a_few_times_only(collector):
    collector.send(*[b"x%d" % i for i in range(500)])
    collector.stop_collector()
    assert collector.counters()["malformed"] == 500
    assert 1 <= len(collector.collector_events("datagram_malformed")) <= 20


def test_a_datagram_longer_than_the_buffer_is_noticed(collector):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 2 * 1024 * 1024:
            sock.setsockopt(socket.SOL_SOCKET, 32, 4 * 1024 * 1024)  # SO_SNDBUFFORCE: root only
        sock.connect(str(collector.socket))
        policies = ",".join([NONE] * 12_000)
        try:
            sock.send(datagram("long.example", policies).encode())
        except OSError:
            pytest.skip("the kernel lets no such datagram pass here")
    collector.send(datagram("good.example"))
    collector.stop_collector()
    assert [row[0] for row in stored(collector)] == ["good.example"]
    assert collector.counters()["malformed"] == 1


def test_several_sockets(make_site, tmp_path):
    other = tmp_path / "other.sock"
    site = make_site()
    site.set(socket=[site.socket, other])
    site.start_collector()
    site.send(datagram("one.example"))
    lib.send_datagrams(other, [datagram("two.example")])
    site.stop_collector()
    assert [row[0] for row in stored(site)] == ["one.example", "two.example"]
    assert not site.socket.exists() and not other.exists()


def test_mode_and_group_of_the_socket(make_site):
    site = make_site(socket_mode="0620")
    site.start_collector()
    assert stat.S_IMODE(site.socket.stat().st_mode) == 0o620
    site.stop_collector()
    if os.getuid() == 0:
        site.set(socket_group="mail")
        site.start_collector()
        import grp
        assert site.socket.stat().st_gid == grp.getgrnam("mail").gr_gid
        site.stop_collector()
    site.set(socket_group="no-such-group")
    done = subprocess.run([site.programs.collect, "-c", site.config], capture_output=True, text=True, timeout=10,
                          env=site.environment, check=False)
    assert done.returncode == 78 and "no-such-group" in done.stderr
    assert not site.socket.exists()


def test_a_socket_somebody_listens_on_is_left_alone(make_site):
    site = make_site()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(site.socket))
        done = run_collector(site)
        assert done.returncode == 75 and "listens" in done.stderr
        lib_send = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with lib_send:
            lib_send.sendto(b"still there", str(site.socket))
        assert other.recv(100) == b"still there"


def test_a_stale_socket_is_replaced(make_site):
    site = make_site()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(site.socket))
    assert site.socket.exists()
    site.collect([datagram("a.example")])
    assert [row[0] for row in stored(site)] == ["a.example"]


def test_a_file_that_is_no_socket_is_left_alone(make_site):
    site = make_site()
    site.socket.write_text("precious")
    done = run_collector(site)
    assert done.returncode == 77 and str(site.socket) in done.stderr
    assert site.socket.read_text() == "precious"


def test_wrong_settings_end_with_78(make_site, tmp_path):
    site = make_site(socket=tmp_path / "no" / "such" / "folder" / "s.sock")
    done = run_collector(site)
    assert done.returncode == 78 and "folder" in done.stderr
    site.set(socket_mode="rw")
    assert run_collector(site).returncode == 78


def test_no_sender_can_plant_descriptors(collector):
    """SCM_RIGHTS: the descriptors that come with a datagram must not stay open in the collector."""
    before = len(os.listdir(f"/proc/{collector.collector.pid}/fd"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(collector.socket))
        for _ in range(20):
            socket.send_fds(sock, [datagram("a.example").encode()], [0, 1, 2])
    wait_until(lambda: collector.counters().get("stored") == 20, "all to be counted")
    assert len(os.listdir(f"/proc/{collector.collector.pid}/fd")) == before


def test_what_was_sent_before_sigterm_is_stored(collector):
    """SIGTERM while the queue is full: exactly what send() took is counted."""
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(collector.socket))
        sock.settimeout(10)
        process = collector.collector
        for i in range(100_000):
            if i == 3000:
                process.send_signal(signal.SIGTERM)
            try:
                sock.send(datagram(f"d{i % 100}.example").encode())
            except OSError:
                break
            sent += 1
    assert process.wait(30) == 0
    collector.collector = None
    assert 3000 <= sent < 100_000
    assert sum(row[4] for row in stored(collector)) == sent


def burst(path, domain, count, answers):
    """Send as Postfix does, without waiting: how many the kernel took, how many it refused."""
    content, taken, refused = datagram(domain).encode(), 0, 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(str(path))
        for _ in range(count):
            try:
                sock.send(content, socket.MSG_DONTWAIT)
                taken += 1
            except BlockingIOError:
                refused += 1
    answers[domain] = (taken, refused)


def test_a_burst_loses_only_what_its_senders_saw_refused(collector):
    """10,000 datagrams by four senders that never wait; at first the collector does not move at all (R72)."""
    answers = {}
    collector.freeze_collector()
    burst(collector.socket, "frozen.example", 1000, answers)
    collector.collector.send_signal(signal.SIGCONT)
    domains = [f"d{number}.example" for number in range(4)]
    senders = [threading.Thread(target=burst, args=(collector.socket, domain, 2500, answers)) for domain in domains]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    collector.stop_collector()
    assert answers["frozen.example"][0] > 0 and answers["frozen.example"][1] > 0
    assert all(sum(answers[domain]) == 2500 for domain in domains)
    assert {row[0]: row[4] for row in stored(collector)} == {name: taken for name, (taken, _) in answers.items() if taken}
    taken = sum(taken for taken, _ in answers.values())
    assert {name: value for name, value in collector.counters().items() if name in ("received", "stored", "dropped")} == {
        "received": taken, "stored": taken}


def test_an_idle_collector_moves_its_mark(make_site):
    site = make_site(now="2026-03-14T12:00:00Z")
    site.start_collector()
    wait_until(lambda: abs(counted_through(site) - lib.utc_seconds("2026-03-14T12:00:00Z")) < 60, "the first mark")
    site.set_time("2026-03-15T00:20:00Z")
    wait_until(lambda: counted_through(site) >= lib.utc_seconds("2026-03-15T00:19:00Z"), "the mark to move", 70)
    site.stop_collector()


def test_help_and_version(programs):
    done = subprocess.run([programs.collect, "--help"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0 and "socket_mode" in done.stdout
    done = subprocess.run([programs.collect, "--version"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0 and done.stdout.startswith("tlsrpt-gen-collect ")
    done = subprocess.run([programs.collect, "--nonsense"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 64
