# SPDX-License-Identifier: MIT
"""Real servers on loopback for the flow tests and the demo: DNS (nsd), SMTP (aiosmtpd), HTTPS, and certificates.

Each is a context manager on a free port, starts and stops within a bound, and leaves nothing running.
"""
import asyncio
import dataclasses
import http.server
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time

from aiosmtpd.smtp import SMTP

LOOPBACK = "127.0.0.1"
START_S = 15
STOP_S = 10
GATE_S = 60


def free_port():
    """A port that is free for TCP and UDP just now."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind((LOOPBACK, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((LOOPBACK, port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port on loopback")


def wait_until(condition, what, seconds=START_S):
    """Ask condition() again and again until it is true; after so many seconds fail with the words of what."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.01)


def end_process(process, seconds=STOP_S):
    """SIGTERM, then SIGKILL when it is still there; returns its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
    return process.returncode


# ---- DNS ---------------------------------------------------------------------------------------------------

def dns_query(port, name, qtype=6, timeout=0.5):
    """(rcode, number of answers, answer bytes) of one UDP query, or None when none came."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".") if label)
    packet = struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 0) + question + b"\0" + struct.pack(">2H", qtype, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect((LOOPBACK, port))
            sock.send(packet)
            answer = sock.recv(65535)
        except OSError:
            return None
    return answer[3] & 15, struct.unpack(">H", answer[6:8])[0], answer


def txt_rdata(strings):
    """Character-strings as a zone file writes them; a plain str is cut into strings of 255 bytes."""
    if isinstance(strings, str):
        raw = strings.encode()
        strings = [raw[i:i + 255] for i in range(0, len(raw), 255)] or [b""]
    strings = [part.encode() if isinstance(part, str) else part for part in strings]
    return " ".join('"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in part) + '"'
                    for part in strings)


class Nsd:
    """An authoritative server for the whole (pretended) DNS, in one zone file.

    txt: name -> one TXT RR (str), or a list of RRs, each a str or a list of character-strings.
    lines: further zone file lines, for instance "mx1.quay.example. A 127.0.0.1".
    broken: zones that answer SERVFAIL.  wanted_port: a free one if 0.
    After changing txt, lines or broken, call reload() (a change of broken needs restart()).
    """

    def __init__(self, directory, txt=None, lines=(), broken=(), wanted_port=0):
        self.directory = pathlib.Path(directory)
        self.txt = dict(txt or {})
        self.lines = list(lines)
        self.broken = list(broken)
        self.wanted_port = wanted_port
        self.port = 0
        self.serial = 0
        self.process = None

    @property
    def address(self):
        """As the setting `resolver` takes it."""
        return f"{LOOPBACK}:{self.port}"

    def _write_zone(self):
        self.serial += 1
        rows = ["$ORIGIN .", "$TTL 60",
                f". SOA ns.invalid. postmaster.invalid. {self.serial} 3600 600 86400 60", ". NS ns.invalid."]
        for name, records in self.txt.items():
            for record in [records] if isinstance(records, str) else records:
                rows.append(f"{name.rstrip('.')}. TXT {txt_rdata(record)}")
        (self.directory / "root.zone").write_text("\n".join(rows + self.lines) + "\n")

    def _write_config(self):
        here = self.directory
        text = f"""server:
    ip-address: {LOOPBACK}@{self.port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{here}"
    database: ""
    logfile: "{here}/nsd.log"
    pidfile: "{here}/nsd.pid"
    xfrdfile: "{here}/xfrd.state"
    xfrdir: "{here}"
    zonelistfile: "{here}/zone.list"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "root.zone"
"""
        for zone in self.broken:
            text += f'zone:\n    name: "{zone}"\n    zonefile: "no-such-file"\n'
        (here / "nsd.conf").write_text(text)

    def _serves_serial(self):
        answer = dns_query(self.port, ".")
        return answer is not None and answer[0] == 0 and struct.pack(">I", self.serial) in answer[2]

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_zone()
        for _ in range(5):  # another program may take the port between our look and nsd's bind
            self.port = self.wanted_port or free_port()
            self._write_config()
            with open(self.directory / "nsd.out", "wb") as out:
                self.process = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", str(self.directory / "nsd.conf")],
                                                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            wait_until(lambda: self.process.poll() is not None or self._serves_serial(), "nsd to answer")
            if self.process.poll() is None:
                return self
        raise RuntimeError("nsd does not start: " + (self.directory / "nsd.out").read_text())

    def stop(self):
        if self.process is not None:
            end_process(self.process)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        """Serve the changed records; they are live on return."""
        self._write_zone()
        self.process.send_signal(1)  # SIGHUP
        # for a moment the old process answers beside the new one
        wait_until(lambda: all(self._serves_serial() for _ in range(20)), "nsd to load the changed zone")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


# ---- SMTP --------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Mail:
    """One accepted message: envelope, and the bytes as they came (CRLF, dots unstuffed)."""
    sender: str
    recipients: list
    data: bytes
    tls: bool


class _SinkHandler:
    def __init__(self, sink):
        self.sink = sink

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = self.sink.answer_for("MAIL")
        if answer is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 2.1.0 sender ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.sink.attempts.append(address)
        answer = self.sink.answer_for(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 2.1.5 recipient ok"

    async def handle_DATA(self, server, session, envelope):
        answer = self.sink.answer_for("DATA")
        kept = self.sink.mails if answer is None else self.sink.refused
        kept.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content,
                         session.ssl is not None))
        return answer or "250 2.0.0 taken"


