"""A real S3-compatible object store, SeaweedFS, on free ports of this machine, to be frozen and killed at will."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import obstore
from fakes.ports import free_ports
from obstore.exceptions import BaseError
from obstore.store import S3Store

from cacheroute.kdn.blobs.s3_prefix import S3Place

ACCESS_KEY, SECRET_KEY, BUCKET = "an-access-key", "a-secret-key", "artifacts"


class ObjectStore:
    """Leaving the `with` kills it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self._ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None

    def place(self, prefix: str, **fields: object) -> S3Place:
        """Where a KDN of a test keeps its blobs."""
        values = {
            "bucket": BUCKET,
            "prefix": prefix,
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "timeout_s": 5.0,
        }
        return S3Place(**values | fields)

    def client(self, prefix: str = "", max_retries: int = 2) -> S3Store:
        """Past the code that is tested."""
        return S3Store(
            BUCKET,
            prefix=prefix or None,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True},
            retry_config={"max_retries": max_retries},
        )

    def __enter__(self) -> "ObjectStore":
        identity = {"name": "kdn", "actions": ["Admin", "Read", "Write", "List"]}
        identity["credentials"] = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        config = self._directory / "s3.json"
        config.write_bytes(msgspec.json.encode({"identities": [identity]}))
        names = [f"{part}.port{kind}" for kind in ("", ".grpc") for part in ("s3", "master", "volume", "filer")]
        options = {
            "dir": self._directory,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
            "volume.max": 8,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "s3": "true",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "s3.config": config,
            "s3.autoCreateBucket": "true",
        } | dict(zip(names, self._ports, strict=True))
        weed = Path(sys.executable).with_name("weed")
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [weed, "server", *(f"-{name}={value}" for name, value in options.items())],
                stdout=log,
                stderr=log,
                env=os.environ | {"TMPDIR": str(self._directory)},
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        for port in self._ports:  # it puts them there whatever TMPDIR says
            for socket in Path("/tmp").glob(f"seaweedfs-*{port}.sock"):
                socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _wait(self) -> None:
        """Until it has taken an object: the first one makes it grow its volumes."""
        deadline_s = time.monotonic() + 60
        while True:
            try:
                obstore.put(self.client(max_retries=0), "first", b"object" * 2000)
                return
            except BaseError as error:
                if time.monotonic() > deadline_s:
                    self.__exit__()
                    raise TimeoutError((self._directory / "log").read_text()[-2000:]) from error
                time.sleep(0.1)
