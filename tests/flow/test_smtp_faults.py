# SPDX-License-Identifier: MIT
"""Every way in which an SMTP server can fail us: each gives the outcome of its row, in time, and costs nobody else.

smtp_probe delivers one batch to a faulty server and then one to a good one, through deliver/smtp.h and the worker.
"""
import dataclasses
import ssl
import subprocess

import pytest

import programs as lib
from faulty import (Refusing, SmtpFaulty, delayed_tickets, drip, drop, garbage_handshake, hang, reset, say_and_drop)

PROBE = lib.BUILD / "tests" / "tools" / "smtp_probe"
STEP_MS = 1000  # the least that libesmtp takes


@dataclasses.dataclass
class Row:
    what: str
    faults: dict  # of SmtpFaulty; None: nobody listens
    want: list    # per mail: "kind stage code"; one entry stands for all
    mails: int = 1
    tls: str = None  # what certificate the server has; None: no STARTTLS
    accepted: int = None  # messages that the server took for good; None: as many as "delivered"
    in_doubt: list = ()   # mails that may have arrived
    connections: int = 1
    arguments: tuple = ()
    extensions: tuple = ("PIPELINING", "ENHANCEDSTATUSCODES")


def inject(connection):
    """Say yes to STARTTLS and, before TLS, answers to commands that come after it."""
    return "220 2.0.0 go ahead\r\n" + "250 injected\r\n" * 8 + "250 injected"


LONG = "x" * 65536

