# SPDX-License-Identifier: MIT
"""The resolve stage against a real name server, and against one that misbehaves (R1, R2, R12, R13)."""
import contextlib
import json
import os
import subprocess
import threading
import time

import pytest

from dns_stub import CUT, GARBAGE, SILENT, TRUNCATED, DnsStub
from programs import BUILD
from servers import Nsd
from test_faults import SANITIZED, SHIM

LOOKUP = BUILD / "tests" / "tools" / "lookup"
RECORD = "v=TLSRPTv1; rua=mailto:tls@north.example"


def lookup(kind, names, *servers, timeout_ms=300, tries=2, deadline_ms=3000, in_flight=200, environment=None):
    """The answers, in the order of their arrival."""
    command = [str(LOOKUP), "-t", str(timeout_ms), "-n", str(tries), "-d", str(deadline_ms), "-p", str(in_flight)]
    for server in servers:
        command += ["-s", server]
    done = subprocess.run([*command, kind], input="\n".join(names) + "\n", capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, **(environment or {})))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask(kind, name, *servers, **keywords):
    answers = lookup(kind, [name], *servers, **keywords)
    assert len(answers) == 1
    return answers[0]


# ---- a real server -----------------------------------------------------------------------------------------

def test_records_of_every_shape(nsd):
    nsd.txt.update({
        "_smtp._tls.one.example": RECORD,
        "_smtp._tls.two.example": [RECORD, "v=spf1 -all"],
        "_smtp._tls.split.example": [["v=TLSRPTv1; rua=mail", "to:tls@nor", "", "th.example"]],
        "_smtp._tls.long.example": "v=TLSRPTv1; rua=" + "mailto:tls@north.example," * 100,
        "_smtp._tls.raw.example": [[b"v=TLSRPTv1;\x00\xc3\xbc\"\\"]],
        "target.elsewhere.example": RECORD,
        "other.other.example": "something else",
    })
    nsd.lines += ["_smtp._tls.alias.example. CNAME a.middle.example.",
                  "a.middle.example. CNAME target.elsewhere.example.",
                  "_smtp._tls.dangling.example. CNAME nowhere.example.",
                  "_smtp._tls.nodata.example. A 127.0.0.1"]
    nsd.reload()
    names = ["one.example", "two.example", "split.example", "long.example", "alias.example", "dangling.example",
             "nodata.example", "absent.example", "ONE.example."]
    got = {}
    for answer in lookup("tlsrpt", names, nsd.address):
        got.setdefault(answer["name"].removeprefix("_smtp._tls."), []).append((answer["outcome"], answer["txts"]))
    assert got["one.example"] == [("found", [RECORD])] * 2
    assert got["two.example"][0][0] == "found" and sorted(got["two.example"][0][1]) == sorted([RECORD, "v=spf1 -all"])
    assert got["split.example"] == [("found", [RECORD])]
    assert got["long.example"] == [("found", ["v=TLSRPTv1; rua=" + "mailto:tls@north.example," * 100])]
    assert got["alias.example"] == [("found", [RECORD])]
    assert got["dangling.example"] == got["nodata.example"] == got["absent.example"] == [("none", [])]
    assert ask("txt", "other.other.example", nsd.address)["txts"] == ["something else"]


def test_addresses(nsd):
    nsd.lines += ["both.example. A 192.0.2.7", "both.example. AAAA 2001:db8::7", "both.example. A 192.0.2.8",
                  "four.example. A 192.0.2.9", "six.example. AAAA ::ffff:10.0.0.1",
                  "alias.example. CNAME both.example.", 'text.example. TXT "x"']
    nsd.reload()
    got = {answer["name"]: answer for answer in
           lookup("addresses", ["both.example", "four.example", "six.example", "alias.example", "text.example",
                                "absent.example"], nsd.address)}
    assert got["both.example"]["outcome"] == "found"
    assert got["both.example"]["addresses"][0] == "2001:db8::7"
    assert sorted(got["both.example"]["addresses"][1:]) == ["192.0.2.7", "192.0.2.8"]
    assert got["four.example"]["addresses"] == ["192.0.2.9"]
    assert got["six.example"]["addresses"] == ["10.0.0.1"]  # as itself, so that no guard is fooled
    assert sorted(got["alias.example"]["addresses"]) == sorted(got["both.example"]["addresses"])
    assert got["text.example"]["outcome"] == got["absent.example"]["outcome"] == "none"


