# SPDX-License-Identifier: MIT
"""Servers that do one wrong thing each: SMTP and HTTPS, with raw sockets, on a free port of loopback.

A server runs `behave(connection)` in a thread of its own for each connection; a Fault is a function of a
connection that the obedient conversation calls at a named step instead of its own answer.
"""
import contextlib
import socket
import ssl
import struct
import threading
import time

LOOPBACK = "127.0.0.1"
HANG_S = 30  # longer than any deadline of the tests; stop() ends it


class Gone(Exception):
    """The connection is at its end: leave the conversation."""


class Connection:
    """One accepted connection: lines and bytes in and out, plain or TLS."""

    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.buffer = b""
        self.is_tls = False
        sock.settimeout(HANG_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        try:
            self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        except OSError as error:
            raise Gone from error

    def receive(self):
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def exactly(self, count):
        while len(self.buffer) < count:
            self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def hang(self):
        """Say nothing until the client goes away or the test is over."""
        self.server.over.wait(HANG_S)
        raise Gone

    def drop(self):
        raise Gone

    def reset(self):
        """A TCP reset in place of an orderly end."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.raw_close()
        raise Gone

    def raw_close(self):
        socket.close(self.sock.detach())

    def drip(self, data, pause_s=0.2):
        for byte in data:
            self.send(bytes([byte]))
            if self.server.over.wait(pause_s):
                raise Gone

    def start_tls(self, context):
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except OSError as error:
            self.server.errors.append(str(error))
            raise Gone from error
        self.is_tls = True
        self.server.tls_versions.append(self.sock.version())


class Server:
    """Accept connections until stop(); behave(connection) is the conversation.  Port 0: any free one."""

    def __init__(self, behave, host=LOOPBACK, port=0):
        self.behave = behave
        self.host, self.port = host, port
        self.over = threading.Event()
        self.connections = 0
        self.errors = []
        self.tls_versions = []
        self.threads = []
        self.socks = []

    def __enter__(self):
        self.listener = socket.create_server((self.host, self.port), backlog=64)
        self.listener.settimeout(0.1)
        self.port = self.listener.getsockname()[1]
        self._start(self._accept)
        return self

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while not self.over.is_set():
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self.socks.append(sock)
            self._start(self._converse, Connection(self, sock, self.connections))

    def _converse(self, connection):
        try:
            self.behave(connection)
        except (Gone, OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):
                connection.sock.close()

    def __exit__(self, *_):
        self.over.set()
        for sock in self.socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)
        self.listener.close()


class Refusing:
    """A port that nobody listens on."""

    connections = 0

    def __enter__(self):
        self.sock = socket.socket()
        self.sock.bind((LOOPBACK, 0))  # bound, not listening: the port stays ours and refuses
        self.port = self.sock.getsockname()[1]
        return self

    def __exit__(self, *_):
        self.sock.close()


# ---- SMTP --------------------------------------------------------------------------------------------------

OBEDIENT = {"greeting": "220 faulty.example ESMTP", "STARTTLS": "220 2.0.0 go ahead", "MAIL": "250 2.1.0 ok",
            "RCPT": "250 2.1.5 ok", "DATA": "354 go on", "dot": "250 2.0.0 taken", "RSET": "250 2.0.0 ok",
            "QUIT": "221 2.0.0 bye", "AUTH": "235 2.7.0 welcome"}


class SmtpFaulty(Server):
    """An SMTP server; faults: step -> a reply (str), a function of the connection, or a list of those used in turn.

    Steps are the keys of OBEDIENT, "EHLO", "handshake" and "body" (before the message is read).
    accepted: the messages (bytes) answered with 250 after their dot.  seen: every command's first word.
    """

    def __init__(self, faults=None, extensions=("PIPELINING", "ENHANCEDSTATUSCODES"), tls_context=None, **address):
        super().__init__(self._serve, **address)
        self.faults = {step: list(what) if isinstance(what, list) else what for step, what in (faults or {}).items()}
        self.extensions = list(extensions)
        self.tls_context = tls_context
        self.accepted = []
        self.recipients = []
        self.seen = []

    def answer(self, connection, step, before=lambda digit: None):
        """Do what is set for this step; returns the first digit of what was said.  before(digit): the other side may
        have heard enough and hang up while we still talk."""
        what = self.faults.get(step)
        if isinstance(what, list):
            what = what.pop(0) if what else None
        if what is None:
            what = self.ehlo(connection) if step == "EHLO" else OBEDIENT[step]
        if callable(what):
            what = what(connection)
        digit = (what or " ")[0]
        before(digit)
        if what:
            connection.send(what + "\r\n")
        return digit

    def ehlo(self, connection):
        words = ["faulty.example", *self.extensions]
        if self.tls_context and not connection.is_tls:
            words.append("STARTTLS")
        return "\r\n".join("250" + ("-" if i < len(words) - 1 else " ") + word for i, word in enumerate(words))

    def _serve(self, connection):
        self.answer(connection, "greeting")
        recipient = None
        while True:
            line = connection.line()
            word = line.split(" ")[0].split(":")[0].upper()
            self.seen.append(word)
            if word in ("HELO", "EHLO"):
                self.answer(connection, "EHLO")
            elif word == "STARTTLS":
                if self.answer(connection, "STARTTLS") == "2":
                    self._handshake(connection)
            elif word == "RCPT":
                recipient = line if self.answer(connection, "RCPT") == "2" else None
            elif word == "DATA":
                self._data(connection, recipient)
                recipient = None
            elif word in OBEDIENT:
                self.answer(connection, word)
                if word == "QUIT":
                    return
            else:
                connection.send("500 5.5.2 unknown\r\n")

    def _handshake(self, connection):
        what = self.faults.get("handshake")
        if what is not None:
            what(connection)
        else:
            connection.start_tls(self.tls_context)

    def _data(self, connection, recipient):
        if recipient is None:
            connection.send("503 5.5.1 no recipient\r\n")
            return
        if self.answer(connection, "DATA") != "3":
            return
        if self.faults.get("body"):
            self.faults["body"](connection)
        lines = []
        while (line := connection.line()) != ".":
            lines.append(line[1:] if line.startswith(".") else line)
        def keep(digit):
            if digit == "2":
                self.accepted.append("\r\n".join(lines).encode("latin-1") + b"\r\n")
                self.recipients.append(recipient)
        self.answer(connection, "dot", keep)


def hang(connection):
    connection.hang()


def drop(connection):
    connection.drop()


def reset(connection):
    connection.reset()


def say_and_drop(text):
    def fault(connection):
        connection.send(text)
        connection.drop()
    return fault


def drip(text):
    """The right words, one byte at a time, slower than any time limit."""
    def fault(connection):
        connection.drip(text.encode())
    return fault


def garbage_handshake(connection):
    connection.send(b"this is not TLS\r\n" * 4)
    connection.drop()


def delayed_tickets(context, delay_s):
    """A handshake whose bytes after the client's Finished (TLS 1.3: the session tickets) come much too late."""
    def fault(connection):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.send(outgoing.read())
                incoming.write(connection.sock.recv(65536))
        connection.server.tls_versions.append(tls.version())
        if tls.version() == "TLSv1.3":
            connection.server.over.wait(delay_s)
        connection.send(outgoing.read())
        connection.sock = BioSocket(connection.sock, tls, incoming, outgoing)
        connection.is_tls = True
    return fault


class BioSocket:
    """As much of a socket as Connection uses, over a TLS engine in memory."""

    def __init__(self, sock, tls, incoming, outgoing):
        self.sock, self.tls, self.incoming, self.outgoing = sock, tls, incoming, outgoing

    def recv(self, size):
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)

    def sendall(self, data):
        self.tls.write(data)
        self.sock.sendall(self.outgoing.read())

    def close(self):
        self.sock.close()