ROWS = [
    Row("all is well", {}, ["delivered data 250"], mails=3),
    Row("all is well without extensions", {}, ["delivered data 250"], mails=3, extensions=()),
    Row("all is well over TLS", {}, ["delivered data 250"], mails=3, tls="good"),
    Row("nobody listens", None, ["try-later connect 0"], mails=2, connections=0),

    Row("it hangs before its greeting", {"greeting": hang}, ["try-later greeting 0"], mails=2),
    Row("it hangs after EHLO", {"EHLO": hang}, ["try-later greeting 0"]),
    Row("it hangs after MAIL", {"MAIL": hang}, ["try-later mail 0"], mails=2),
    Row("it hangs after RCPT", {"RCPT": hang}, ["try-later rcpt 0"]),
    Row("it hangs after DATA", {"DATA": hang}, ["try-later data 0"]),
    Row("it hangs after the dot", {"dot": hang}, ["try-later data 0", "try-later mail 0"], mails=2, in_doubt=[0]),
    Row("it stops reading in the message", {"body": hang}, ["try-later mail 0"], in_doubt=[0],
        arguments=("bytes=40000000",)),
    Row("it is slow, and no mail is begun that might be cut",
        {"dot": lambda connection: connection.server.over.wait(0.8) or "250 2.0.0 taken"},
        ["delivered data 250", "delivered data 250", "try-later start 0", "try-later start 0"], mails=4,
        arguments=("session_ms=2000",)),
    Row("it hangs after QUIT", {"QUIT": hang}, ["delivered data 250"], mails=2),
    Row("it hangs in RSET", {"RCPT": ["550 5.1.1 no", None], "RSET": hang}, ["give-up rcpt 550", "try-later mail 0"],
        mails=2, extensions=()),

    Row("its greeting drips", {"greeting": drip("220 faulty.example ESMTP")}, ["try-later greeting 0"],
        arguments=("session_ms=2000",)),
    Row("its answer to RCPT drips", {"RCPT": drip("250 2.1.5 ok" * 20)}, ["try-later mail 0"], in_doubt=[0],
        arguments=("session_ms=2000",)),

    Row("it drops the connection at once", {"greeting": drop}, ["try-later greeting 0"]),
    Row("it drops after EHLO", {"EHLO": drop}, ["try-later greeting 0"]),
    Row("it drops after MAIL", {"MAIL": drop}, ["try-later mail 0"], mails=2),
    Row("it drops after DATA", {"DATA": drop}, ["try-later data 0"]),
    Row("it resets after DATA", {"DATA": reset}, ["try-later data 0"]),
    Row("it says go on to DATA and drops", {"DATA": say_and_drop("354 go on\r\n")}, ["try-later data 0"], in_doubt=[0]),
    Row("it drops after the dot", {"dot": [None, drop]}, ["delivered data 250", "try-later data 0", "try-later mail 0"],
        mails=3, in_doubt=[1]),
    Row("it drops in the middle of its answer to the dot", {"dot": say_and_drop("25")}, ["try-later data 0"], in_doubt=[0]),
    Row("it drops behind the code of its answer to the dot", {"dot": say_and_drop("250 2.0.")}, ["delivered data 250"],
        accepted=0),
    Row("it drops between two mails", {"MAIL": [None, drop]}, ["delivered data 250", "try-later mail 0"], mails=2),

    Row("its greeting is 554", {"greeting": "554 5.7.1 go away"}, ["try-later greeting 554"]),
    Row("its greeting is 421", {"greeting": "421 4.3.2 closing"}, ["try-later greeting 421"], mails=2),
    Row("it refuses EHLO with 550", {"EHLO": "550 5.7.1 not you"}, ["try-later greeting 550"]),
    Row("it speaks HELO only", {"EHLO": ["502 5.5.1 what", "250 faulty.example"]}, ["delivered data 250"], mails=2),
    Row("421 in the middle, and it goes", {"MAIL": [None, say_and_drop("421 4.3.2 shutting down\r\n")]},
        ["delivered data 250", "try-later mail 421", "try-later mail 0"], mails=3),
    Row("421 in the middle, and it stays", {"MAIL": [None, "421 4.3.2 busy", None]},
        ["delivered data 250", "try-later mail 421", "delivered data 250"], mails=3),
    Row("450 for one mail, 250 for the next", {"RCPT": ["450 4.2.0 greylisted", None]},
        ["try-later rcpt 450", "delivered data 250"], mails=2),
    Row("550 for MAIL", {"MAIL": "550 5.7.1 not from you"}, ["give-up mail 550"], mails=2),
    Row("550 for RCPT", {"RCPT": "550 5.1.1 no such user"}, ["give-up rcpt 550"], mails=2),
    Row("550 for RCPT, without pipelining", {"RCPT": "550 5.1.1 no such user"}, ["give-up rcpt 550"], mails=2,
        extensions=()),
    Row("530 for MAIL: it wants AUTH, which is our set-up's fault", {"MAIL": "530 5.7.0 must authenticate"},
        ["try-later mail 530"]),
    Row("550 with a temporary enhanced code", {"RCPT": "550 4.2.2 mailbox full"}, ["try-later rcpt 550"]),
    Row("552 for DATA", {"DATA": "552 5.3.4 too big"}, ["give-up data 552"], mails=2),
    Row("552 after the dot", {"dot": "552 5.2.2 too big"}, ["give-up data 552"], mails=2),
    Row("451 after the dot", {"dot": ["451 4.3.0 later", None]}, ["try-later data 451", "delivered data 250"], mails=2),
    Row("half of a batch is refused", {"RCPT": ["550 5.1.1 no", None] * 10}, ["give-up rcpt 550", "delivered data 250"] * 10,
        mails=20),
    Row("half of a batch is refused, without pipelining", {"RCPT": ["550 5.1.1 no", None] * 10},
        ["give-up rcpt 550", "delivered data 250"] * 10, mails=20, extensions=()),

    Row("a greeting of 64 KB", {"greeting": "220 " + LONG}, ["try-later greeting 0"]),
    Row("a reply of 64 KB to RCPT", {"RCPT": "250 " + LONG}, ["try-later data 0", "try-later mail 0"], mails=2),
    Row("a reply of 64 KB after the dot", {"dot": "250 " + LONG}, ["delivered data 250", "try-later mail 0"], mails=2,
        accepted=1),
    Row("a reply of 1,000 lines to RCPT", {"RCPT": "\r\n".join(["250-again"] * 1000 + ["250 ok"])},
        ["try-later data 0"]),
    Row("a reply that is no reply", {"MAIL": "what?"}, ["try-later mail 0"]),
    Row("a reply of control bytes", {"RCPT": "550 \x1b[2J\x07\x00no"}, ["give-up rcpt 550"]),
    Row("a reply with another code in its second line", {"RCPT": "250-ok\r\n550 no"}, ["try-later data 0"]),

    Row("STARTTLS answered with 454", {"STARTTLS": "454 4.7.0 not now"}, ["delivered data 250"], mails=2, tls="good",
        connections=2),
    Row("STARTTLS answered with silence", {"STARTTLS": hang}, ["delivered data 250"], tls="good", connections=2),
    Row("STARTTLS answered by a drop", {"STARTTLS": drop}, ["delivered data 250"], tls="good", connections=2),
    Row("the handshake is garbage", {"handshake": garbage_handshake}, ["delivered data 250"], tls="good", connections=2),
    Row("the handshake hangs", {"handshake": hang}, ["delivered data 250"], tls="good", connections=2),
    Row("the certificate has expired", {}, ["delivered data 250"], mails=2, tls="expired"),
    Row("the certificate is for another name", {}, ["delivered data 250"], tls="wrong name"),
    Row("the certificate is its own", {}, ["delivered data 250"], tls="self-signed"),
    Row("TLS 1.3 only", {}, ["delivered data 250"], tls="1.3 only", connections=2),
    Row("TLS 1.0 only", {}, ["delivered data 250"], tls="1.0 only"),
    Row("answers injected before TLS", {"STARTTLS": inject}, ["delivered data 250"], mails=2, tls="good", connections=2),
    Row("it hangs after EHLO inside TLS", {"EHLO": [None, hang]}, ["delivered data 250"], tls="good", connections=2),

    Row("TLS is required and is there", {}, ["delivered data 250"], tls="good", arguments=("tls=require",)),
    Row("TLS is required and is not there", {}, ["try-later greeting 0"], arguments=("tls=require",)),
    Row("TLS is required and refused", {"STARTTLS": "454 4.7.0 not now"}, ["try-later tls 454"], tls="good",
        arguments=("tls=require",)),
    Row("TLS is required and the certificate has expired", {}, ["try-later tls 0"], tls="expired",
        arguments=("tls=require",)),
    Row("TLS is required and the certificate is for another name", {}, ["try-later tls 0"], tls="wrong name",
        arguments=("tls=require",)),
    Row("TLS is required and answers are injected", {"STARTTLS": inject}, ["try-later tls 0"], tls="good",
        arguments=("tls=require",)),
    Row("TLS is off although it is there", {}, ["delivered data 250"], tls="good", arguments=("tls=off",)),
]


