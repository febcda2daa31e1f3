"""Describe the shards of a run in a SLURM array job; the only file that knows datatrove.

    RUN/slurm/DATE/launch_script.slurm   what was submitted; tasks' output is beside it in slurm_logs

Tasks claim shards when they run (`curate.work.claims`), so that a slow or dead node costs nothing and
others may join, by `curate describe RUN`; what a job leaves is claimed anew in the next one. datatrove
hands a task over as a pickle in that folder, which the same user's job reads; nothing else does.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from datatrove.executor import SlurmPipelineExecutor
from datatrove.utils.logging import logger as datatrove_logger

from curate.config import BuildConfig
from curate.errors import InputError
from curate.run.folder import Run
from curate.work.claims import forget_claims
from curate.work.load_balance import largest_first
from curate.work.shards import Describe, describe_claimed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DescribeClaimed:
    """What each task of the array does."""

    run: Path
    shards: list[int]  # numbers, in the order in which they should be described
    workers: int
    describe: Describe

    def __call__(self, data, rank: int, world_size: int) -> None:
        from curate.work.console import progress_bar

        with progress_bar() as watch:
            run = Run.load(self.run)
            describe_claimed(run, self.shards, self.workers, self.describe, watch)


class ArrayJob(SlurmPipelineExecutor):
    """datatrove's array job with the site's own defaults where nothing is asked for."""

    def get_sbatch_args(self, max_array: int = 1) -> dict:
        """The sbatch directives that are set."""
        directives = super().get_sbatch_args(max_array)
        return {name: value for name, value in directives.items() if value is not None}

    def launch_merge_stats(self) -> None:
        """Nothing: the last task writes the dataset, and a run's counts are in its shards."""


def submit(run: Run, numbers: Sequence[int], config: BuildConfig, describe: Describe) -> None:
    """Submit an array job for these shards; InputError where the scheduler takes none.

    Raises InputError as well while an earlier job of the run is waiting or at work.
    """
    check_no_job(run)
    wanted = config.slurm
    folder = run.folder.resolve()
    n_tasks = min(wanted.tasks or 1, len(numbers))
    workers = wanted.cpus_per_task or 1
    step = DescribeClaimed(folder, largest_first(run.sizes(numbers)), workers, describe)
    job = ArrayJob(
        pipeline=[step],
        tasks=n_tasks,
        time=wanted.time,
        partition=wanted.partition,
        cpus_per_task=workers,
        mem_per_cpu_gb=math.ceil(config.memory),
        job_name=name_of_job(run),
        qos=None,
        env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        sbatch_args={"account": wanted.account},
        logging_dir=str(folder / "slurm" / f"{datetime.now():%Y-%m-%dT%H-%M-%S}"),
        with_srun=False,  # since 22.05 a step of srun's own would have one processor only
    )
    datatrove_logger.disable("datatrove")
    try:
        forget_claims(run)
        job.run()
    except subprocess.CalledProcessError as error:
        raise failed(error) from error
    log.info("array job %s of %d tasks, see %s", job.job_id, n_tasks, job.slurm_logs_folder)


def check_no_job(run: Run) -> None:
    """InputError while an array job of the run is waiting or at work, or where SLURM can't be asked."""
    if shutil.which("sbatch") is None:
        raise InputError("--executor slurm needs SLURM's sbatch on this machine")
    command = ["squeue", "--me", "--noheader", "--name", name_of_job(run), "--format", "%A"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise failed(error) from error
    if waiting := done.stdout.split():
        raise InputError(
            f"array job {', '.join(sorted(set(waiting)))} of {run.folder} is waiting or "
            "at work; let it end or scancel it"
        )


def name_of_job(run: Run) -> str:
    """The name of a run's array jobs."""
    folder = run.folder.resolve()
    return f"curate-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:6]}"


def failed(error: subprocess.CalledProcessError) -> InputError:
    """One sentence on a command of SLURM that failed."""
    return InputError(f"{error.cmd[0]} failed (its message is above)")
