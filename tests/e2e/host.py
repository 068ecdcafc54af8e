"""A test host: Debian 12 on a machine of its own, whose only way out ends in the sink.

How it is reached
- `run`, `put` and `get` enter its namespaces from outside. They work before sshd does, after a role has hardened it,
  and whatever the host's firewall says; they need no key and leave no session in its logs.
- Ansible and people come by ssh, as they do on a site: `ssh_words` and `ansible_variables`, from the sink's namespace.

What is not there: a kernel of its own (see `tests.e2e.machine`), and a disk: a medium is a folder that is bound read
only at ``/media/bundle``. Root of the host could mount it anew for writing, so a medium is made for one test module.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType

from tests.e2e import machine, root
from tests.e2e.listening import Listening, parse_listening
from tests.e2e.machine import Machine, Parts
from tests.e2e.sink import RESOLVERS, Sink
from tests.e2e.testbed import command

MEDIUM = "/media/bundle"
BOOT_S = 240  # a quiet machine takes 3 s
COMMAND_S = 60
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}
TIMED_OUT = (124, 137, -signal.SIGKILL)  # of timeout(1), which nsenter imitates where a signal ended it
DIGEST = (Path(__file__).parent / "inside" / "tree_digest.py").read_text()


class HostError(AssertionError):
    """A host does not do what it is to do."""


class NspawnHost:
    """The context of a host that runs. It is stopped and removed at the end.

    Args:
        name: of the host, unique in the sink: at most twelve lower case letters, digits and hyphens.
        medium: a folder here, read only at ``/media/bundle`` there.
        base: the root folder that the host starts from and never changes; none: `tests.e2e.root`'s.
    """

    def __init__(self, name: str, sink: Sink, *, medium: Path | None = None, base: Path | None = None) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,11}", name) or name == "sink":
            raise ValueError(f"{name!r} is no name for a host")
        self.name, self.sink = name, sink
        self._medium, self._base = medium, base
        self._machine: Machine | None = None

    def __enter__(self) -> NspawnHost:
        self.folder = self.sink.testbed.folder / self.name
        base = self._base or root.make()
        self.attached = self.sink.attach(self.name)
        self._personalize(self.folder / "upper")
        self._parts = Parts(
            name=self.attached.namespace,
            namespace=self.attached.namespace,
            lower=base,
            folder=self.folder,
            media=[(self._medium, MEDIUM)] if self._medium else [],
        )
        try:
            self.start()
        except BaseException:
            self._cut()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cut()

    def start(self, *, timeout_s: float = BOOT_S) -> None:
        """Boot it, and wait until systemd says that it runs.

        Raises:
            HostError: it runs already, a unit failed, or it does not run in time.
        """
        if self._machine is not None:
            raise HostError(f"{self.name} runs already")
        self._machine = Machine(self._parts)
        self._wait_until_running(timeout_s)

    def stop(self, *, timeout_s: float = 120) -> None:
        """Shut it down in order. Its state is kept for `start`."""
        self._end(machine.POWEROFF, timeout_s)

    def reboot(self, *, timeout_s: float = BOOT_S) -> None:
        """Shut it down in order and boot it again; no command that runs in it survives."""
        status = self._end(machine.REBOOT, timeout_s)
        if status != machine.REBOOTED:
            raise HostError(f"{self.name} was to reboot, its supervisor ended with {status}: {self._console()}")
        self.start(timeout_s=timeout_s)

    def kill(self) -> None:
        """Cut its power: kill -9 of everything in it at once. What is on its disk is kept for `start`."""
        if self._machine is None:
            raise HostError(f"{self.name} does not run")
        self._cut()

    def run(
        self,
        words: Sequence[str | Path],
        *,
        check: bool = True,
        input: bytes | str = b"",
        timeout_s: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, and give its exit status and what it printed.

        Raises:
            HostError: it failed and `check` is true, it took longer than `timeout_s`, or the host does not run.
        """
        done = self._run(words, input=input, timeout_s=timeout_s, environment=environment)
        text = [each.decode(errors="backslashreplace") for each in (done.stdout, done.stderr)]
        if check and done.returncode:
            raise HostError(
                f"{self.name}: {done.args} ended with {done.returncode}: {text[0][-2000:]}{text[1][-4000:]}"
            )
        return subprocess.CompletedProcess(done.args, done.returncode, *text)

    def put(self, source: Path, target: str | PurePosixPath, *, timeout_s: float = COMMAND_S) -> None:
        """Copy a file or a folder from here to the place `target`, root's, with its modes; the folder above is made."""
        if not source.is_dir():
            place = ["install", "-D", f"--mode={stat.S_IMODE(source.stat().st_mode):o}", "/dev/stdin", str(target)]
            self.run(place, input=source.read_bytes(), timeout_s=timeout_s)
            return
        packing = ["tar", "--create", f"--directory={source}", "--owner=root:0", "--group=root:0", "."]
        packed = subprocess.run(packing, check=True, capture_output=True).stdout
        self.run(["mkdir", "--parents", str(target)])
        unpacking = ["tar", "--extract", "--preserve-permissions", f"--directory={target}"]
        self.run(unpacking, input=packed, timeout_s=timeout_s)

    def get(self, source: str | PurePosixPath, target: Path, *, timeout_s: float = COMMAND_S) -> None:
        """Copy a file or a folder of the host to the place `target` here, which must not exist."""
        if target.exists():
            raise FileExistsError(target)
        is_folder = self.run(["test", "-d", str(source)], check=False).returncode == 0
        packing = ["tar", "--create", f"--directory={source}", "."]
        done = self._run(packing if is_folder else ["cat", str(source)], timeout_s=timeout_s)
        if done.returncode:
            raise HostError(f"{self.name}: {source} cannot be read: {done.stderr.decode(errors='replace')}")
        if not is_folder:
            target.write_bytes(done.stdout)
            return
        target.mkdir(parents=True)
        unpacking = ["tar", "--extract", "--no-same-owner", f"--directory={target}"]
        subprocess.run(unpacking, input=done.stdout, check=True)

    def digest(self, paths: Sequence[str]) -> dict[str, str]:
        """Path -> mode, owner and content (SHA-256, or where a link leads) of everything below `paths`."""
        found: dict[str, str] = json.loads(self.run(["python3", "-I", "-c", DIGEST, *paths], timeout_s=300).stdout)
        return found

    def listening(self) -> set[Listening]:
        """The sockets that wait for connections or datagrams of IP."""
        words = ["ss", "--no-header", "--listening", "--tcp", "--udp", "--raw", "--numeric", "--processes"]
        return parse_listening(self.run(words).stdout)

    @property
    def ssh_words(self) -> list[str]:
        """Of a command that logs in as root; the words for the host follow."""
        return [*self.sink.prefix, "ssh", *self._ssh_options, "-i", str(self._key), f"root@{self.attached.address}"]

    @property
    def ansible_variables(self) -> dict[str, str]:
        """Of the host in an inventory. Start Ansible with `Sink.prefix`."""
        return {
            "ansible_host": self.attached.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": " ".join(self._ssh_options),
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    @property
    def _key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def _ssh_options(self) -> list[str]:
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = (known, "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=20")
        return ["-F", "none", *(word for each in options for word in ("-o", each))]

    def _personalize(self, upper: Path) -> None:
        """What makes it another host than those of the same root: name, identity, keys, resolver."""
        own, authorized = upper / "etc/ssh/ssh_host_ed25519_key", upper / "root/.ssh/authorized_keys"
        for folder, mode in ((own.parent, 0o755), (authorized.parent, 0o700)):
            folder.mkdir(parents=True)
            folder.chmod(mode)
        authorized.parent.parent.chmod(0o700)
        for key in (own, self._key):
            command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        authorized.write_text(self._key.with_suffix(".pub").read_text())
        (self.folder / "known_hosts").write_text(f"{self.attached.address} {own.with_suffix('.pub').read_text()}")
        resolvers = "".join(f"nameserver {each}\n" for each in RESOLVERS)
        for path, text in {
            "hostname": f"{self.name}\n",
            "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {self.name}\n",
            "machine-id": f"{secrets.token_hex(16)}\n",
            # Nobody answers: a question that is asked once is counted as well as one that is asked for 20 s.
            "resolv.conf": f"{resolvers}options timeout:1 attempts:1\n",
        }.items():
            (upper / "etc" / path).write_text(text)

    def _wait_until_running(self, timeout_s: float) -> None:
        end, state = time.monotonic() + timeout_s, "off"
        while time.monotonic() < end:
            assert self._machine is not None
            if (status := self._machine.ended()) is not None:
                self._machine = None
                raise HostError(f"{self.name} ended with {status} while it booted: {self._console()}")
            if self._machine.init() is not None:
                state = self._run(["systemctl", "is-system-running"]).stdout.decode().strip()
            if state == "running":
                return
            if state == "degraded":
                failed = self.run(["systemctl", "--failed", "--no-legend", "--plain", "--no-pager"]).stdout
                raise HostError(f"units of {self.name} failed: {failed}{self._console()}")
            time.sleep(0.2)
        raise HostError(f"{self.name} is {state!r} {timeout_s} s after its start: {self._console()}")

    def _run(
        self,
        words: Sequence[str | Path],
        *,
        input: bytes | str = b"",
        timeout_s: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        init = self._machine.init() if self._machine else None
        if init is None:
            raise HostError(f"{self.name} does not run")
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
        settings = [f"{key}={value}" for key, value in {**ENVIRONMENT, **(environment or {})}.items()]
        # timeout(1) inside, as whoever kills nsenter leaves alone what it had started.
        wrapped = ["env", "-i", *settings, "timeout", "--signal=KILL", str(timeout_s), *map(str, words)]
        began = time.monotonic()
        done = subprocess.run(
            ["nsenter", f"--target={init}", *spaces, "--", *wrapped],
            input=input.encode() if isinstance(input, str) else input, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode in TIMED_OUT and time.monotonic() - began >= timeout_s:
            raise HostError(f"{self.name}: {list(map(str, words))} took longer than {timeout_s} s")
        done.args = list(map(str, words))
        return done

    def _end(self, number: int, timeout_s: float) -> int:
        if self._machine is None:
            raise HostError(f"{self.name} does not run")
        self._machine.signal(number)
        status = self._machine.ended(timeout_s)
        if status is None:
            raise HostError(f"{self.name} still runs {timeout_s} s after it was told to stop: {self._console()}")
        self._machine = None
        return status

    def _cut(self) -> None:
        if self._machine is not None:
            self._machine.power_cut()
            self._machine = None

    def _console(self) -> str:
        console = self.folder / "console"
        return "\n" + console.read_text(errors="replace")[-3000:] if console.exists() else ""
