# SPDX-License-Identifier: MIT
"""Run the image: with podman where that runs, else its unpacked root in namespaces of its own.  Both get no capability,
a read-only root, the image's user, and the network namespace of this process, or with is_alone one of their own with the
recipes' net.unix.max_dgram_qlen.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import time

import trees

QUEUE_LEN = 512
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Archive:
    """What the archive says of its image."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        with tarfile.open(self.path) as archive:
            self.manifest = json.load(archive.extractfile("manifest.json"))[0]
            self.config = json.load(archive.extractfile(self.manifest["Config"]))["config"]
            self.bytes = sum(archive.getmember(layer).size for layer in self.manifest["Layers"])
            self.privileged = [member.name for layer in self._layers(archive) for member in layer
                               if member.isfile() and member.mode & 0o6000]
        self.uid, self.gid = map(int, self.config["User"].split(":"))

    def _layers(self, archive):
        for name in self.manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                yield layer

    def unpack(self, folder):
        with tarfile.open(self.path) as archive:
            for layer in self._layers(archive):
                layer.extractall(folder, numeric_owner=True)


class Container:
    """`entrypoint words...` in the foreground, until stop()."""

    def __init__(self, engine, name, command, log):
        self.engine, self.name, self.log_path = engine, name, log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, name):
        self.engine.signal(self, name)

    def wait(self, seconds=60):
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM; its exit code."""
        self.signal("TERM")
        return self.wait()

    def run(self, *words):
        """A command in the running container."""
        return self.engine.run_in(self, words)

    def health(self):
        """Exit code and words of the image's health command."""
        return self.engine.health(self)

    def close(self):
        if self.process.poll() is None:
            with contextlib.suppress(RuntimeError, OSError, ValueError):
                self.signal("KILL")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(20)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


class Podman:
    """Storage of its own, so that images of this machine are left alone."""

    name = "podman"
    FLAGS = ["--cgroups=disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--read-only",
             "--cap-drop", "all", "--security-opt", "no-new-privileges"]

    def __init__(self, work, archive):
        self.tool = ["podman", "--storage-driver", "vfs", "--root", str(work / "storage"), "--runroot", str(work / "run"),
                     "--cgroup-manager", "cgroupfs", "--log-level", "fatal"]
        self.archive = archive
        trees.run([*self.tool, "load", "-q", "-i", archive.path])
        self.image = archive.manifest["RepoTags"][0]
        if trees.run(self.command("try", ["--version"]), check=False).returncode != 0:
            raise RuntimeError("podman cannot run a container here: " + trees.run(self.command("try", ["--version"]), check=False).stdout)

    def command(self, name, words, environment=None, volumes=(), is_alone=False):
        network = ["--network=none", f"--sysctl=net.unix.max_dgram_qlen={QUEUE_LEN}"] if is_alone else ["--network=host"]
        more = [f"--env={key}={value}" for key, value in (environment or {}).items()]
        more += [f"--volume={source}:{place}" for source, place in volumes]
        return [*self.tool, "run", "--rm", "--pull", "never", "--name", name, *network, *self.FLAGS, *more, self.image,
                *words]

    def start(self, name, log, words, **keywords):
        return Container(self, name, self.command(name, words, **keywords), log)

    def run(self, name, words, **keywords):
        return trees.run(self.command(name, words, **keywords), check=False)

    def signal(self, container, name):
        trees.run([*self.tool, "kill", "--signal", name, container.name])

    def run_in(self, container, words):
        return trees.run([*self.tool, "exec", container.name, *words], check=False)

    def health(self, container):
        return trees.run([*self.tool, "healthcheck", "run", container.name], check=False)


class Unpacked:
    """The image's root, mounted read-only; one process tree in PID and mount namespaces of its own."""

    name = "the unpacked root in namespaces"

    def __init__(self, work, archive):
        self.archive = archive
        self.root = work / "root"
        self.root.mkdir(parents=True)
        archive.unpack(self.root)
        for folder in ("proc", "tmp", "dev"):
            (self.root / folder).mkdir(exist_ok=True)

    def _inner(self, words, environment):
        drop = ["setpriv", f"--reuid={self.archive.uid}", f"--regid={self.archive.gid}", "--clear-groups",
                "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        variables = {"PATH": PATH, **(environment or {})}
        return ["env", "-i", *(f"{key}={value}" for key, value in variables.items()), *drop, *words]

    def command(self, name, words, environment=None, volumes=(), is_alone=False):
        del name
        network = ["--net"] if is_alone else []
        script = f"echo {QUEUE_LEN} >/proc/sys/net/unix/max_dgram_qlen;" if is_alone else ""
        script += f"set -e; mount --bind {self.root} {self.root}; mount -o remount,ro,bind {self.root};"
        script += f"mount -t proc proc {self.root}/proc; mount -t tmpfs tmpfs {self.root}/tmp; mount --rbind /dev {self.root}/dev;"
        for source, place in volumes:
            place, _, mode = place.partition(":")
            script += f"mount --bind {source} {self.root}{place};"
            if mode == "ro":
                script += f"mount -o remount,ro,bind {self.root}{place};"
        script += f'exec chroot {self.root} "$@"'
        return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", *network, "sh", "-c", script,
                "sh", *self._inner([*self.archive.config["Entrypoint"], *words], environment)]

    def start(self, name, log, words, **keywords):
        container = Container(self, name, self.command(name, words, **keywords), log)
        container.environment = keywords.get("environment")
        return container

    def run(self, name, words, **keywords):
        return trees.run(self.command(name, words, **keywords), check=False)

    @staticmethod
    def _pid(container):
        """The process that is number 1 in the container."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            children = pathlib.Path(f"/proc/{container.process.pid}/task/{container.process.pid}/children").read_text().split()
            if children:
                return children[0]
            time.sleep(0.05)
        raise RuntimeError(f"{container.name} does not run")

    def signal(self, container, name):
        trees.run(["kill", f"-{name}", self._pid(container)])

    def run_in(self, container, words):
        return trees.run(["nsenter", "-t", self._pid(container), "-m", "-n", "-p", "chroot", self.root,
                          *self._inner(words, container.environment)], check=False)

    def health(self, container):
        return self.run_in(container, self.archive.config["Healthcheck"]["Test"][1:])


def engine(work, archive):
    """podman if it runs here, else the unpacked root; which, and why, is said."""
    if os.environ.get("UNPACKED"):
        trees.say("UNPACKED is set: podman is not used")
    elif shutil.which("podman"):
        try:
            return Podman(work, archive)
        except RuntimeError as error:
            trees.say(str(error))
    else:
        trees.say("there is no podman here")
    return Unpacked(work, archive)
