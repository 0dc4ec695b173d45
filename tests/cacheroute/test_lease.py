"""The table's side; the keeper's side is told in tests/flow/test_membership.py."""

import pytest

from cacheroute.errors import Conflict
from cacheroute.lease import LeaseTable
from cacheroute.wire.control import KdnRecord


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _record(name: str = "a", boot_id: str = "1", url: str = "http://x:1") -> KdnRecord:
    return KdnRecord(name=name, boot_id=boot_id, url=url, epoch="e", seq=0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table(clock):
    return LeaseTable[KdnRecord](10, clock)


def test_a_lease_holds_until_its_time_is_over(table, clock):
    table.renew(_record())
    clock.now_s = 9.9
    assert table.get("a") == _record()
    clock.now_s = 10.1
    assert table.get("a") is None
    assert table.alive() == ()


def test_renewing_keeps_it_alive_with_the_newest_record(table, clock):
    table.renew(_record())
    clock.now_s = 9
    newer = KdnRecord(name="a", boot_id="1", url="http://x:1", epoch="e", seq=5)
    table.renew(newer)
    clock.now_s = 18
    assert table.alive() == (newer,)


def test_a_restarted_process_takes_its_own_place_at_once(table):
    table.renew(_record())
    table.renew(_record(boot_id="2"))
    assert table.get("a") == _record(boot_id="2")


def test_another_live_process_cannot_take_the_name_but_may_once_the_lease_is_over(table, clock):
    table.renew(_record())
    other = _record(boot_id="2", url="http://y:1")
    with pytest.raises(Conflict, match="http://x:1"):
        table.renew(other)
    clock.now_s = 11
    table.renew(other)
    assert table.get("a") == other


def test_the_order_is_stable(table):
    for name in "cab":
        table.renew(_record(name))
    assert [record.name for record in table.alive()] == ["a", "b", "c"]


def test_a_dropped_lease_is_gone(table):
    table.renew(_record())
    table.drop("a")
    table.drop("never")
    assert table.alive() == ()
