# SPDX-License-Identifier: MIT
"""A DNS server that misbehaves on request and writes down every question: what nsd cannot show.

Answers are (name, type) -> what to do:
  a list of records as a zone file writes them       answer with these ([] is "no such data")
  "NXDOMAIN", "SERVFAIL", "REFUSED", …               answer with that code
  SILENT                                             never answer
  TRUNCATED(answer)                                  over UDP only "ask again over TCP"; over TCP the answer
  GARBAGE(bytes)                                     answer with these bytes behind the right id
  CUT(answer, n)                                     the right answer without its last n bytes
A list in a tuple ("SERVFAIL", […]) is used up one by one; its last item stays.
"""
import dataclasses
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from servers import LOOPBACK, free_port

SILENT = object()


@dataclasses.dataclass
class TRUNCATED:
    answer: object


@dataclasses.dataclass
class GARBAGE:
    data: bytes


@dataclasses.dataclass
class CUT:
    answer: object
    count: int


class DnsStub:
    """queries: (transport, name, type) of every question, in order."""

    def __init__(self, answers=None, default="NXDOMAIN", delay_s=0, insecure=None):
        """insecure: names whose answers are not authentic; None: this resolver validates nothing (bit AD)."""
        self.answers = dict(answers or {})
        self.default = default
        self.delay_s = delay_s
        self.insecure = insecure
        self.queries = []
        self.port = free_port()
        self._used = {}
        self._sockets = []
        self._threads = []
        self._is_stopping = False

    @property
    def address(self):
        return f"{LOOPBACK}:{self.port}"

    def names(self):
        return [name for _, name, _ in self.queries]

    def _pick(self, key):
        answer = self.answers.get(key, self.default)
        if isinstance(answer, tuple):
            used = self._used[key] = self._used.get(key, 0) + 1
            answer = answer[min(used, len(answer)) - 1]
        return answer

    def _encode(self, query, answer):
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        name = query.question[0].name.to_text(omit_final_dot=True)
        if self.insecure is not None and query.flags & dns.flags.AD and name not in self.insecure:
            reply.flags |= dns.flags.AD
        if isinstance(answer, str):
            reply.set_rcode(dns.rcode.from_text(answer))
        else:
            for record in answer:
                name, rtype, rdata = record.split(None, 2)
                rrset = reply.find_rrset(reply.answer, dns.name.from_text(name), 1, dns.rdatatype.from_text(rtype),
                                         create=True)
                rrset.add(dns.rdata.from_text(1, rrset.rdtype, rdata), 60)
        return reply.to_wire(max_size=65535)

    def _answer(self, packet, transport):
        query = dns.message.from_wire(packet)
        question = query.question[0]
        key = (question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype))
        self.queries.append((transport, *key))
        answer = self._pick(key)
        if answer is SILENT:
            return None
        if self.delay_s:
            time.sleep(self.delay_s)
        if isinstance(answer, TRUNCATED):
            if transport == "udp":
                reply = dns.message.make_response(query)
                reply.flags |= dns.flags.TC
                return reply.to_wire()
            answer = answer.answer
        if isinstance(answer, GARBAGE):
            return packet[:2] + answer.data
        if isinstance(answer, CUT):
            return self._encode(query, answer.answer)[:-answer.count]
        return self._encode(query, answer)

    def _serve_udp(self, sock):
        while not self._is_stopping:
            try:
                packet, peer = sock.recvfrom(65535)
            except OSError:
                continue
            reply = self._answer(packet, "udp")
            if reply is not None:
                sock.sendto(reply, peer)

    def _serve_tcp(self, sock):
        while not self._is_stopping:
            try:
                connection, _ = sock.accept()
            except OSError:
                continue
            with connection:
                connection.settimeout(2)
                self._talk(connection)

    def _talk(self, connection):
        try:
            while True:
                size = connection.recv(2, socket.MSG_WAITALL)
                if len(size) < 2:
                    return
                packet = connection.recv(struct.unpack(">H", size)[0], socket.MSG_WAITALL)
                reply = self._answer(packet, "tcp")
                if reply is not None:
                    connection.sendall(struct.pack(">H", len(reply)) + reply)
        except OSError:
            return

    def __enter__(self):
        for kind, serve in ((socket.SOCK_DGRAM, self._serve_udp), (socket.SOCK_STREAM, self._serve_tcp)):
            sock = socket.socket(socket.AF_INET, kind)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((LOOPBACK, self.port))
            sock.settimeout(0.1)
            if kind == socket.SOCK_STREAM:
                sock.listen(16)
            self._sockets.append(sock)
            self._threads.append(threading.Thread(target=serve, args=(sock,), daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_stopping = True
        for thread in self._threads:
            thread.join(5)
        for sock in self._sockets:
            sock.close()
