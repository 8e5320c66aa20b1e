"""How many workers this machine carries, and what each is given of it."""

import os
from pathlib import Path

from spotproof.batch.job import Job


def gpu_count() -> int:
    """GPUs that this process may use, told without loading CUDA: CUDA_VISIBLE_DEVICES, else the device files."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([one for one in visible.split(",") if one.strip() not in ("", "-1", "none", "void")])
    return len([one for one in Path("/dev").glob("nvidia[0-9]*") if one.name.removeprefix("nvidia").isdigit()])


def core_count() -> int:
    """CPU cores that this process may use: its affinity, and the cgroup's share where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def worker_count(job: Job) -> int:
    """The `workers` setting; auto: one a GPU, else one a core, or one for two cores where a model runs on them."""
    if isinstance(job.workers, int):
        return job.workers
    gpus = gpu_count() if _may_use_gpus(job) else 0
    if gpus:
        return gpus
    return max(1, core_count() // 2) if job.embed is not None else core_count()


def threads_per_worker(workers: int) -> int | None:
    """Threads that the libraries of one worker may use, so that all together fill the machine once.

    None where one worker has the whole machine: what the libraries choose by themselves is measurably faster than the
    same number asked for.
    """
    if workers == 1 and core_count() == os.cpu_count():
        return None
    return max(1, core_count() // workers)


def worker_environment(job: Job, index: int, workers: int) -> dict[str, str]:
    """What worker number `index` finds in its environment besides the parent's own."""
    given: dict[str, str] = {"SPOTPROOF_WORKER": str(index), "PYTHONUNBUFFERED": "1"}
    threads = threads_per_worker(workers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if threads is not None and name not in os.environ:
            given[name] = str(threads)
    gpus = gpu_count() if _may_use_gpus(job) else 0
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible is not None else [str(number) for number in range(gpus)]
        given["CUDA_VISIBLE_DEVICES"] = names[index % len(names)].strip()
    return given


def _may_use_gpus(job: Job) -> bool:
    # A device that the user named by number is theirs to share out.
    return job.embed is None or job.embed.device in ("auto", "cuda")