class SmtpSink:
    """A relay that keeps what it gets.

    mails: what was accepted.  refused: what was answered otherwise after its last dot.
    attempts: every address of a RCPT command.
    answers: an address, "MAIL" or "DATA" -> a reply that is given instead of 250; a list of replies is used up
    one by one (None in it means: accept this time).
    """

    def __init__(self, tls_context=None, host=LOOPBACK, port=0):
        self.tls_context = tls_context
        self.host = host
        self.mails = []
        self.refused = []
        self.attempts = []
        self.answers = {}
        self.port = port
        self._loop = None
        self._thread = None

    @property
    def address(self):
        """As the setting `relay` takes it."""
        return f"{self.host}:{self.port}"

    def answer_for(self, key):
        answer = self.answers.get(key)
        if isinstance(answer, list):
            return answer.pop(0) if answer else None
        return answer

    def _protocol(self):
        return SMTP(_SinkHandler(self), hostname="sink.example", tls_context=self.tls_context, loop=self._loop,
                    data_size_limit=64 * 1024 * 1024)

    def start(self):
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(self._loop.create_server(self._protocol, self.host, self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    async def _finish(self):
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self):
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()
            self._thread = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


# ---- HTTPS -------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict  # lower-case names
    body: bytes
    host: str


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def _serve(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        owner = self.server.owner
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.requests.append(Request(self.command, self.path, headers, body, headers.get("host", "")))
        owner.gate.wait(GATE_S)
        status, extra = owner.answer_for(self.path)
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_HEAD = _serve

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def finish_request(self, request, client_address):  # in the connection's own thread: the handshake too
        request.settimeout(30)
        try:
            with self.owner.tls_context.wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)
        except OSError as error:
            self.owner.errors.append(str(error))

    def handle_error(self, request, client_address):
        pass


class _Server6(_Server):
    address_family = socket.AF_INET6


class HttpsServer:
    """Answers every request and records it.

    status: the answer to all paths; statuses: path -> status, or a list of them used up one by one; a status may
    be (code, {header: value}).  errors: handshakes and connections that failed.
    gate: clear() it to let requests wait for their answer until set().
    """

    def __init__(self, certificate, status=200, port=0, address=LOOPBACK):
        self.address = address
        self.status = status
        self.statuses = {}
        self.requests = []
        self.errors = []
        self.gate = threading.Event()
        self.gate.set()
        self.port = port
        self.tls_context = certificate.server_context()
        self._server = None
        self._thread = None

    def answer_for(self, path):
        answer = self.statuses.get(path, self.status)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else self.status
        return answer if isinstance(answer, tuple) else (answer, {})

    def start(self):
        self._server = (_Server6 if ":" in self.address else _Server)((self.address, self.port), _Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self):
        if self._server is not None:
            self.gate.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(STOP_S)
            self._server = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


# ---- certificates ------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Certificate:
    certificate: pathlib.Path
    key: pathlib.Path

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


def past():
    """Options of openssl x509 that end a certificate yesterday; -days takes no such number from OpenSSL 3.4 on."""
    told = subprocess.run(["openssl", "x509", "-help"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    return ("-not_before", "20200101000000Z", "-not_after", "20200102000000Z") if "-not_after" in told.stderr + told.stdout \
        else ("-days", "-1")


class Authority:
    """A certification authority of our own, made with openssl when the test runs.

    ca_file is what `https_ca_file` wants.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = self.directory / "ca.pem"
        self._made = {}
        openssl("req", "-x509", *self._new_key("ca"), "-subj", "/CN=Flow test CA", "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
                "-out", str(self.ca_file))

    def _new_key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-sha256",
                "-keyout", str(self.directory / f"{name}.key"))

    def issue(self, *names, expired=False, self_signed=False):
        """A server certificate for these names and addresses (made once)."""
        wanted = (names, expired, self_signed)
        if wanted not in self._made:
            self._made[wanted] = self._issue(f"server{len(self._made)}", *wanted)
        return self._made[wanted]

    def _issue(self, file, names, expired, self_signed):
        paths = {end: self.directory / f"{file}.{end}" for end in ("pem", "key", "csr", "cnf")}
        alternatives = ",".join(("IP:" if name[0].isdigit() else "DNS:") + name for name in names)
        paths["cnf"].write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-new", *self._new_key(file), "-subj", f"/CN={names[0]}", "-out", str(paths["csr"]))
        signer = ("-signkey", str(paths["key"])) if self_signed else \
            ("-CA", str(self.ca_file), "-CAkey", str(self.directory / "ca.key"), "-CAcreateserial")
        openssl("x509", "-req", "-in", str(paths["csr"]), *signer, *(past() if expired else ("-days", "2")),
                "-extfile", str(paths["cnf"]), "-sha256", "-out", str(paths["pem"]))
        return Certificate(paths["pem"], paths["key"])

    def server(self):
        """For localhost and 127.0.0.1."""
        return self.issue("localhost", LOOPBACK)

    def expired(self, *names):
        return self.issue(*(names or ("localhost", LOOPBACK)), expired=True)

    def wrong_name(self):
        return self.issue("somewhere-else.example")
