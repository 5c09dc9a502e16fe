# SPDX-License-Identifier: MIT
"""tlsrpt-gen-log asks DNS whether DANE applies to an MX host, and never waits long for the answer."""
import contextlib
import re
import subprocess
import time

import pytest

import dns_stub
import programs as lib

SECURE = "3 1 1 " + "ab" * 32
UNUSABLE = "0 0 1 " + "cd" * 32
HEAD = "Nov 21 18:23:07 host postfix/smtp[77]: "


def session(host, word="Verified", domain="a.test"):
    return (f"{HEAD}{word} TLS connection established to {host}[192.0.2.1]:25: TLSv1.3 with cipher X (256/256 bits)\n"
            f"{HEAD}48111AD8A36: to=<u@{domain}>, relay={host}[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=2.0.0, "
            "status=sent (250 ok)\n")


@pytest.fixture
def serve():
    """serve(...): a resolver, stopped afterwards."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **keywords: stack.enter_context(dns_stub.DnsStub(*arguments, **keywords))


@pytest.fixture
def summary(programs, tmp_path):
    """summary(stub, log, *options) -> ({(policy, result, domain): sessions}, stderr, seconds)"""
    config = tmp_path / "tlsrpt-gen.conf"

    def run(stub, log, *options):
        config.write_text(f"resolver = {stub.address}\nstate_dir = {tmp_path}\n")
        begin = time.monotonic()
        done = subprocess.run([programs.log, "-c", config, "--mta", "postfix", *options, "--summary", "-"], input=log, text=True,
                              capture_output=True, timeout=60, check=True)
        rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
        return {(row[2], row[3], row[4]): int(row[1]) for row in rows}, done.stderr, time.monotonic() - begin

    return run


def tlsa(host, *rows):
    return {(f"_25._tcp.{host}", "TLSA"): [f"_25._tcp.{host}. TLSA {row}" for row in rows]}


@pytest.mark.parametrize(("answers", "insecure", "options", "policy"), [
    (tlsa("mx.a.test", SECURE), [], [], "tlsa"),
    (tlsa("mx.a.test", UNUSABLE, SECURE), [], [], "tlsa"),
    (tlsa("mx.a.test", UNUSABLE), [], [], "no-policy-found"),
    ({}, [], [], "no-policy-found"),
    ({}, [], ["--mandatory-tls", "sts"], "sts"),
    ({}, [], ["--mandatory-tls", "dane"], "no-policy-found"),
    (tlsa("mx.a.test", SECURE), ["_25._tcp.mx.a.test"], [], "no-policy-found"),  # an unsigned zone
    (tlsa("mx.a.test", SECURE), None, [], "no-policy-found"),  # a resolver that does not validate
    (tlsa("mx.a.test", SECURE), None, ["--mandatory-tls", "dane"], "tlsa"),
    ({("_25._tcp.mx.a.test", "TLSA"): "SERVFAIL"}, [], [], "no-policy-found"),
    ({("_25._tcp.mx.a.test", "TLSA"): dns_stub.GARBAGE(b"\x81\xa0" + b"\0" * 8)}, [], [], "no-policy-found"),
])
def test_a_verified_session(serve, summary, answers, insecure, options, policy):
    rows, log, _ = summary(serve(answers, insecure=insecure), session("mx.a.test"), *options)
    assert rows == {(policy, "success", "a.test"): 1}
    assert log.count("event=dane_not_validated") == (insecure is None)


def test_a_session_that_was_not_verified_needs_no_answer(serve, summary):
    stub = serve(tlsa("mx.a.test", SECURE), insecure=[])
    rows, _, _ = summary(stub, session("mx.a.test", word="Trusted"))
    assert rows == {("no-policy-found", "success", "a.test"): 1}


def test_a_host_is_asked_about_once(serve, summary):
    stub = serve(tlsa("mx.a.test", SECURE), insecure=[])
    rows, _, _ = summary(stub, session("mx.a.test") * 50 + session("MX.A.test") * 50)
    assert rows == {("tlsa", "success", "a.test"): 100}
    assert stub.names().count("_25._tcp.mx.a.test") == 1


@pytest.mark.parametrize("host", ["MX.XN--BCHER-KVA.test", "mx.b\u00fccher.test", "mx.xn--bcher-kva.test."])
def test_a_host_is_asked_about_by_its_canonical_name(serve, summary, host):
    stub = serve(tlsa("mx.xn--bcher-kva.test", SECURE), insecure=[])
    rows, _, _ = summary(stub, session(host))
    assert rows == {("tlsa", "success", "a.test"): 1}
    assert "_25._tcp.mx.xn--bcher-kva.test" in stub.names()


def test_name_servers_that_never_answer_cost_two_seconds(serve, summary):
    """A pipe must not fill up; each host that is not known is read as if nobody could be asked."""
    stub = serve(default=dns_stub.SILENT, insecure=[])
    rows, _, took = summary(stub, "".join(session(f"mx{n}.a.test") for n in range(2000)))
    assert rows == {("no-policy-found", "success", "a.test"): 2000}
    assert took < 5, took


def test_a_log_that_is_read_for_mta_sts_only_asks_nobody(serve, programs, tmp_path):
    stub = serve(insecure=[])
    config = tmp_path / "tlsrpt-gen.conf"
    config.write_text(f"resolver = {stub.address}\nstate_dir = {tmp_path}\n")
    logs = lib.DATA / "sts" / "pf310-resolver-rpt"
    done = subprocess.run([programs.log, "-c", config, "--mta", "postfix-sts", "--summary", logs / "pol-outside.log",
                           logs / "pol-partial.log"], text=True, capture_output=True, timeout=60, check=True)
    assert re.findall(r"(\d+)  (\S+) +(\S+) +(\S+)$", done.stdout, re.M) == [("1", "sts", "validation-failure", "pol-outside.test")]
    assert stub.queries == []
