# SPDX-License-Identifier: MIT
"""tlsrpt-gen-log: files, pipes and a log that is followed through rotation, restarts and kill -9."""
import contextlib
import gzip
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import programs as lib
from servers import wait_until

MTA = lib.DATA / "mta"
SHIM = lib.BUILD / "tests" / "fault" / "shim.so"
needs_shim = pytest.mark.skipif(not SHIM.exists() or "asan" in lib.BUILD.name or "tsan" in lib.BUILD.name,
                                reason="needs a build without sanitizers and its shim")
NOW = "2026-11-21T23:00:00Z"


class Receiver:
    """A datagram socket that keeps what it gets, as a collector would; stop() leaves the socket file behind."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.unlink(missing_ok=True)
        self.datagrams, self.numbers, self.repeated = [], set(), 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(0.1)
        self.is_open = True
        self.thread = threading.Thread(target=self.receive, daemon=True)
        self.thread.start()

    def receive(self):
        while self.is_open:
            with contextlib.suppress(TimeoutError):
                datagram = json.loads(self.socket.recv(65536))
                number = (datagram.get("log-id"), datagram.get("log-number"))
                if number[0] is not None and number in self.numbers:
                    self.repeated += 1  # the collector counts it once, too: test_collector_counts_each_number_once
                else:
                    self.datagrams.append(datagram)
                self.numbers.add(number)

    def stop(self):
        self.is_open = False
        self.thread.join()
        self.socket.close()

    def domains(self):
        return [datagram["d"] for datagram in list(self.datagrams)]


@pytest.fixture
def receiver(tmp_path):
    receivers = [Receiver(tmp_path / "tlsrpt.sock")]
    yield receivers[0]
    receivers[0].stop()


@pytest.fixture
def clock(tmp_path):
    path = tmp_path / "clock"
    path.write_text(f"{lib.utc_seconds(NOW) - int(time.time())}\n")
    return path


@pytest.fixture
def environment(clock):
    return dict(os.environ, TLSRPT_GEN_CLOCK=str(clock), TZ="UTC", LC_ALL="C.UTF-8")


@pytest.fixture
def run(programs, environment, tmp_path):
    """run(*arguments, stdin=b"") -> CompletedProcess of tlsrpt-gen-log with its state below tmp_path."""
    def run_log(*arguments, stdin=b"", check=True):
        done = subprocess.run([programs.log, "-o", f"state_dir={tmp_path}/state", *map(str, arguments)], input=stdin,
                              capture_output=True, env=environment, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done
    return run_log


class Follower:
    """tlsrpt-gen-log --follow, which may be killed and started again."""

    def __init__(self, programs, environment, tmp_path, log, mta="exim", extra=()):
        self.command = [str(programs.log), "-o", f"state_dir={tmp_path}/state", "--mta", mta, "--follow", str(log),
                        "--socket", str(tmp_path / "tlsrpt.sock"), *extra]
        self.environment = environment
        self.output = tmp_path / "follower.log"
        self.process = None

    def start(self, **environment):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command, env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output)
        return self

    def end(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            code = self.process.wait(20)
            assert how == signal.SIGKILL or code == 0, self.output.read_text()
            self.process = None

    def wait_dead(self):
        """Until it was killed by what SHIM_FAULT=die ordered."""
        assert self.process.wait(20) == -signal.SIGKILL, self.output.read_text()
        self.process = None

    def events(self, name):
        return [event for event in lib.parse_log(self.output.read_text()) if event["event"] == name]


@pytest.fixture
def follow(programs, environment, tmp_path):
    followers = []
    def start(log, *extra, mta="exim", **more):
        followers.append(Follower(programs, environment, tmp_path, log, mta, extra).start(**more))
        return followers[-1]
    yield start
    for follower in followers:
        if follower.process is not None:
            follower.process.kill()
            follower.process.wait()


def line(number, day="2026-11-21", text="=>"):
    """One Exim delivery over TLS to a domain of its own."""
    return (f"{day} 18:21:19 1x{number:04d}-0008O9-0l {text} u@d{number}.test R=dns T=smtp H=mx.d{number}.test "
            f"[192.0.2.1]:25 I=[192.0.2.9]:{10000 + number} X=TLS1.3:x:256 CV=yes DN=\"CN=x\" C=\"250 ok\"\n")


def append(path, *lines):
    with open(path, "a") as log:
        log.write("".join(lines))


def wanted(numbers):
    return [f"d{number}.test" for number in numbers]


def wait_for(receiver, numbers):
    numbers = list(numbers)
    wait_until(lambda: len(receiver.datagrams) >= len(numbers), f"{len(numbers)} datagrams", 20)
    assert sorted(receiver.domains()) == sorted(wanted(numbers))


# ---- files and pipes ----

def test_plain_gzip_and_standard_input_tell_the_same(run, tmp_path):
    plain = tmp_path / "mail.log"
    plain.write_bytes(b"".join(path.read_bytes() for path in sorted((MTA / "postfix-3.7").glob("*.log"))))
    packed = tmp_path / "mail.log.2.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()[:9000]) + gzip.compress(plain.read_bytes()[9000:]))
    outputs = {run("--mta", "postfix", "--stdout", plain).stdout, run("--mta", "postfix", "--stdout", packed).stdout,
               run("--mta", "postfix", "--stdout", "-", stdin=plain.read_bytes()).stdout}
    assert len(outputs) == 1
    datagrams = [json.loads(row) for row in outputs.pop().splitlines()]
    assert len(datagrams) == 83
    assert {datagram["utc-day"] for datagram in datagrams} == {"2026-11-21"}


def test_several_files_are_one_log(run, tmp_path):
    """A session that begins in one file and ends in the next."""
    lines = (MTA / "postfix-3.7" / "good.log").read_text().splitlines(keepends=True)
    (tmp_path / "mail.log.1").write_text("".join(lines[:4]))
    (tmp_path / "mail.log").write_text("".join(lines[4:]))
    assert run("--mta", "postfix", "--stdout", tmp_path / "mail.log").stdout == b""
    assert len(run("--mta", "postfix", "--stdout", tmp_path / "mail.log.1", tmp_path / "mail.log").stdout.splitlines()) == 1


def test_from_and_until(run, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1, "2026-11-19"), line(2, "2026-11-20"), line(3, "2026-11-21"))
    def told(*options):
        rows = run("--mta", "exim", "--stdout", *options, log).stdout.splitlines()
        return [json.loads(row)["d"] for row in rows]
    assert told() == wanted([1, 2, 3])
    assert told("--from", "2026-11-20") == wanted([2, 3])
    assert told("--until", "2026-11-20") == wanted([1, 2])
    assert told("--from", "2026-11-20", "--until", "2026-11-20") == wanted([2])
    assert told("--from", "2026-11-20T18:21:19Z", "--until", "2026-11-21T18:21:19Z") == wanted([2])


def test_summary_counts_and_tells_nobody(run):
    done = run("--mta", "exim", "--summary", *sorted((MTA / "exim-4.96").glob("*.log")))
    rows = [row.split() for row in done.stdout.decode().splitlines()]
    assert ["2026-11-21", "3", "no-policy-found", "success", "resume.test"] in rows
    assert ["2026-11-21", "1", "tlsa", "certificate-not-trusted", "dane-bad.test"] in rows
    assert done.stdout.decode().splitlines()[-1] == "sessions: 55 successful, 23 failed"


def test_lines_of_json(run):
    lines = [
        {"datetime": "2026-11-20T23:59:59Z", "policy-domain": "a.test"},
        {"tls-report-domain": "A.test", "policy-type": "tlsa", "policy-domain": "mx.a.test",
         "policy-string": ["3 1 1 ab"], "result-type": "certificate-expired", "receiving-ip": "2001:DB8::1"},
        {"policies": [{"policy": {"policy-type": "sts", "policy-domain": "b.test", "mx-host": ["*.b.test"]},
                       "failure-details": [{"result-type": "starttls-not-supported"}]},
                      {"policy": {"policy-type": "no-policy-found"}}]},
    ]
    bad = [b"{", b"[]", b'{"policy-domain": "a b"}', b'{"policy-domain": "a.test", "result-type": "new"}',
           b'{"policy-domain": "a.test", "datetime": "yesterday"}', b"\xff" * 100, b"x" * 200000]
    stdin = b"\n".join([json.dumps(row).encode() for row in lines] + bad)
    done = run("--mta", "ndjson", "--stdout", "-", stdin=stdin)
    got = [json.loads(row) for row in done.stdout.splitlines()]
    assert [row["utc-day"] for row in got] == ["2026-11-20", "2026-11-21", "2026-11-21"]
    assert got[0]["policies"] == [{"policy-type": 9, "policy-domain": "a.test", "t": 0, "f": 0}]
    assert got[1]["d"] == "a.test"
    assert got[1]["policies"][0]["policy-string"] == ["3 1 1 AB"]
    assert got[1]["policies"][0]["failure-details"] == [{"c": 204, "r": "2001:db8::1"}]
    assert [policy["f"] for policy in got[2]["policies"]] == [1, 0]
    assert lib.parse_log(done.stderr.decode())[-1]["malformed"] == str(len(bad))


@pytest.mark.parametrize("arguments, words", [
    ((), "--mta is missing"), (("--mta", "sendmail", "x"), "not a value"), (("--mta", "exim"), "no file"),
    (("--mta", "exim", "--follow", "x", "y"), "takes one file"), (("--mta", "exim", "--once", "x"), "needs --follow"),
    (("--mta", "exim", "--from", "21.11.2026", "x"), "not a value"), (("--mta", "exim", "--relay", "x", "x"), "not a value"),
    (("--mta", "exim", "--summary", "--follow", "x"), "does not follow"),
])
def test_mistakes_on_the_command_line(run, arguments, words):
    done = run(*arguments, check=False)
    assert done.returncode == 64
    assert words in done.stderr.decode()


def test_a_missing_file_and_a_missing_collector_are_said(run, tmp_path):
    done = run("--mta", "exim", "--stdout", tmp_path / "none", check=False)
    assert done.returncode == 66 and "none" in done.stderr.decode()
    done = run("--mta", "exim", "--stdout", tmp_path, check=False)
    assert done.returncode == 65 and "not a regular file" in done.stderr.decode()


def test_without_a_collector_a_file_is_given_up_in_time(run, tmp_path):
    append(tmp_path / "mainlog", line(1))
    done = run("--mta", "exim", "--socket", tmp_path / "no.sock", tmp_path / "mainlog", check=False)
    assert done.returncode == 75
    assert "start tlsrpt-gen-collect" in done.stderr.decode()


# ---- hostile files ----

def test_long_and_binary_lines_are_stepped_over(run, tmp_path):
    log = tmp_path / "mainlog"
    log.write_bytes(line(1).encode() + b"x" * 1_000_000 + b"\n" + line(2).encode() + line(3).encode().rstrip()
                    + b"y" * 1_000_000 + b"\n" + b"\0" * 70000 + b"\n\r\n\xff\xfe\n" + line(4).encode())
    done = run("--mta", "exim", "--stdout", log)
    assert [json.loads(row)["d"] for row in done.stdout.splitlines()] == wanted([1, 2, 4])
    assert lib.parse_log(done.stderr.decode())[-1]["too_long"] == "3"


def test_a_broken_gzip_file_tells_what_it_has_and_fails(run, tmp_path):
    packed = tmp_path / "mainlog.2.gz"
    packed.write_bytes(gzip.compress("".join(line(n) for n in range(2000)).encode())[:-4000])
    done = run("--mta", "exim", "--stdout", packed, check=False)
    assert done.returncode in (65, 0)
    assert 0 < len(done.stdout.splitlines()) < 2000


# ---- following ----

def test_lines_are_told_as_they_come_and_a_partial_line_waits(follow, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follow(log)
    wait_for(receiver, [1])
    append(log, line(2), line(3)[:40])
    wait_for(receiver, [1, 2])
    append(log, line(3)[40:])
    wait_for(receiver, [1, 2, 3])


def test_a_log_that_comes_later(follow, receiver, tmp_path):
    follower = follow(tmp_path / "mainlog")
    wait_until(lambda: follower.events("log_absent"), "the follower to say that there is no log")
    assert follower.events("log_absent")[0]["path"] == str(tmp_path / "mainlog")
    append(tmp_path / "mainlog", line(1))
    wait_for(receiver, [1])
    follower.end()
    follower.start()
    wait_until(lambda: len(follower.events("log_followed")) == 2, "the log to be followed again")
    assert len(follower.events("log_absent")) == 1


def test_rename_and_create(follow, receiver, tmp_path):
    """Also what a writer adds to the renamed file before it opens the new one, and its last line without a newline."""
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    log.rename(tmp_path / "mainlog.1")
    append(tmp_path / "mainlog.1", line(2), line(3).rstrip("\n"))
    append(log, line(4))
    wait_for(receiver, [1, 2, 3, 4])
    log.rename(tmp_path / "mainlog-20261121")
    append(log, line(5))
    wait_for(receiver, [1, 2, 3, 4, 5])
    wait_until(lambda: follower.events("log_rotated")[-1]["rotations"] == "2", "the second rotation to be said")


def test_copy_and_truncate(follow, receiver, tmp_path):
    """What was not read before the truncation comes from the copy."""
    log = tmp_path / "mainlog"
    append(log, line(1), line(2))
    follower = follow(log)
    wait_for(receiver, [1, 2])
    follower.process.send_signal(signal.SIGSTOP)
    append(log, line(3))
    (tmp_path / "mainlog.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, *(line(n) for n in range(4, 20)))
    follower.process.send_signal(signal.SIGCONT)
    wait_for(receiver, range(1, 20))


def test_truncation_without_a_copy_goes_on_with_what_is_new(follow, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1), line(2))
    follow(log)
    wait_for(receiver, [1, 2])
    os.truncate(log, 0)
    append(log, line(3))
    wait_for(receiver, [1, 2, 3])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restart(follow, receiver, tmp_path, how):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    follower.end(how)
    append(log, line(2))
    follower.start()
    wait_for(receiver, [1, 2])


def test_rotations_while_nobody_followed(follow, receiver, tmp_path):
    """Renamed twice, the older one packed, and the log itself written anew."""
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    follower.end()
    append(log, line(2))
    packed = tmp_path / "mainlog.2.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    os.utime(packed, ns=(log.stat().st_mtime_ns, log.stat().st_mtime_ns))
    log.unlink()
    append(tmp_path / "mainlog.1", line(3))
    append(log, line(4))
    follower.start()
    wait_for(receiver, [1, 2, 3, 4])


def test_an_empty_log_is_rotated_while_nobody_followed(follow, receiver, tmp_path):
    """The place is in a log that is still empty; rotating that must not look as if the place were lost."""
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    follower.end()
    log.rename(tmp_path / "mainlog.1")
    log.touch()
    follower.start()
    wait_until(lambda: len(follower.events("log_followed")) == 2, "the log to be followed again")
    follower.end()
    (tmp_path / "mainlog.1").rename(tmp_path / "mainlog.2")
    log.rename(tmp_path / "mainlog.1")
    append(log, line(2))
    follower.start()
    wait_for(receiver, [1, 2])
    assert not follower.events("place_lost")


def test_copy_and_truncate_while_nobody_followed(follow, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    follower.end()
    append(log, line(2))
    (tmp_path / "mainlog.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, line(3))
    follower.start()
    wait_for(receiver, [1, 2, 3])


def test_an_open_session_lives_through_a_restart_and_a_rotation(follow, receiver, tmp_path):
    """Its first line is in the old file, its last one in the new."""
    lines = (MTA / "postfix-3.7" / "dane-bad.log").read_text().splitlines(keepends=True)
    log = tmp_path / "mail.log"
    append(log, *lines[:5])
    append(log, (MTA / "postfix-3.7" / "good.log").read_text().replace("smtp[15514]", "smtp[15515]"))
    follower = follow(log, mta="postfix")
    wait_until(lambda: receiver.domains() == ["good.test"], "the session that is complete")
    follower.end(signal.SIGKILL)
    log.rename(tmp_path / "mail.log.1")
    append(log, lines[5])
    follower.start()
    wait_until(lambda: len(receiver.datagrams) == 2, "the open session")
    assert receiver.domains() == ["good.test", "dane-bad.test"]
    assert receiver.datagrams[1]["policies"][0]["failure-details"][0]["c"] == 203


# ---- killed at the worst moment: right behind an outcome, before its number is remembered ----

def dies_behind(number, **more):
    """Environment of a follower that is killed right behind datagram `number` (from 0)."""
    return {"LD_PRELOAD": str(SHIM), "SHIM_FAULT": f"die:{number}", **more}


def wait_for_repeated(receiver, numbers):
    """Each once, and one that was told again under the number that it had."""
    wait_until(lambda: receiver.repeated == 1, "the one that is told again")
    wait_for(receiver, numbers)
    assert receiver.repeated == 1


@needs_shim
@pytest.mark.parametrize("number", [0, 1, 2])
def test_killed_right_behind_an_outcome(follow, receiver, tmp_path, number):
    log = tmp_path / "mainlog"
    append(log, *(line(n) for n in range(3)))
    follower = follow(log, **dies_behind(number))
    follower.wait_dead()
    wait_for(receiver, range(number + 1))
    append(log, line(3))
    follower.start()
    wait_for_repeated(receiver, range(4))


@needs_shim
def test_killed_right_behind_the_first_outcome_and_rotated(follow, receiver, tmp_path):
    """An open session, whose first line is in the old file, and all else that is still in there."""
    lines = (MTA / "postfix-3.7" / "dane-bad.log").read_text().splitlines(keepends=True)
    log = tmp_path / "mail.log"
    append(log, *lines[:5])
    append(log, (MTA / "postfix-3.7" / "good.log").read_text().replace("smtp[15514]", "smtp[15515]"))
    follower = follow(log, mta="postfix", **dies_behind(0))
    follower.wait_dead()
    log.rename(tmp_path / "mail.log.1")
    append(log, lines[5])
    follower.start()
    wait_until(lambda: len(receiver.datagrams) == 2, "the open session")
    assert receiver.domains() == ["good.test", "dane-bad.test"]
    assert receiver.datagrams[1]["policies"][0]["failure-details"][0]["c"] == 203
    assert receiver.repeated == 1


@needs_shim
def test_killed_right_behind_the_first_outcome_after_the_place_was_lost(follow, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    follower.end()
    log.unlink()
    append(log, line(2), line(3))
    follower.start(**dies_behind(0))
    follower.wait_dead()
    assert follower.events("place_lost")
    follower.start()
    wait_for_repeated(receiver, [1, 2, 3])


@needs_shim
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("is_once", [False, True])
@pytest.mark.parametrize("has_more", [False, True])
def test_killed_while_it_closes_what_is_long_open(follow, run, receiver, tmp_path, number, is_once, has_more):  # noqa: PLR0913
    """Three messages of Exim's that came to no end: after a minute without a line what is certain is told."""
    open_lines = ("2026-11-21 18:21:09 1x{0:04d}-0007fm-0J DANE attempt failed; TLS connection to mx.d{0}.test [192.0.2.{0}]: "
                  "(certificate verification failed): Verification failed. The certificate differs. \n"
                  "2026-11-21 18:21:09 1x{0:04d}-0007fm-0J => u@d{0}.test R=dns T=smtp H=mx2.d{0}.test [192.0.2.9]:25\n")
    log = tmp_path / "mainlog"
    append(log, *(open_lines.format(n) for n in range(1, 4)))
    follower = follow(log, **dies_behind(number, SHIM_HURRY="100"))
    follower.wait_dead()
    wait_for(receiver, range(1, number + 2))
    if has_more:
        append(log, line(4))
    if is_once:
        run("--mta", "exim", "--follow", log, "--once", "--socket", receiver.path)
    else:
        follower.start(LD_PRELOAD=str(SHIM), SHIM_HURRY="100")
    wait_for_repeated(receiver, range(1, 5 if has_more else 4))


