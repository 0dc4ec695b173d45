"""The KDN of a KdnWorld as a process of its own, to be killed."""

import os
import subprocess
import sys

from fakes.kdn_world import KdnWorld


def start_process(world: KdnWorld) -> subprocess.Popen[bytes]:
    """Started on the same data; the world's own must have been stopped."""
    kdn, store = world.config.kdn["kdn-1"], world.valkey.config
    config = world.state_dir / "cacheroute.toml"
    config.write_text(
        f"""
        [paths]
        state = "{world.state_dir}"
        data = "{world.data_dir}"
        [scheduler]
        control_port = {world.config.scheduler.control_port}
        [embedder]
        port = {world.config.embedder.port}
        [kdn.kdn-1]
        port = {kdn.port}
        [kvstore.kv-1]
        port = {store.port}
        """
    )
    command = [
        sys.executable,
        "-c",
        "from cacheroute.cli.main import main; main()",
        "serve",
        "kdn",
        "--config",
        str(config),
    ]
    return subprocess.Popen(command, env={**os.environ, "CACHEROUTE_NAME": "kdn-1"})