def test_mail_hosts(nsd):
    nsd.lines += ["several.example. MX 20 b.several.example.", "several.example. MX 10 A.several.example.",
                  "several.example. MX 30 c.several.example.", "null.example. MX 0 .",
                  "implicit.example. A 192.0.2.7", "odd.example. MX 0 .", "odd.example. MX 10 mx.odd.example.",
                  "numbers.example. MX 10 192.0.2.9.", "numbers.example. A 192.0.2.8"]
    nsd.reload()
    got = {answer["name"]: answer for answer in
           lookup("mx", ["several.example", "null.example", "implicit.example", "odd.example", "absent.example",
                         "numbers.example"], nsd.address)}
    assert got["several.example"]["mx"] == [[10, "a.several.example"], [20, "b.several.example"],
                                            [30, "c.several.example"]]
    assert (got["null.example"]["outcome"], got["null.example"]["null_mx"]) == ("none", True)
    assert (got["implicit.example"]["mx"], got["implicit.example"]["implicit_mx"]) == ([[0, "implicit.example"]], True)
    assert got["odd.example"]["mx"] == [[10, "mx.odd.example"]]
    assert (got["absent.example"]["outcome"], got["absent.example"]["null_mx"]) == ("none", False)
    # RFC 5321 section 5.1: where there are MX records, unusable ones are an error, and the name itself is no mail host.
    assert (got["numbers.example"]["outcome"], got["numbers.example"]["mx"]) == ("temporary", [])


def test_broken_zone_is_temporary(tmp_path):
    with Nsd(tmp_path / "broken", broken=["broken.example"]) as server:
        answer = ask("tlsrpt", "broken.example", server.address)
    assert answer["outcome"] == "temporary" and answer["reason"]


def test_many_names_at_once(nsd):
    count = 2000
    nsd.txt.update({f"_smtp._tls.d{i}.example": f"v=TLSRPTv1; rua=mailto:t{i}@d{i}.example" for i in range(count)})
    nsd.reload()
    answers = lookup("tlsrpt", [f"d{i}.example" for i in range(count)], nsd.address, timeout_ms=1500)
    got = {answer["name"]: answer["txts"] for answer in answers}
    assert got == {name: [text] for name, text in nsd.txt.items() if name.startswith("_smtp._tls.d")}


@pytest.mark.skipif(not SHIM.exists() or SANITIZED, reason="needs a build without sanitizers and its shim")
def test_failed_send_costs_only_its_own_query_a_try(nsd, tmp_path):
    names = [f"s{i}.example" for i in range(300)]
    nsd.txt.update({f"_smtp._tls.{name}": RECORD for name in names})
    nsd.reload()
    seen = tmp_path / "seen"
    answers = lookup("tlsrpt", names, nsd.address, tries=1, environment={
        "LD_PRELOAD": str(SHIM), "SHIM_FAULT": "query:150:105", "SHIM_FAULT_SEEN": str(seen)})
    assert seen.exists()
    assert [answer["outcome"] for answer in answers].count("found") >= len(names) - 1


# ---- a server that misbehaves ------------------------------------------------------------------------------

def name(domain):
    return f"_smtp._tls.{domain}"


def found(domain, text=RECORD):
    return [f'{name(domain)}. TXT "{text}"']


@pytest.mark.parametrize("answer", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", SILENT, GARBAGE(b""),
                                    GARBAGE(b"\x81\x80\0\1\0\1\0\0\0\0"), CUT(found("north.example"), 20)],
                         ids=["servfail", "refused", "notimp", "formerr", "silent", "short", "header", "cut"])
def test_no_reliable_answer_is_temporary(answer):
    with DnsStub({(name("north.example"), "TXT"): answer}) as stub:
        got = ask("tlsrpt", "north.example", stub.address, timeout_ms=200, deadline_ms=1500)
    assert got["outcome"] == "temporary", got
    assert got["reason"]
    assert set(stub.names()) == {name("north.example")}


def test_asks_one_name_once_and_no_parent():
    with DnsStub({(name("mail.north.example"), "TXT"): found("mail.north.example")}) as stub:
        assert ask("tlsrpt", "mail.north.example", stub.address)["outcome"] == "found"
        assert ask("tlsrpt", "sub.mail.north.example", stub.address)["outcome"] == "none"
    assert stub.queries == [("udp", name("mail.north.example"), "TXT"),
                            ("udp", name("sub.mail.north.example"), "TXT")]


def test_environment_changes_nothing():
    environment = {"LOCALDOMAIN": "evil.example", "RES_OPTIONS": "ndots:15 attempts:9 timeout:30",
                   "HOSTALIASES": "/dev/null"}
    with DnsStub() as stub:
        assert ask("tlsrpt", "north", stub.address, environment=environment)["outcome"] == "none"
    assert stub.names() == [name("north")]


def test_truncated_answer_is_asked_over_tcp():
    text = "v=TLSRPTv1; rua=" + ",".join(f"mailto:t{i}@north.example" for i in range(8))
    with DnsStub({(name("north.example"), "TXT"): TRUNCATED(found("north.example", text))}) as stub:
        got = ask("tlsrpt", "north.example", stub.address, timeout_ms=1000)
    assert got["txts"] == [text]
    assert [query[0] for query in stub.queries] == ["udp", "tcp"]


