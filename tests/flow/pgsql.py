# SPDX-License-Identifier: MIT
"""A PostgreSQL server of Debian's package, in a folder of its own, reached by a UNIX socket only.

It refuses to run as root: then it runs as "nobody".  If it is not installed, or tlsrpt-gen has no libpq, tests are skipped.
POSTGRES_TREE=FOLDER: the server of a Debian tree (root; tests/install/check_fleet makes one), without network.
"""
import contextlib
import os
import pathlib
import pwd
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

import programs as lib
from servers import wait_until

USER = "tlsrpt"
START_S = 60


TREE = os.environ.get("POSTGRES_TREE", "")

# FOLDER TREE USER COMMAND ...: run it in the tree, where the folder is to be found too.
IN_TREE = """
tree=$1; user=$2; shift 2
mount --rbind /dev "$tree/dev"
mount -t tmpfs none "$tree/tmp"
mkdir -p "$tree$0"
mount --bind "$0" "$tree$0"
exec chroot --userspec="$user" "$tree" "$@"
"""


def binaries():
    """The folder of the newest server's programs (in the tree, as seen there), or None."""
    found = sorted(pathlib.Path(f"{TREE}/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return pathlib.Path(str(found[-1].parent)[len(TREE):]) if found else None


def has_libpq():
    done = subprocess.run([lib.Programs().generate, "-c", "/dev/null", "-o", "fleet=host=/nonexistent", "push"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return "built without libpq" not in done.stderr


def need():
    """Skip the test unless there can be a server, and tlsrpt-gen can talk to it."""
    if not has_libpq():
        pytest.skip("this tlsrpt-gen was built without libpq")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")


class Postgres:
    def __init__(self, **settings):
        # A short path: a socket's may have 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsrpt-gen-pg."))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.settings = {**dict(listen_addresses="''", unix_socket_directories=f"'{self.folder}'", fsync="off",
                                shared_buffers="64MB", max_wal_size="2GB", log_min_messages="warning"), **settings}
        self.process = None
        self.wrapper = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self.wrapper = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            if TREE:
                self.wrapper = ["unshare", "--mount", "--net", "sh", "-ec", IN_TREE, self.folder, TREE,
                                f"{nobody.pw_uid}:{nobody.pw_gid}"]
        # Trust: the socket's folder lets nobody else in (and root).
        self.run("initdb", "-D", self.data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        (self.data / "postgresql.auto.conf").write_text("".join(f"{key} = {value}\n" for key, value in self.settings.items()))
        self.start()

    def command(self, program, *arguments):
        return [*map(str, [*self.wrapper, binaries() / program, *arguments])]

    def run(self, program, *arguments):
        subprocess.run(self.command(program, *arguments), cwd=self.folder, check=True, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=START_S)

    @property
    def socket(self):
        return self.folder / ".s.PGSQL.5432"

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("postgres", "-D", self.data), cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self.ready(), "PostgreSQL to start", START_S)

    def ready(self):
        return subprocess.run(self.command("pg_isready", "-q", "-h", self.folder), check=False).returncode == 0

    def stop(self, how="fast"):
        if self.process is not None:
            self.run("pg_ctl", "-D", self.data, "-m", how, "-w", "stop")
            self.process.wait(START_S)
            self.process = None

    def restart(self, how="immediate"):
        self.stop(how)
        self.start()

    def close(self):
        with contextlib.suppress(subprocess.SubprocessError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def conninfo(self, database, host=None):
        return f"host={host or self.folder} dbname={database} user={USER}"

    def psql(self, database, sql):
        """Rows as lists of texts."""
        done = subprocess.run(self.command("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                                           "-h", self.folder, "-U", USER, "-d", database),
                              input=sql, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def create(self, database):
        self.psql("postgres", f"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        return self.conninfo(database)

    def drop(self, database):
        self.psql("postgres", f"DROP DATABASE {database} WITH (FORCE)")


class Proxy:
    """Between programs and the server: records what clients say, and cuts connections.

    cut_after(): called for each connection; bytes from the client after which it is cut, or None.
    is_dead: nothing comes through, as on a network that is gone: connections open, and then silence.
    hold_at(words): a client that says these is held before they come through; returns (is held, go on), two events.
    """

    def __init__(self, target):
        self.target = str(target)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsrpt-gen-px."))
        self.cut_after = lambda: None
        self.is_dead = False
        self.held_at = None  # words and the two events
        self.streams = []  # what each connection's client said
        self.cuts = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen(64)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        stream = bytearray()
        self.streams.append(stream)
        limit = self.cut_after()
        try:
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(self.target)
                self._forward(client, server, stream, limit)
        except OSError:
            pass  # either end is gone

    def hold_at(self, words):
        is_held, go_on = threading.Event(), threading.Event()
        self.held_at = words, is_held, go_on
        return is_held, go_on

    def _hold(self, said):
        words, is_held, go_on = self.held_at
        if words in said:
            self.held_at = None
            is_held.set()
            go_on.wait(60)

    def _forward(self, client, server, stream, limit):
        while True:
            for source in select.select([client, server], [], [], 0.2)[0]:
                data = source.recv(65536)
                if not data:
                    return
                if self.is_dead:
                    continue
                if source is client:
                    stream += data
                    if self.held_at is not None:
                        self._hold(stream[-len(data) - 100:])
                    if limit is not None and len(stream) > limit:
                        self.cuts += 1
                        server.sendall(data[:max(0, len(data) - (len(stream) - limit))])
                        return
                (server if source is client else client).sendall(data)

    def replay(self, stream):
        """Say all of it again, as a client would whose packets were held up until now."""
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(30)
            server.connect(self.target)
            server.sendall(bytes(stream))
            server.shutdown(socket.SHUT_WR)
            while server.recv(65536):
                pass

    def close(self):
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def statements():
    """name -> SQL of every statement in fleet_sql.h, as the server sees it."""
    text = (lib.ROOT / "src" / "fleet" / "fleet_sql.h").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    macros = {}
    for name, body in re.findall(r"^#define (REPORT_COLUMNS|DELIVERY_COLUMNS|DELIVERY_FROM) \\\n((?:.*\\\n)*.*\n)", text, re.M):
        macros[name] = body
    block = text[text.index("#define FLEET_STATEMENTS(X)"):text.index("#define FLEET_MIGRATIONS(X)")]
    for name, body in macros.items():
        block = block.replace(name, body)
    block = re.sub(r'OF_DAY\("([^"]+)", "([^"]+)"\)', r'"(\2::integer < 0 OR \1 = \2::integer)"', block)
    found = {}
    for part in re.split(r"\bX\((?=[A-Z_]+,)", block)[1:]:
        found[part.split(",")[0]] = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', part))
    return found


def migrations():
    text = (lib.ROOT / "src" / "fleet" / "fleet_sql.h").read_text()
    block = text[text.index("#define FLEET_MIGRATIONS(X)"):text.index("#define FLEET_SCHEMA_VERSION")]
    return ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', part)) for part in re.split(r"\bX\((?=\d+,)", block)[1:]]