def test_rotated_while_nobody_followed_a_log_that_was_empty(follow, receiver, tmp_path):
    """Nothing was ever read of it; what came while nobody followed counts all the same."""
    log = tmp_path / "mainlog"
    log.touch()
    follower = follow(log)
    wait_until(lambda: follower.events("log_followed"), "the log to be followed")
    follower.end(signal.SIGKILL)
    append(log, line(1))
    log.rename(tmp_path / "mainlog.1")
    append(log, line(2))
    follower.start()
    wait_for(receiver, [1, 2])


def test_what_was_rotated_before_anybody_followed_is_none_of_ours(follow, receiver, tmp_path):
    """There is no log yet, only one of yesterday; also after a restart."""
    log = tmp_path / "mainlog"
    append(tmp_path / "mainlog.1", line(1, "2026-11-20"))
    os.utime(tmp_path / "mainlog.1", (1700000000, 1700000000))
    follower = follow(log)
    for lives in (1, 2, 3):
        wait_until(lambda lives=lives: len(follower.events("log_followed")) == lives, "the log to be followed")
        follower.end(signal.SIGKILL if lives < 3 else signal.SIGTERM)
        follower.start()
    append(log, line(2))
    wait_for(receiver, [2])


def test_a_collector_that_is_away_is_waited_for(follow, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    receiver.stop()
    append(log, line(2), line(3))
    wait_until(lambda: follower.events("collector_away"), "the follower to notice")
    follower.end()
    follower.start()
    second = Receiver(tmp_path / "tlsrpt.sock")
    wait_for(second, [2, 3])
    second.stop()


def test_clock_changes_lose_and_double_nothing(follow, receiver, tmp_path, clock):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follower = follow(log)
    wait_for(receiver, [1])
    clock.write_text("0\n")  # two decades or a few years back or forth
    append(log, line(2, "2026-11-22"), line(3, "2026-11-19"))
    wait_for(receiver, [1, 2, 3])
    follower.end()
    follower.start()
    append(log, line(4, "2026-11-21"))
    wait_for(receiver, [1, 2, 3, 4])
    assert [datagram["utc-day"] for datagram in receiver.datagrams] == [
        "2026-11-21", "2026-11-22", "2026-11-19", "2026-11-21"]


def test_killed_again_and_again_it_tells_each_session_once(follow, receiver, tmp_path):
    """2,000 sessions are written and the log rotated twice while the follower is killed 25 times."""
    log = tmp_path / "mainlog"
    log.touch()
    written = threading.Event()

    def write():
        for number in range(2000):
            append(log, line(number))
            if number in (700, 1400):
                log.rename(tmp_path / f"mainlog.{2 if number == 700 else 1}")
                log.touch()
            if number % 80 == 0:
                wait_until(lambda number=number: len(receiver.datagrams) >= number // 2, "the follower", 60)
        written.set()

    writer = threading.Thread(target=write)
    follower = follow(log)
    writer.start()
    kills = 0
    while not written.is_set() or kills < 25:
        seen = len(receiver.datagrams)
        with contextlib.suppress(Exception):
            wait_until(lambda seen=seen: len(receiver.datagrams) > seen + 20 or written.is_set(), "progress", 5)
        follower.end(signal.SIGKILL)
        follower.start()
        kills += 1
    writer.join()
    wait_for(receiver, range(2000))


def test_once_from_cron(run, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    arguments = ("--mta", "exim", "--follow", log, "--once", "--socket", receiver.path)
    run(*arguments)
    wait_for(receiver, [1])
    run(*arguments)
    append(log, line(2))
    run(*arguments)
    log.rename(tmp_path / "mainlog.1")
    append(log, line(3))
    run(*arguments)
    run(*arguments)
    wait_for(receiver, [1, 2, 3])


def test_two_followers_of_one_log_are_one_too_many(follow, run, receiver, tmp_path):
    log = tmp_path / "mainlog"
    append(log, line(1))
    follow(log)
    wait_for(receiver, [1])
    done = run("--mta", "exim", "--follow", log, "--once", "--socket", receiver.path, check=False)
    assert done.returncode == 75


# ---- Exim: live and log ----

def test_exims_events_and_its_log_agree_on_counts():
    """The same 77 situations; where they differ, the log has no line for what the event tells."""
    not_logged = {"rcpt450": "X= is not logged for a deferred recipient", "sts-mx2": "a failed MX before the last is not logged"}
    counts = {}
    for row in (MTA / "comparison.tsv").read_text().splitlines():
        if row.startswith("exim-4.96/"):
            name, _, outcome, *_ = row.split("\t")
            scenario, _, kind = name.partition("/")[2].rpartition(".")
            sessions = sum(map(int, re.findall(r" x(\d+)(?:;|$)", outcome)))
            domains = sorted(set(part.split()[0] for part in outcome.split("; ") if part != "nothing"))
            counts.setdefault(scenario, {})[kind] = (sessions, domains)
    assert len(counts) == 77
    for scenario, found in counts.items():
        if scenario in not_logged:
            assert found["log"][0] == found["events"][0] - 1, scenario
        else:
            assert found["log"] == found["events"], scenario