def test_lost_packet_is_sent_again():
    with DnsStub({(name("north.example"), "TXT"): (SILENT, found("north.example"))}) as stub:
        assert ask("tlsrpt", "north.example", stub.address, timeout_ms=200)["outcome"] == "found"
    assert len(stub.queries) == 2


def test_second_server_is_asked():
    with DnsStub(default="SERVFAIL") as bad, DnsStub({(name("north.example"), "TXT"): found("north.example")}) as good:
        assert ask("tlsrpt", "north.example", bad.address, good.address)["outcome"] == "found"
    assert bad.queries and good.queries


def test_deadline_holds_although_more_tries_were_left():
    with DnsStub(default=SILENT) as stub:
        begin = time.monotonic()
        got = ask("tlsrpt", "north.example", stub.address, timeout_ms=400, tries=10, deadline_ms=700)
        assert time.monotonic() - begin < 3
    assert got["outcome"] == "temporary" and "in time" in got["reason"]


def test_one_dead_name_does_not_hold_up_the_others():
    answers = {(name(f"d{i}.example"), "TXT"): found(f"d{i}.example") for i in range(20)}
    answers[(name("d7.example"), "TXT")] = SILENT
    with DnsStub(answers) as stub:
        got = lookup("tlsrpt", [f"d{i}.example" for i in range(20)], stub.address, in_flight=2, deadline_ms=600)
    assert [answer["outcome"] for answer in got].count("found") == 19
    assert got[-1]["name"] == name("d7.example") and got[-1]["outcome"] == "temporary"


def test_questions_past_their_deadline_hold_a_bounded_number_of_sockets():
    """c-ares keeps them until its own last try, far beyond our deadline."""
    names = [f"d{i}.example" for i in range(600)]
    stubs = [DnsStub(default=SILENT) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(stub).address for stub in stubs]
        process = subprocess.Popen([LOOKUP, "-t", "200", "-n", "2", "-d", "100", *(f"-s{server}" for server in servers),
                                    "addresses"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process.stdin.write("\n".join(names) + "\n")
        process.stdin.close()
        reader = threading.Thread(target=lambda: answers.extend(process.stdout))
        answers, most = [], 0
        reader.start()
        while process.poll() is None:
            with contextlib.suppress(OSError):
                most = max(most, len(os.listdir(f"/proc/{process.pid}/fd")))
            time.sleep(0.02)
        reader.join(10)
    assert len(answers) == len(names) and most < 950
    assert {json.loads(answer)["outcome"] for answer in answers} == {"temporary"}


def test_half_an_answer_about_addresses():
    answers = {("four.example", "A"): ["four.example. A 192.0.2.7"], ("four.example", "AAAA"): "SERVFAIL",
               ("none.example", "A"): [], ("none.example", "AAAA"): "SERVFAIL"}
    with DnsStub(answers) as stub:
        assert ask("addresses", "four.example", stub.address)["addresses"] == ["192.0.2.7"]
        assert ask("addresses", "none.example", stub.address)["outcome"] == "temporary"


def test_mail_hosts_of_equal_preference_take_turns():
    records = [f"even.example. MX 10 m{i}.even.example." for i in range(6)]
    with DnsStub({("even.example", "MX"): records}) as stub:
        orders = {tuple(host for _, host in answer["mx"]) for answer in
                  lookup("mx", ["even.example"] * 20, stub.address)}
    assert len(orders) > 1 and {len(set(order)) for order in orders} == {6}


def test_nobody_listens():
    stub = DnsStub()  # never started
    assert ask("tlsrpt", "north.example", stub.address, timeout_ms=200)["outcome"] == "temporary"


@pytest.mark.parametrize("server", ["localhost:53", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:", "[::1", "", "a b"])
def test_server_that_is_no_address_is_refused(server):
    done = subprocess.run([str(LOOKUP), "-s", server, "txt"], input="", capture_output=True, text=True, timeout=10,
                          check=False)
    assert done.returncode == 1 and "config: resolver:" in done.stderr and "127.0.0.1:53" in done.stderr


@pytest.mark.parametrize("domain", ["a..example", "-a.example", "a b.example", "x" * 64 + ".example", "192.0.2.1",
                                    ".".join(["x" * 60] * 4)])
def test_bad_name_is_not_asked(domain):
    with DnsStub() as stub:
        done = subprocess.run([str(LOOKUP), "-s", stub.address, "tlsrpt"], input=domain + "\n", capture_output=True,
                              text=True, timeout=10, check=False)
    assert done.returncode == 1 and not stub.queries
