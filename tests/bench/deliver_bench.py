#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast reports are delivered, by mail and by HTTPS, on loopback.

The floors, measured in the same run on the same servers: Postfix's smtp-source against its smtp-sink, and curl's own
parallel mode (one process) against nginx, with one host and with 50.  Each figure is the best of a few rounds, ours
and the floor's in turn, so that a busy moment hits both.

Prints "name value unit" lines; see tests/bench/run.  Postfix's two programs are taken from the system, or from its
Debian package, which is only unpacked into the build folder: no mail server is installed or started.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import servers  # noqa: E402

MAILS, MAIL_BYTES, SMTP_CONNECTIONS = 10000, 4000, 4
POSTS, POST_BYTES, HOSTS = 10000, 1000, 50
ROUNDS = 3
NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate.certificate};
        ssl_certificate_key {certificate.key};
        location / {{ return 200; }}
    }}
}}
"""


def seconds(command, environment=None):
    begin = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
                          env={**os.environ, **(environment or {})})
    took = time.monotonic() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit code {done.returncode}: {done.stderr[-500:]}")
    return took, done.stdout


def best_of(*measures):
    """The shortest time of each measure, over some rounds in which they take turns."""
    best = [float("inf")] * len(measures)
    for _ in range(ROUNDS):
        for i, measure in enumerate(measures):
            best[i] = min(best[i], measure())
    return best


def tell(name, count, ours_s, floor_s):
    print(f"{name}_rate {count / ours_s:.0f} deliveries/s")
    print(f"{name}_floor_rate {count / floor_s:.0f} deliveries/s")
    print(f"{name}_ratio {floor_s / ours_s:.2f} ratio", flush=True)


@contextlib.contextmanager
def running(command, port, environment=None):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, **(environment or {})})
    try:
        servers.wait_until(lambda: is_open(port), f"{command[0]} to listen")
        yield
    finally:
        servers.end_process(process)


def is_open(port):
    with servers.socket.socket() as sock:
        return sock.connect_ex((servers.LOOPBACK, port)) == 0


# ---- mail --------------------------------------------------------------------------------------------------

def find_postfix_tools():
    """(folder of smtp-sink and smtp-source, environment that they need)."""
    if shutil.which("smtp-sink", path="/usr/sbin:/usr/bin"):
        return pathlib.Path("/usr/sbin"), {}
    here = BUILD / "bench" / "postfix"
    if not (here / "usr/sbin/smtp-sink").exists():
        here.mkdir(parents=True, exist_ok=True)
        seconds(["sh", "-c", f"cd '{here}' && apt-get -q download postfix && dpkg -x postfix_*.deb ."])
    return here / "usr/sbin", {"LD_LIBRARY_PATH": str(here / "usr/lib/postfix")}


def bench_mail():
    tools, environment = find_postfix_tools()
    port = servers.free_port()
    sink = [str(tools / "smtp-sink"), *(["-u", "nobody"] if os.getuid() == 0 else []), f"127.0.0.1:{port}", "1000"]
    source = [str(tools / "smtp-source"), "-d", "-s", str(SMTP_CONNECTIONS), "-m", str(MAILS), "-l", str(MAIL_BYTES),
              f"127.0.0.1:{port}"]
    probe = [str(BUILD / "tests/tools/smtp_probe"), f"port={port}", f"mails={MAILS}", f"bytes={MAIL_BYTES}", "quiet=1",
             f"connections={SMTP_CONNECTIONS}"]
    worker = {"SMTP_WORKER": str(BUILD / "tlsrpt-gen-smtp")}

    def ours():
        took, out = seconds(probe, worker)
        if out != f"settled {MAILS}\n":
            raise RuntimeError(f"smtp_probe: {out[:500]}")
        return took
    with running(sink, port, environment):
        tell("mail", MAILS, *best_of(ours, lambda: seconds(source, environment)[0]))


# ---- HTTPS -------------------------------------------------------------------------------------------------

def bench_posts(name, hosts, port, ca_file, folder):
    body = folder / "body.gz"
    body.write_bytes(b"x" * POST_BYTES)
    config = folder / f"{name}.curl"
    urls = [f"https://{host}:{port}/in" for host in hosts for _ in range(POSTS // len(hosts))]
    config.write_text("".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in urls))
    curl = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "32", "--http1.1", "--cacert", str(ca_file),
            "--header", "Content-Type: application/tlsrpt+gzip", "--data-binary", f"@{body}",
            *[part for host in hosts for part in ("--resolve", f"{host}:{port}:127.0.0.1")], "--config", str(config)]
    probe = [str(BUILD / "tests/tools/https_probe"), f"allow=127.0.0.1,:{port}", f"ca_file={ca_file}", "verify=strict",
             "quiet=1", "at_once=8", f"posts={len(urls)}", f"port={port}", f"bytes={POST_BYTES}", "address=127.0.0.1"]
    for host in hosts:
        probe += [f"host={host}", f"https://{host}:{port}/in"]

    def ours():
        took, out = seconds(probe)
        if out != f"settled {len(urls)}\n":
            raise RuntimeError(f"https_probe: {out[:500]}")
        return took
    tell(name, len(urls), *best_of(ours, lambda: seconds(curl)[0]))


def bench_https(folder):
    hosts = [f"h{number}.example" for number in range(HOSTS)]
    authority = servers.Authority(folder / "ca")
    certificate = authority.issue(*hosts)
    port = servers.free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, certificate=certificate))
    nginx = ["/usr/sbin/nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), "-g",
             "daemon off;"]
    with running(nginx, port):
        bench_posts("post_one_host", hosts[:1], port, authority.ca_file, folder)
        bench_posts("post_50_hosts", hosts, port, authority.ca_file, folder)


def main():
    bench_mail()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - nginx's worker is another user when this is root
        bench_https(pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
