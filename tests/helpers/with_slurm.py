"""A SLURM of one's own on 127.0.0.1 with two nodes of one processor, around a command.

    python tests/helpers/with_slurm.py COMMAND …

Needs Debian's slurmctld, slurmd, slurm-client and munge, and to be root: a container will do.
Everything lies in a temporary folder and is stopped with the command.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

NODES = ("one", "two")
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={first_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=300
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=6000\n"


def main() -> None:
    """Run the command and pass on its exit code."""
    missing = [name for name in ("munged", "slurmctld", "slurmd") if shutil.which(name) is None]
    if missing or os.geteuid():
        sys.exit(
            f"needs root and {', '.join(missing) or 'nothing else'} (Debian: slurm-wlm, munge)"
        )
    with cluster() as environment:
        sys.exit(subprocess.run(sys.argv[1:], env=environment).returncode)


@contextmanager
def cluster():
    """The environment in which SLURM's commands talk to this cluster."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        files = {"key-file": key}
        for name in ("socket", "log-file", "pid-file", "seed-file"):
            files[name] = folder / f"munge.{name.removesuffix('-file')}"
        munge = [f"--{name}={path}" for name, path in files.items()]
        ports = [free_port() for _ in range(1 + len(NODES))]
        host = socket.gethostname().split(".")[0]
        lines = CONFIGURATION.format(host=host, first_port=ports[0], folder=folder)
        for name, port in zip(NODES, ports[1:], strict=True):
            lines += NODE.format(name=name, host=host, port=port)
        (folder / "slurm.conf").write_text(lines)
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        daemon(stack, environment, "munged", "--foreground", "--force", *munge)
        daemon(stack, environment, "slurmctld", "-D")
        for name in NODES:
            (folder / f"spool-{name}").mkdir()
            daemon(stack, environment, "slurmd", "-D", "-N", name)
        wait_for_nodes(environment)
        yield environment


def daemon(stack: ExitStack, environment: dict[str, str], *command: str) -> None:
    """Start it; it ends with the stack."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()

    stack.callback(stop)


def wait_for_nodes(environment: dict[str, str]) -> None:
    """Until all nodes take jobs."""
    for _ in range(120):
        told = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%t"],
            env=environment,
            capture_output=True,
            text=True,
        ).stdout
        if told.split() == ["idle"] * len(NODES):
            return
        time.sleep(0.5)
    sys.exit(f"no idle nodes after a minute:\n{told}{logs(environment)}")


def logs(environment: dict[str, str]) -> str:
    """What the daemons said last."""
    folder = Path(environment["SLURM_CONF"]).parent
    return "\n".join(
        f"{path.name}: {path.read_text()[-1000:]}" for path in sorted(folder.glob("*.log"))
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
