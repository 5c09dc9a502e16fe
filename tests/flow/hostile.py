# SPDX-License-Identifier: MIT
"""Texts that somebody might send to break a report or a mail, made from a seed: the same seed, the same texts."""
import random

PIECES = [
    b"\r", b"\n", b"\r\n", b"\0", b"\t", b"\x1b[2J", b"\x7f", b"\x85", b'"', b'\\"', b"'", b"\\", b"\\u0000", b"<", b">",
    b"</tlsrpt>", b"{", b"}", b"[]", b",", b";", b":", b"%0d%0a", b"%00", b"=?utf-8?q?=0D=0ABcc:_x?=", b"=0D=0A", b" ",
    b"\r\nBcc: victim@other.example\r\n", b"\r\n\r\n--=_tlsrpt\r\n", b"\n.\r\n", b"\r\n.\r\nMAIL FROM:<x@y.example>\r\n",
    b'","policies":[],"organization-name":"', b'"}],"failure-details":[', b"$(id)", b"`id`", b"../../etc/passwd", b"!", b"@",
    "\u2028".encode(), "\u2029".encode(), "\ufeff".encode(), "\ufffe".encode(), "\U0001f600".encode(), "é".encode(),
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", bytes(range(128, 256)),
    b"mx1.quay.example", b"192.0.2.7", b"2001:db8::1", b"https://a.example/x", b"250-mx.example hello", b"-", b".", b"0",
]
LONG = [b"A" * 65536, b"\xff" * 65536, "\u2028".encode() * 21846, b'"' * 65536, b"a." * 32768]


class Hostile:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, may_be_long=True):
        """Some bytes; one text in a hundred has 64 KiB."""
        if may_be_long and self.random.random() < 0.01:
            return self.random.choice(LONG)
        return b"".join(self.random.choices(PIECES, k=self.random.randint(0, 4)))

    def maybe(self, good):
        """A good value, or a hostile one, or a good one with something hostile inside."""
        dice = self.random.random()
        if dice < 0.4:
            return good
        if dice < 0.7:
            return self.text()
        at = self.random.randint(0, len(good))
        return good[:at] + self.random.choice(PIECES) + good[at:]

    def chance(self, probability):
        return self.random.random() < probability
