#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast the collector takes outcomes in, and how many are lost when senders do not wait.

The floor is a receiver that only receives and forgets (tests/tools/null_receiver.c).  Both are measured in turn, so
that a busy moment hits both; each figure is the median of --repeats.  A rate counts until the last outcome is in the
store.  Prints one JSON object a line; with "ok": false where a promise is broken.  As root each socket gets the queue
length that the case wants (in a network name space of its own: the system's setting is left alone).
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "flow"))

import programs  # noqa: E402  (found through the line above)
from servers import wait_until  # noqa: E402

TOOLS = programs.BUILD / "tests" / "tools"
MILLION = 1_000_000

# name, kind, senders, count, queue, least ratio
BLOCKING = [
    ("one_domain_1_sender", "one", 1, MILLION, 513, None),
    ("zipf_1_sender", "zipf", 1, 4 * MILLION, 513, 0.7),
    ("zipf_4_senders", "zipf", 4, 4 * MILLION, 513, 0.7),
    ("zipf_1_sender", "zipf", 1, 2 * MILLION, 11, 0.7),
    ("zipf_4_senders", "zipf", 4, 2 * MILLION, 11, 0.7),
    ("failures_1_sender", "failures", 1, MILLION, 513, None),
    ("failures_4_senders", "failures", 4, MILLION, 513, None),
    ("distinct_1_sender", "distinct", 1, 200_000, 513, 0.2),
    ("distinct_4_senders", "distinct", 4, 200_000, 513, 0.2),
]

# rate, queue, most percent lost
PACED = [(2000, 11, 0.0), (2000, 513, 0.0), (10_000, 11, 0.2), (10_000, 513, 0.0), (50_000, 11, None), (50_000, 513, 0.0)]


def own_queue():
    return int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 1


def with_queue(queue):
    """Words in front of a receiver's command so that its socket holds that many datagrams; None: cannot be had."""
    if queue == own_queue():
        return []
    if os.getuid() != 0:
        return None
    return ["unshare", "-n", "sh", "-c", f'echo {queue - 1} > /proc/sys/net/unix/max_dgram_qlen && exec "$@"', "sh"]