@pytest.fixture(scope="module")
def contexts(authority):
    """The TLS contexts that rows name."""
    def limited(version):
        context = authority.server().server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        return context
    return {"good": authority.server().server_context(),
            "expired": authority.expired().server_context(),
            "wrong name": authority.wrong_name().server_context(),
            "self-signed": authority.issue("localhost", "127.0.0.1", self_signed=True).server_context(),
            "1.3 only": limited(ssl.TLSVersion.TLSv1_3),
            "1.0 only": limited(ssl.TLSVersion.TLSv1)}


@pytest.fixture(scope="module")
def good_server():
    with SmtpFaulty() as server:
        yield server


def probe(*arguments, timeout=30):
    """Outcomes as (id, "kind stage code", is_in_doubt, text), in order of id.  A session that outlives the timeout fails the test."""
    done = subprocess.run([PROBE, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                          env={"SMTP_WORKER": str(lib.BUILD / "tlsrpt-gen-smtp")}, check=False)
    assert done.returncode == 0, done.stderr.decode()
    outcomes = []
    for line in done.stdout.decode("ascii").splitlines()[:-1]:
        number, kind, stage, code, doubt, *text = line.split(" ", 5)
        outcomes.append((int(number), f"{kind} {stage} {code}", doubt == "in-doubt", text[0] if text else ""))
    return sorted(outcomes)


def open_server(row, contexts):
    if row.faults is None:
        return Refusing()
    return SmtpFaulty(row.faults, row.extensions, contexts.get(row.tls))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_fault(row, contexts, authority, good_server):
    with open_server(row, contexts) as server:
        outcomes = probe("host=localhost", f"port={server.port}", f"mails={row.mails}", f"then_mails={1}",
                         f"then_port={good_server.port}", f"step_ms={STEP_MS}", "session_ms=4000",
                         f"ca_file={authority.ca_file}", *row.arguments)
        want = row.want if len(row.want) > 1 else row.want * row.mails
        got = [outcome for _, outcome, _, _ in outcomes]
        assert got[:row.mails] == want, outcomes
        assert got[row.mails:] == ["delivered data 250"]  # the rest of the run goes on
        assert [number for number, _, is_in_doubt, _ in outcomes if is_in_doubt] == list(row.in_doubt)
        assert server.connections == row.connections
        if row.faults is not None:
            accepted = row.accepted if row.accepted is not None else sum(o.startswith("delivered") for o in want)
            assert len(server.accepted) == accepted
    for _, _, is_in_doubt, text in outcomes:
        assert text.isprintable() and text.isascii()
        assert text.endswith("it may have arrived") == is_in_doubt


def test_bytes_arrive_as_they_were_given(good_server):
    before = len(good_server.accepted)
    outcomes = probe(f"port={good_server.port}", "bytes=300000")
    assert [o for _, o, _, _ in outcomes] == ["delivered data 250"]
    message = good_server.accepted[before]
    head, _, body = message.partition(b"\r\n\r\n")
    assert head.splitlines() == [b"From: <probe@sender.example>", b"To: <tls@receiver.example>",
                                 b"Date: Sat, 14 Mar 2026 00:00:00 +0000", b"Message-ID: <0@sender.example>",
                                 b"Subject: probe"]
    assert body.startswith(b".a line with a dot\r\n") and len(message) >= 300000
    assert b"\n" not in message.replace(b"\r\n", b"")


def test_tls_1_3_tickets_that_come_late_cost_nothing(contexts, good_server):
    """libesmtp waits for them and never sends EHLO: so TLS 1.2 is the most we speak."""
    faults = {"handshake": delayed_tickets(contexts["good"], 20)}
    with SmtpFaulty(faults, tls_context=contexts["good"]) as server:
        outcomes = probe(f"port={server.port}", f"step_ms={STEP_MS}")
        assert [o for _, o, _, _ in outcomes] == ["delivered data 250"]
        assert server.tls_versions == ["TLSv1.2"]


def test_the_next_target_gets_what_the_first_could_not_take(good_server):
    before = len(good_server.accepted)
    with Refusing() as dead:
        outcomes = probe(f"port={dead.port}", f"port2={good_server.port}", "mails=3")
    assert [o for _, o, _, _ in outcomes] == ["delivered data 250"] * 3
    assert len(good_server.accepted) == before + 3


def test_a_target_that_took_one_mail_keeps_the_rest(good_server):
    """In the middle of its work a server's fault is a reason to wait, not to go elsewhere."""
    before = len(good_server.accepted)
    with SmtpFaulty({"MAIL": [None, drop]}) as server:
        outcomes = probe(f"port={server.port}", f"port2={good_server.port}", "mails=3")
    assert [o for _, o, _, _ in outcomes] == ["delivered data 250", "try-later mail 0", "try-later mail 0"]
    assert len(good_server.accepted) == before


def test_user_and_password_over_verified_tls(contexts, authority):
    with SmtpFaulty(extensions=("AUTH PLAIN",), tls_context=contexts["good"]) as server:
        arguments = ("host=localhost", f"port={server.port}", "tls=require", f"ca_file={authority.ca_file}", "user=me",
                     "password=secret", f"step_ms={STEP_MS}")
        assert [o for _, o, _, _ in probe(*arguments)] == ["delivered data 250"]
        assert "AUTH" in server.seen
        server.faults["AUTH"] = "535 5.7.8 wrong"
        outcomes = probe(*arguments)
        assert [o for _, o, _, _ in outcomes] == ["try-later greeting 535"]
        assert len(server.accepted) == 1  # nothing is sent without having been let in


def test_a_relay_that_must_be_good_is_told_its_name(authority):
    seen = []
    context = authority.server().server_context()
    context.sni_callback = lambda tls, name, _: seen.append(name)
    with SmtpFaulty(tls_context=context) as server:
        for host, tls in (("localhost", "require"), ("127.0.0.1", "require"), ("localhost", "opportunistic")):
            outcomes = probe(f"host={host}", f"port={server.port}", f"tls={tls}", f"ca_file={authority.ca_file}")
            assert [o for _, o, _, _ in outcomes] == ["delivered data 250"]
    assert seen == ["localhost", None, None]


def test_user_and_password_never_without_tls(authority):
    with SmtpFaulty(extensions=("AUTH PLAIN",)) as server:
        for tls, want in (("opportunistic", "try-later start 0"), ("require", "try-later greeting 0")):
            outcomes = probe("host=localhost", f"port={server.port}", f"tls={tls}", "user=me", "password=secret",
                             f"ca_file={authority.ca_file}", f"step_ms={STEP_MS}")
            assert [o for _, o, _, _ in outcomes] == [want]
        assert "AUTH" not in server.seen and not server.accepted


def test_only_the_checked_address_is_connected_to(good_server):
    outcomes = probe("host=no-such-name.invalid", f"port={good_server.port}", "address=127.0.0.1")
    assert [o for _, o, _, _ in outcomes] == ["delivered data 250"]


def test_addresses_that_would_break_a_command_are_refused(good_server):
    seen = len(good_server.seen)
    outcomes = probe(f"port={good_server.port}", "recipient=a@b.example>\r\nRSET\r\nMAIL FROM:<x@y.example")
    assert [o for _, o, _, _ in outcomes] == ["give-up start 0"]
    assert len(good_server.seen) == seen


def test_a_missing_worker_is_an_outcome_of_each_mail():
    done = subprocess.run([PROBE, "mails=2", "port=9"], env={"SMTP_WORKER": "/nonexistent/worker"}, capture_output=True,
                          text=True, timeout=10, check=True)
    assert [line.split()[1:4] for line in done.stdout.splitlines()[:-1]] == [["try-later", "start", "0"]] * 2
