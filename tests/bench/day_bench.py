#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One run of one host: a day of many domains is built and handed to local sinks, nine in ten by mail, the others by HTTPS
to 50 hosts.

DAY_DOMAINS: domains of the day (default 20000; 1000000 for the figures in the manual).
Prints "name value unit" lines and one JSON object: "ok" is false if a report is missing or the run needed more than
PEAK_MIB of memory.  See tests/bench/run.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "flow"), str(ROOT / "tests" / "bench")]

import deliver_bench  # noqa: E402
import programs as lib  # noqa: E402
import servers  # noqa: E402

DOMAINS = int(os.environ.get("DAY_DOMAINS", "20000"))
HOSTS = 50
PEAK_MIB = 64
CHUNK = 20000


def names():
    """Every tenth is posted, to its host in turn; each has an owner of its own."""
    for n in range(DOMAINS):
        yield f"d{n}.post{n // 10 % HOSTS}" if n % 10 == 0 else f"d{n}.mail"


def collect(site):
    site.start_collector()
    chunk = []
    for name in names():
        chunk.append(b'{"dpv":"1","d":"%s","policies":[{"policy-type":9,"policy-domain":"%s","t":0,"f":1}]}'
                     % ((name.encode(),) * 2))
        if len(chunk) == CHUNK:
            site.send(*chunk)
            chunk.clear()
    site.send(*chunk)
    site.stop_collector()


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)


def run(site, folder):
    """(exit code, seconds, processor seconds, peak MiB, the last log line) of the generator, its workers apart."""
    begin, most = time.monotonic(), 0
    log = folder / "run.log"
    with open(log, "w", encoding="utf-8") as out, \
            subprocess.Popen(site.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=site.environment) as process:
        while True:
            try:
                most = max(most, peak_kib(process.pid))
            except OSError:
                pass
            pid, code, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(code)
                break
            time.sleep(0.05)
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    return process.returncode, time.monotonic() - begin, usage.ru_utime + usage.ru_stime, most / 1024, last


def bench(folder):
    tools, environment = deliver_bench.find_postfix_tools()
    hosts = [f"h{n}.example" for n in range(HOSTS)]
    authority = servers.Authority(folder / "ca")
    mail_port, post_port = servers.free_port(), servers.free_port()
    (folder / "nginx.conf").write_text(deliver_bench.NGINX.format(folder=folder, port=post_port,
                                                                  certificate=authority.issue(*hosts)))
    sink = [str(tools / "smtp-sink"), *(["-u", "nobody"] if os.getuid() == 0 else []), f"127.0.0.1:{mail_port}", "1000"]
    nginx = ["/usr/sbin/nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), "-g",
             "daemon off;"]
    txt = {"*.mail": "v=TLSRPTv1; rua=mailto:tls@reports.mail"}
    txt |= {f"*.post{n}": f"v=TLSRPTv1; rua=https://{host}:{post_port}/in" for n, host in enumerate(hosts)}
    with deliver_bench.running(sink, mail_port, environment), deliver_bench.running(nginx, post_port), \
            servers.Nsd(folder / "nsd", txt=txt, lines=[f"{host}. A 127.0.0.1" for host in hosts]) as dns, \
            lib.Site(folder / "site", resolver=dns.address, relay=f"127.0.0.1:{mail_port}", https_ca_file=authority.ca_file,
                     https_allow=["127.0.0.0/8", f":{post_port}"], max_per_destination=0, run_limit="1d") as site:
        collect(site)
        site.pass_day("2026-03-15T00:05:00Z")
        code, wall_s, cpu_s, peak_mib, last = run(site, folder)
        ledger_mib = sum(file.stat().st_size for file in site.state.glob("reports.db*")) / 2**20
    print(f"day_rate {DOMAINS / wall_s:.0f} domains/s")
    print(f"day_cpu {cpu_s / DOMAINS * 1e6:.0f} us/domain")
    print(json.dumps({"bench": "day", "domains": DOMAINS, "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1),
                      "peak_mib": round(peak_mib, 1), "ledger_mib": round(ledger_mib), "last": last,
                      "ok": code == 0 and f"reports={DOMAINS} " in last and f"delivered={DOMAINS} " in last
                      and peak_mib <= PEAK_MIB}))


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - nginx's worker is another user when this is root
        bench(pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
