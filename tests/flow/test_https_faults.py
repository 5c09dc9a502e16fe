# SPDX-License-Identifier: MIT
"""Every way in which an HTTPS receiver can fail us: each gives the outcome of its row, in time, and costs nobody else.

https_probe posts one report to a faulty server and then one to a good one, through deliver/https.h.
"""
import dataclasses
import ssl
import subprocess
import time

import pytest

import programs as lib
from faulty import (HttpsFaulty, Refusing, cut_body, drop, early, endless_body, endless_headers, garbage_handshake, hang,
                    reset, say_and_drop, status)

PROBE = lib.BUILD / "tests" / "tools" / "https_probe"
TOTAL_MS = 2000  # enough for a good server on a busy machine


@dataclasses.dataclass
class Row:
    what: str
    respond: object  # of HttpsFaulty; None: nobody listens
    want: str        # "kind stage code"
    tls: str = "good"
    handshake: object = None
    in_doubt: bool = False
    retry_after: int = 0
    requests: int = 1  # that came whole
    words: str = ""    # in the outcome's text
    arguments: tuple = ()


ROWS = [
    Row("nobody listens", None, "try-later connect 0"),
    Row("it hangs before the handshake", None, "try-later connect 0", handshake=hang, requests=0),
    Row("it drops before the handshake", None, "try-later tls 0", handshake=drop, requests=0),
    Row("it resets before the handshake", None, "try-later tls 0", requests=0,
        handshake=lambda c: (time.sleep(0.1), c.reset())),
    Row("the handshake is garbage", None, "try-later tls 0", handshake=garbage_handshake, requests=0),
    Row("it hangs after the request", hang, "try-later http 0", in_doubt=True),
    Row("it drops after the request", drop, "try-later http 0", in_doubt=True),
    Row("it resets in the request's body", early(reset), "try-later http 0", requests=0, in_doubt=None,
        arguments=("bytes=40000000",)),
    Row("it hangs in the request's body", early(hang), "try-later http 0", requests=0, arguments=("bytes=40000000",)),

    Row("200", status(200), "delivered http 200"),
    Row("200 with words", status(200, body="thank you"), "delivered http 200"),
    Row("201", status(201), "delivered http 201"),
    Row("202", status(202), "delivered http 202"),
    Row("204", lambda c: c.send("HTTP/1.1 204 Words\r\n\r\n"), "delivered http 204"),
    Row("100 and then 200", lambda c: c.send("HTTP/1.1 100 Words\r\n\r\nHTTP/1.1 200 Words\r\nContent-Length: 0\r\n\r\n"),
        "delivered http 200"),
    Row("301", status(301, "Location: https://127.0.0.1/"), "give-up http 301"),
    Row("302", status(302, "Location: https://127.0.0.1/"), "give-up http 302"),
    Row("303", status(303, "Location: https://127.0.0.1/"), "give-up http 303"),
    Row("304", lambda c: c.send("HTTP/1.1 304 Words\r\n\r\n"), "give-up http 304"),
    Row("307", status(307, "Location: https://127.0.0.1/"), "give-up http 307", words="redirect"),
    Row("308", status(308, "Location: https://127.0.0.1/"), "give-up http 308"),
    Row("400", status(400), "give-up http 400"),
    Row("401", status(401, "WWW-Authenticate: Basic"), "give-up http 401"),
    Row("404", status(404), "give-up http 404"),
    Row("408", status(408), "try-later http 408"),
    Row("410", status(410), "give-up http 410"),
    Row("413", status(413), "give-up http 413"),
    Row("415", status(415), "give-up http 415"),
    Row("425", status(425), "try-later http 425"),
    Row("429", status(429), "try-later http 429"),
    Row("429 with Retry-After", status(429, "Retry-After: 7200"), "try-later http 429", retry_after=7200),
    Row("503 with Retry-After", status(503, "Retry-After: 60"), "try-later http 503", retry_after=60),
    Row("404 with Retry-After", status(404, "Retry-After: 60"), "give-up http 404"),
    Row("500", status(500), "try-later http 500"),
    Row("502", status(502), "try-later http 502"),
    Row("503", status(503), "try-later http 503"),
    Row("599", status(599), "try-later http 599"),
    Row("999", status(999), "give-up http 999"),

    Row("400 with words", status(400, body="no such domain"), "give-up http 400", words="HTTP 400, answer: no such domain"),
    Row("503 with words", status(503, body="later\r\nplease\r\n"), "try-later http 503", words="HTTP 503, answer: later  please"),
    Row("hostile words", say_and_drop("HTTP/1.1 403 W\r\n\r\na\r\nb\0c\x1b[2Jd\x7fe\u00fc\u202ef%s%n\r\n"), "give-up http 403",
        words="HTTP 403, answer: a  b?c?[2Jd?e" + "?" * 5 + "f%s%n"),
    Row("bytes that are no UTF-8", lambda c: c.send(b"HTTP/1.1 403 W\r\nContent-Length: 3\r\n\r\n\xff\xc0A"), "give-up http 403",
        words="HTTP 403, answer: ??A"),
    Row("too many words", status(400, body="x" * 199 + "yz"), "give-up http 400", words="answer: " + "x" * 199 + "y"),
    Row("blanks in front", status(400, body=" \r\n\tno"), "give-up http 400", words="HTTP 400, answer: no"),
    Row("a redirect with words", status(301, "Location: https://127.0.0.1/", body="moved"), "give-up http 301",
        words="HTTP 301, redirects are not followed"),

    Row("200 and an endless body", endless_body, "delivered http 200"),
    Row("500 and endless headers", endless_headers, "try-later http 500"),
    Row("200 and a reset in the body", cut_body(200), "delivered http 200"),
    Row("500 and a reset in the body", cut_body(500), "try-later http 500"),
    Row("200 and then silence in the body", lambda c: (c.send("HTTP/1.1 200 W\r\nContent-Length: 9\r\n\r\n"), c.hang()),
        "delivered http 200"),
    Row("the status line is cut off", say_and_drop("HTTP/1.1 2"), "try-later http 0", in_doubt=True),
    Row("it answers without HTTP", say_and_drop("thanks!\r\n\r\n"), "try-later http 0", in_doubt=True),
    Row("it drips", lambda c: c.drip(b"HTTP/1.1 200 Words\r\n" * 50), "try-later http 0", in_doubt=True),
    Row("its words are control bytes", lambda c: c.send("HTTP/1.1 404 \x1b[2J\x07\r\nContent-Length: 0\r\n\r\n"),
        "give-up http 404"),

    Row("an expired certificate", status(200), "delivered http 200", tls="expired", words="certificate not verified"),
    Row("a certificate for another name", status(200), "delivered http 200", tls="wrong name",
        words="certificate not verified"),
    Row("a certificate of its own", status(200), "delivered http 200", tls="self-signed",
        words="certificate not verified"),
    Row("a bad certificate and 500", status(500), "try-later http 500", tls="expired"),
    Row("strict: an expired certificate", status(200), "try-later tls 0", tls="expired", requests=0,
        words="certificate", arguments=("verify=strict",)),
    Row("strict: a certificate for another name", status(200), "try-later tls 0", tls="wrong name", requests=0,
        arguments=("verify=strict",)),
    Row("strict: a good certificate", status(200), "delivered http 200", arguments=("verify=strict",)),
    Row("off: a certificate of its own", status(200), "delivered http 200", tls="self-signed",
        arguments=("verify=off",)),
    Row("TLS 1.0 only", status(200), "try-later tls 0", tls="1.0 only", requests=0),
    Row("TLS 1.3 only", status(200), "delivered http 200", tls="1.3 only"),
]