def send(path, arguments):
    done = subprocess.run([TOOLS / "load", "--socket", path, *map(str, arguments)], capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Null:
    """The receiver that forgets."""

    def __init__(self, folder, queue):
        self.path = folder / "null.sock"
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.process = subprocess.Popen([*with_queue(queue), TOOLS / "null_receiver", self.path], stdout=subprocess.PIPE,
                                        text=True)
        assert self.process.stdout.readline() == "ready\n"

    def run(self, arguments):
        result = send(self.path, arguments)
        self.process.terminate()
        received = json.loads(self.process.communicate()[0].splitlines()[-1])["received"]
        return dict(result, received=received)


class Collector:
    """The real one, on an empty store."""

    def __init__(self, folder, queue):
        self.site = programs.Site(folder)
        for file in self.site.state.iterdir():
            file.unlink()
        self.site.start_collector(wrapper=with_queue(queue))

    def run(self, arguments):
        result = send(self.site.socket, arguments)
        begin = time.monotonic()
        wait_until(lambda: self.site.counters().get("received", 0) >= result["sent"], "all to be stored", 120)
        return dict(result, seconds=result["seconds"] + time.monotonic() - begin)

    def memory(self):
        """(peak, peak without the ring's own pages) in MiB."""
        status = pathlib.Path(f"/proc/{self.site.collector.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        ring, in_ring = 0, False
        for line in pathlib.Path(f"/proc/{self.site.collector.pid}/smaps").read_text().splitlines():
            if "-" in line.split()[0]:
                in_ring = line.endswith("/ring")
            elif in_ring and line.startswith("Rss:"):
                ring += int(line.split()[1])
        return peak / 1024, (peak - ring) / 1024

    def stop(self):
        """CPU seconds of its life and bytes of the store for each key in it."""
        process, self.site.collector = self.site.collector, None
        process.send_signal(signal.SIGTERM)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = code
        assert code == 0
        store = self.site.state / "sessions.db"
        with contextlib.closing(sqlite3.connect(store)) as db:
            keys, total = db.execute("SELECT count(*), sum(success + failure) FROM tally").fetchone()
        return usage.ru_utime + usage.ru_stime, store.stat().st_size / max(1, keys), total or 0


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def say(row):
    row["machine_load"] = round(os.getloadavg()[0], 2)
    print(json.dumps(row), flush=True)


def blocking_round(folder, arguments, count, queue):
    null = Null(folder, queue).run(arguments)
    collector = Collector(folder / "site", queue)
    ours = collector.run(arguments)
    peak, beside = collector.memory()
    cpu, bytes_per_key, stored = collector.stop()
    assert stored == ours["sent"] == count, (stored, ours)
    return {"rate": count / ours["seconds"], "null_rate": count / null["seconds"],
            "ratio": null["seconds"] / ours["seconds"], "cpu": cpu / count * MILLION, "peak": peak, "beside": beside,
            "bytes": bytes_per_key}


def bench_blocking(folder, chosen):
    for name, kind, senders, count, queue, least in BLOCKING:
        if chosen.word not in name or with_queue(queue) is None:
            continue
        count = count // 10 if chosen.quick else count
        arguments = ["--case", kind, "--senders", senders, "--count", count]
        rows = [blocking_round(folder, arguments, count, queue) for _ in range(chosen.repeats)]
        row = {"case": name, "queue": queue, "per_s": round(median(rows, "rate")),
               "null_per_s": round(median(rows, "null_rate")), "ratio": round(median(rows, "ratio"), 3),
               "cpu_s_per_million": round(median(rows, "cpu"), 2), "peak_rss_mib": round(max(r["peak"] for r in rows), 1),
               "peak_rss_beside_ring_mib": round(max(r["beside"] for r in rows), 1),
               "bytes_per_key": round(median(rows, "bytes"))}
        promised = {"ratio": least} if least else {}
        row["ok"] = not least or row["ratio"] >= least
        if kind == "zipf":
            promised["cpu_s_per_million"] = 5
            row["ok"] = row["ok"] and row["cpu_s_per_million"] <= 5
        promised["peak_rss_beside_ring_mib"] = 48 if kind == "distinct" else 20
        row["ok"] = row["ok"] and row["peak_rss_beside_ring_mib"] <= promised["peak_rss_beside_ring_mib"]
        say({**row, "promised": promised})


def lost_percent(result, arrived):
    tried = result["sent"] + result["lost"]
    return 100.0 * (tried - arrived) / tried


def unwaited_round(folder, arguments, queue):
    null = Null(folder, queue).run(arguments)
    collector = Collector(folder / "site", queue)
    ours = send(collector.site.socket, arguments)
    _, _, stored = collector.stop()
    return {"lost": lost_percent(ours, stored), "null": lost_percent(null, null["received"])}


def bench_unwaited(folder, chosen, name, arguments, queue, most):
    if chosen.word not in name or with_queue(queue) is None:
        return
    rows = [unwaited_round(folder, arguments, queue) for _ in range(chosen.repeats)]
    lost, null = median(rows, "lost"), median(rows, "null")
    say({"case": name, "queue": queue, "lost_percent": round(lost, 4), "null_lost_percent": round(null, 4),
         "worst_lost_percent": round(max(row["lost"] for row in rows), 4),
         "ok": lost <= null + 0.1 and (most is None or lost <= most),
         "promised": {"lost_percent": most, "lost_percent_above_null": 0.1}})


def bench_memory(folder, chosen):
    """Three times as many domains must not need more memory."""
    if chosen.word not in "memory_600k_domains" or with_queue(513) is None:
        return
    collector = Collector(folder / "site", 513)
    for seed in range(3):
        send(collector.site.socket, ["--case", "distinct", "--seed", seed * 200_000, "--count", 200_000])
    wait_until(lambda: collector.site.counters().get("received", 0) >= 600_000, "all to be stored", 120)
    beside = collector.memory()[1]
    collector.stop()
    say({"case": "memory_600k_domains", "peak_rss_beside_ring_mib": round(beside, 1), "ok": beside <= 48,
         "promised": {"peak_rss_beside_ring_mib": 48}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of senders that do not wait")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    parser.add_argument("word", nargs="?", default="", help="only cases whose name contains it")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.repeats, chosen.seconds = 1, 1
    with tempfile.TemporaryDirectory(prefix="tlsrpt-gen-bench.") as name:
        folder = pathlib.Path(name)
        bench_blocking(folder, chosen)
        bench_memory(folder, chosen)
        for rate, queue, most in PACED:
            bench_unwaited(folder, chosen, f"paced_{rate}_per_s",
                           ["--senders", 4, "--rate", rate, "--count", rate * chosen.seconds], queue, most)
        bench_unwaited(folder, chosen, "burst_of_500", ["--senders", 4, "--burst", "--count", 500], 513, 0.0)


if __name__ == "__main__":
    main()
