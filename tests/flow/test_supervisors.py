# SPDX-License-Identifier: MIT
"""A restart of the collector under runit or s6 keeps its sockets: no datagram is lost."""
import shutil
import socket
import subprocess
import threading
import time

import pytest

import collecting
from programs import Site
from servers import end_process, wait_until

# name -> (the supervisor of one service, the command that sends SIGHUP)
SUPERVISORS = {"runit": ("runsv", ["sv", "hup"]), "s6": ("s6-supervise", ["s6-svc", "-h"])}
RESTARTS = 3


class Supervised:
    """The collector as a service; its run script is the last line of conf/runit/run."""

    def __init__(self, site, folder, name):
        supervisor, self.hup = SUPERVISORS[name]
        self.site, self.folder = site, folder
        self.folder.mkdir()
        run = folder / "run"
        run.write_text(f"#!/bin/sh\nexec 2>>{site.collector_log}\nexec {site.programs.collect} -c {site.config}\n")
        run.chmod(0o755)
        self.process = subprocess.Popen([supervisor, folder], env=site.environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_starts(1)

    def starts(self):
        return len(self.site.collector_events("collector_started")) if self.site.collector_log.exists() else 0

    def wait_for_starts(self, count):
        wait_until(lambda: self.starts() >= count, f"start {count} of the collector", 60)

    def restart(self):
        starts = self.starts()
        subprocess.run([*self.hup, self.folder], check=True, stdout=subprocess.DEVNULL, env=self.site.environment, timeout=60)
        self.wait_for_starts(starts + 1)

    def close(self):
        """End the service and its supervisor."""
        if self.hup[0] == "s6-svc":
            subprocess.run(["s6-svc", "-xd", self.folder], check=True, timeout=60)
            self.process.wait(60)
        else:
            end_process(self.process, 60)


class Sender:
    """Sends one datagram after the other until it is stopped; waits while the socket's queue is full."""

    def __init__(self, path):
        self.path, self.sent, self.errors = path, 0, []
        self.is_stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            while not self.is_stopping.is_set():
                try:
                    sock.sendto(collecting.datagram("a.example").encode(), str(self.path))
                    self.sent += 1
                except OSError as error:
                    self.errors.append(error)
                time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_stopping.set()
        self.thread.join()


@pytest.fixture(params=sorted(SUPERVISORS))
def supervised(request, tmp_path, programs):
    if shutil.which(SUPERVISORS[request.param][0]) is None:
        pytest.skip(f"no {request.param} here")
    with Site(tmp_path / "site", programs, exim_socket=tmp_path / "site" / "run" / "exim.sock") as site:
        service = Supervised(site, tmp_path / "service", request.param)
        yield service
        service.close()


def test_a_restart_loses_no_datagram(supervised):
    site = supervised.site
    with Sender(site.socket) as sender:
        for _ in range(RESTARTS):
            before = sender.sent
            wait_until(lambda before=before: sender.sent > before + 20, "datagrams before a restart")
            supervised.restart()
        wait_until(lambda: sender.sent > before + 40, "datagrams after the last restart")
    wait_until(lambda: collecting.total(site) >= sender.sent, "all to be counted")
    assert sender.errors == []
    assert collecting.total(site) == sender.sent
    assert supervised.starts() == 1 + RESTARTS
    assert len({event.get("sockets") for event in site.collector_events("collector_started")}) == 1


def test_a_restart_reads_the_settings_again(supervised):
    site = supervised.site
    site.set(ring_size="2M")
    supervised.restart()
    assert site.collector_events("ring_remade")
    site.send(collecting.datagram("a.example"))
    assert collecting.total(site) == 1