# ---- HTTPS -------------------------------------------------------------------------------------------------

class HttpsFaulty(Server):
    """An HTTPS server; respond(connection, body) answers one request, or handshake(connection) replaces TLS.

    posts: (path, body) of each request that came whole.  A connection's path is that of its latest request.
    """

    def __init__(self, tls_context, respond=None, handshake=None):
        super().__init__(self._serve)
        self.tls_context = tls_context
        self.respond = respond or status(200)
        self.handshake = handshake
        self.posts = []

    @property
    def requests(self):
        """The bodies."""
        return [body for _, body in self.posts]

    def _serve(self, connection):
        if self.handshake:
            self.handshake(connection)
        connection.start_tls(self.tls_context)
        while True:
            headers = []
            while line := connection.line():
                headers.append(line)
            connection.path = headers[0].split(" ")[1]
            if getattr(self.respond, "is_early", False):
                self.respond(connection)
            length = next(int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:"))
            self.posts.append((connection.path, connection.exactly(length)))
            self.respond(connection)


def status(code, *headers, body=""):
    """An orderly answer."""
    def respond(connection):
        lines = [f"HTTP/1.1 {code} Words", *headers, f"Content-Length: {len(body)}", "", body]
        connection.send("\r\n".join(lines))
    return respond


def early(function):
    """Answer before the body is read."""
    def respond(connection):
        function(connection)
    respond.is_early = True
    return respond


def endless_body(connection):
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not connection.server.over.is_set():
        connection.send("1000\r\n" + "x" * 4096 + "\r\n")


def endless_headers(connection):
    connection.send("HTTP/1.1 500 Words\r\n")
    while not connection.server.over.is_set():
        connection.send("X-Padding: " + "x" * 1000 + "\r\n")


def cut_body(code):
    """Part of an answer's body, then a reset."""
    def respond(connection):
        connection.send(f"HTTP/1.1 {code} Words\r\nContent-Length: 1000\r\n\r\nabc")
        time.sleep(0.1)
        connection.reset()
    return respond