@pytest.fixture(scope="module")
def contexts(authority):
    def limited(version):
        context = authority.issue("receiver.example").server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        return context
    return {"good": authority.issue("receiver.example").server_context(),
            "expired": authority.expired("receiver.example").server_context(),
            "wrong name": authority.wrong_name().server_context(),
            "self-signed": authority.issue("receiver.example", self_signed=True).server_context(),
            "1.3 only": limited(ssl.TLSVersion.TLSv1_3),
            "1.0 only": limited(ssl.TLSVersion.TLSv1)}


@pytest.fixture(scope="module")
def good_server(contexts):
    with HttpsFaulty(contexts["good"]) as server:
        yield server


@dataclasses.dataclass
class Outcome:
    outcome: str
    is_in_doubt: bool
    retry_after: int
    words: str


def probe(*arguments, environment=None):
    """Outcomes in order of id; and how long it took."""
    begin = time.monotonic()
    done = subprocess.run([PROBE, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                          env=environment or {}, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = [line.split(" ", 6) for line in done.stdout.decode("ascii").splitlines()[:-1]]
    rows.sort(key=lambda row: int(row[0]))
    return ([Outcome(" ".join(row[1:4]), row[4] == "in-doubt", int(row[5]), row[6] if len(row) > 6 else "")
             for row in rows], time.monotonic() - begin)


def allow(*servers):
    return "allow=127.0.0.1," + ",".join(f":{server.port}" for server in servers)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_fault(row, contexts, authority, good_server):
    nobody = row.respond is None and row.handshake is None
    with Refusing() if nobody else HttpsFaulty(contexts[row.tls], row.respond, row.handshake) as server:
        outcomes, seconds = probe(
            allow(server, good_server), f"ca_file={authority.ca_file}", "connect_ms=1000", f"total_ms={TOTAL_MS}",
            *row.arguments, "host=receiver.example", "address=127.0.0.1", "parallel=1",
            f"port={server.port}", f"https://receiver.example:{server.port}/in",
            f"port={good_server.port}", "bytes=400", f"https://receiver.example:{good_server.port}/in")
        got = outcomes[0]
        assert got.outcome == row.want, outcomes
        assert got.retry_after == row.retry_after
        assert row.words in got.words and got.words.isprintable()
        if row.in_doubt is not None:
            assert got.is_in_doubt == row.in_doubt
        assert outcomes[1].outcome == "delivered http 200"  # the rest of the run goes on
        assert seconds < 2 * TOTAL_MS / 1000 + 1
        if not nobody:
            assert len(server.requests) == row.requests  # one request per delivery (R60)


def post(server, authority, *arguments, url=None, address="127.0.0.1", **keywords):
    url = url or f"https://receiver.example:{server.port}/in"
    return probe(allow(server), f"ca_file={authority.ca_file}", f"total_ms={TOTAL_MS}", "host=receiver.example",
                 f"address={address}", f"port={server.port}", *arguments, url, **keywords)[0]


def test_request_is_what_the_rfc_asks_for(contexts, authority):
    seen = []
    class Recording(HttpsFaulty):
        def _serve(self, connection):
            connection.start_tls(self.tls_context)
            while line := connection.line():
                seen.append(line)
            self.posts.append((seen[0].split(" ")[1], connection.exactly(400)))
            status(200)(connection)
    with Recording(contexts["good"]) as server:
        url = f"https://receiver.example:{server.port}/a/../g[1-25]?x=%2C&y={{a,b}}"
        assert post(server, authority, url=url)[0].outcome == "delivered http 200"
    headers = {line.split(":")[0].lower(): line.split(": ", 1)[-1] for line in seen[1:]}
    assert seen[0] == "POST /a/../g[1-25]?x=%2C&y={a,b} HTTP/1.1"  # literally, once (R56, R60)
    assert headers["content-type"] == "application/tlsrpt+gzip" and headers["content-length"] == "400"  # R57
    assert headers["user-agent"].startswith("tlsrpt-gen/")
    assert not {"content-encoding", "transfer-encoding", "expect", "cookie", "authorization"} & set(headers)


def test_proxies_of_the_environment_are_not_used(contexts, authority):
    with HttpsFaulty(contexts["good"]) as server, Refusing() as nobody:
        proxy = f"http://127.0.0.1:{nobody.port}"
        environment = {name: proxy for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")}
        assert post(server, authority, environment=environment)[0].outcome == "delivered http 200"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.1.1",
                                     "fd00::1", "100.64.0.1", "224.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "0.0.0.0"])
def test_addresses_that_are_not_public_are_not_connected_to(address, contexts, authority):
    with HttpsFaulty(contexts["good"]) as server:
        url = f"https://receiver.example:{server.port}/in"
        outcomes, _ = probe(f"allow=:{server.port}", "host=receiver.example", f"address={address}", f"port={server.port}", url)
        assert outcomes[0].outcome == "give-up guard 0"
        assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_url_cannot_talk_curl_into_another_address(host, contexts):
    """The caller was told a public address; whatever curl makes of the URL, its socket is held against that."""
    with HttpsFaulty(contexts["good"]) as server:
        outcomes, _ = probe(f"allow=:{server.port}", f"host={host.strip('[]')}", "address=9.9.9.9", f"port={server.port}",
                            "connect_ms=300", "total_ms=300", f"https://{host}:{server.port}/in")
        assert outcomes[0].outcome in ("give-up guard 0", "try-later connect 0")
        assert server.connections == 0


def test_other_ports_are_not_connected_to(contexts):
    with HttpsFaulty(contexts["good"]) as server:
        outcomes, _ = probe("allow=127.0.0.1", "host=receiver.example", "address=127.0.0.1", f"port={server.port}",
                            f"https://receiver.example:{server.port}/in")
        assert outcomes[0].outcome == "give-up guard 0"
        assert server.connections == 0


def test_of_several_addresses_only_the_allowed_ones_are_tried(contexts, authority):
    with HttpsFaulty(contexts["good"]) as server:
        outcomes = post(server, authority, address="10.0.0.1,::1,127.0.0.1")
        assert outcomes[0].outcome == "delivered http 200"


@pytest.mark.parametrize("what, code, redirects, locate, want, requests", [
    ("not followed unless allowed", 307, 0, "127.0.0.1", "give-up http 307", 0),
    ("307 is followed", 307, 1, "127.0.0.1", "delivered http 200", 1),
    ("308 is followed", 308, 1, "127.0.0.1", "delivered http 200", 1),
    ("301 never", 301, 3, "127.0.0.1", "give-up http 301", 0),
    ("302 never", 302, 3, "127.0.0.1", "give-up http 302", 0),
    ("303 never", 303, 3, "127.0.0.1", "give-up http 303", 0),
    ("to a private address never", 307, 3, "10.0.0.1", "give-up http 307", 0),
    ("to a name without an address never", 307, 3, "none", "give-up http 307", 0),
])
def test_redirect(what, code, redirects, locate, want, requests, contexts, authority):
    del what
    elsewhere = authority.issue("elsewhere.example").server_context()
    with HttpsFaulty(elsewhere) as target:
        to = f"Location: https://elsewhere.example:{target.port}/there"
        with HttpsFaulty(contexts["good"], status(code, to)) as server:
            outcomes, _ = probe(allow(server, target), f"ca_file={authority.ca_file}", "verify=strict", f"redirects={redirects}",
                                f"locate={locate}", "host=receiver.example", "address=127.0.0.1", f"port={server.port}",
                                f"https://receiver.example:{server.port}/in")
            assert outcomes[0].outcome == want
            assert len(server.requests) == 1 and len(target.requests) == requests
            if requests:
                assert target.requests == server.requests  # the same bytes


def test_redirects_have_an_end(contexts, authority):
    with HttpsFaulty(contexts["good"]) as server:
        server.respond = status(307, f"Location: https://receiver.example:{server.port}/again")
        outcomes = post(server, authority, "redirects=3", "locate=127.0.0.1")
        assert outcomes[0].outcome == "give-up http 307"
        assert len(server.requests) == 4


@pytest.mark.parametrize("location", ["http://receiver.example/x", "ftp://receiver.example/x", "https://u:p@receiver.example/x",
                                      "file:///etc/passwd", "https://169.254.169.254/latest", "nonsense:"])
def test_redirects_to_anything_but_https_are_not_followed(location, contexts, authority):
    with HttpsFaulty(contexts["good"], status(307, f"Location: {location}")) as server:
        outcomes = post(server, authority, "redirects=3", "locate=127.0.0.1")
        assert outcomes[0].outcome == "give-up http 307"
        assert len(server.requests) == 1


def test_connections_are_reused(contexts, authority):
    with HttpsFaulty(contexts["good"]) as server:
        outcomes = post(server, authority, "posts=50", "parallel=4")
        assert [o.outcome for o in outcomes] == ["delivered http 200"] * 50
        assert server.connections <= 4


def test_one_bad_certificate_costs_one_handshake_a_host(contexts, authority):
    with HttpsFaulty(contexts["expired"]) as server:
        outcomes = post(server, authority, "posts=20", "parallel=1")
        assert [o.outcome for o in outcomes] == ["delivered http 200"] * 20
        assert server.connections == 2 and len(server.requests) == 20


def test_many_at_once(contexts, authority):
    with HttpsFaulty(contexts["good"]) as server:
        outcomes = post(server, authority, "posts=300", "parallel=32")
        assert [o.outcome for o in outcomes] == ["delivered http 200"] * 300
        assert len(server.requests) == 300
