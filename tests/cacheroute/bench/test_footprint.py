import os
from pathlib import Path

from cacheroute.bench.footprint import Meter, service_pids


def test_memory_and_files_are_measured_and_their_peaks_kept(tmp_path: Path) -> None:
    file = tmp_path / "library-wal"
    meter = Meter({"self": os.getpid(), "gone": 2**22 + 1}, {"wal": file})
    assert meter.sample().files == {"wal": 0}
    file.write_bytes(b"x" * 100)
    meter.sample()
    file.write_bytes(b"x")
    now = meter.sample()
    assert (now.files, now.files_peak) == ({"wal": 1}, {"wal": 100})
    assert 10 * 2**20 < now.rss["self"] <= now.rss_peak["self"]
    assert now.rss["gone"] == 0


async def test_a_stack_that_is_not_here_has_no_services(tmp_path: Path) -> None:
    assert await service_pids(tmp_path) == {}
