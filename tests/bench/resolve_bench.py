#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast 10,000 domains' TLSRPT records are looked up, against nsd on loopback.

The floor, measured in the same run on the same server: dnsperf, with as many questions in flight.  Each figure is the
best of a few rounds, ours and the floor's in turn, so that a busy moment hits both.
Prints "name value unit" lines; see tests/bench/run.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import servers  # noqa: E402

NAMES, IN_FLIGHT, ROUNDS = 10000, 200, 3


def ours(dns, names):
    begin = time.monotonic()
    done = subprocess.run([BUILD / "tests" / "tools" / "lookup", "-s", dns.address, "-p", str(IN_FLIGHT), "tlsrpt"],
                          input="\n".join(names) + "\n", capture_output=True, text=True, check=True, timeout=120)
    took = time.monotonic() - begin
    found = done.stdout.count('"outcome":"found"')
    if found != len(names):
        raise RuntimeError(f"{found} of {len(names)} names found")
    return len(names) / took


def floor(dns, questions):
    done = subprocess.run(["dnsperf", "-s", servers.LOOPBACK, "-p", str(dns.port), "-d", questions, "-q", str(IN_FLIGHT),
                           "-n", "1"], capture_output=True, text=True, check=True, timeout=120)
    return float(re.search(r"Queries per second:\s+([\d.]+)", done.stdout)[1])


def main():
    names = [f"d{number}.bench.example" for number in range(NAMES)]
    with tempfile.TemporaryDirectory(prefix="tlsrpt-gen-bench.") as folder:
        questions = pathlib.Path(folder) / "questions"
        questions.write_text("".join(f"_smtp._tls.{name} TXT\n" for name in names))
        zone = {f"_smtp._tls.{name}": f"v=TLSRPTv1; rua=mailto:tls@{name}" for name in names}
        with servers.Nsd(folder, txt=zone) as dns:
            rounds = [(ours(dns, names), floor(dns, questions)) for _ in range(ROUNDS)]
    rate, bare = max(r[0] for r in rounds), max(r[1] for r in rounds)
    print(f"lookup_rate {rate:.0f} names/s\nlookup_floor {bare:.0f} names/s\nlookup_ratio {rate / bare:.3f} -")


if __name__ == "__main__":
    main()
