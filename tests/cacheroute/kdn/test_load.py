from cacheroute.kdn.load import InjectionMeter


class Work:
    """Stands for an injector and a builder with this much to do."""

    def __init__(self, injecting: int = 0, waiting: int = 0, building: int = 0) -> None:
        self.injecting, self.waiting, self.building = injecting, waiting, building


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def took(meter: InjectionMeter, clock: Clock, ms: float) -> None:
    with meter.injection():
        clock.now_s += ms / 1000


def test_what_waits_is_told_apart_from_what_is_under_way():
    work = Work(injecting=7, waiting=3, building=2)
    load = InjectionMeter().load(work, work)
    assert (load.injecting, load.waiting, load.building) == (4, 3, 2)
    assert (load.requests_1m, load.inject_ms) == (0, None)


def test_requests_are_those_of_the_last_minute():
    clock = Clock()
    meter = InjectionMeter(clock)
    for _ in range(3):
        took(meter, clock, 1)
    clock.now_s += 30
    took(meter, clock, 1)
    assert meter.load(Work(), Work()).requests_1m == 4
    clock.now_s += 31
    assert meter.load(Work(), Work()).requests_1m == 1
    clock.now_s += 60
    assert meter.load(Work(), Work()).requests_1m == 0


def test_the_mean_follows_recent_injections_and_leaves_out_those_that_failed():
    clock = Clock()
    meter = InjectionMeter(clock)
    took(meter, clock, 100)
    assert meter.load(Work(), Work()).inject_ms == 100
    try:
        with meter.injection():
            clock.now_s += 9
            raise TimeoutError
    except TimeoutError:
        pass
    assert meter.load(Work(), Work()).inject_ms == 100
    for _ in range(40):
        took(meter, clock, 20)
    assert meter.load(Work(), Work()).inject_ms < 21
