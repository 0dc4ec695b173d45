from pathlib import Path

import pytest

from cacheroute.config import Config, load
from cacheroute.formation import Formation, form
from cacheroute.tokens import Tokens
from stack import procfile
from stack.plan import Service
from stack.probe import HttpProbe, RedisProbe, TcpProbe

TOKENS = Tokens(control="control-secret", kv_password="kv-secret")
PROCFILE = Path(__file__).parents[2] / "Procfile"


def formed(tmp_path: Path, toml: str = "", **env: str) -> Formation:
    file = tmp_path / "cacheroute.toml"
    file.write_text(f'[paths]\nstate = "{tmp_path}/state"\ndata = "{tmp_path}/data"\n{toml}')
    return form(load(file, env), TOKENS, file, env)


def by_name(formation: Formation) -> dict[str, Service]:
    return {service.name: service for service in formation.services}


def test_the_default_stack_is_one_of_each_role(tmp_path: Path) -> None:
    services = by_name(formed(tmp_path))
    assert {name: service.entry for name, service in services.items()} == {
        "kv-1": "kvstore",
        "embedder": "embedder",
        "scheduler": "scheduler",
        "kdn-1": "kdn",
        "engine-1": "engine",
        "pool-1": "proxy",
        "instance-1": "instance",
    }


def test_each_process_waits_for_what_it_needs_and_for_nothing_else(tmp_path: Path) -> None:
    services = by_name(formed(tmp_path))
    assert {name: set(service.needs) for name, service in services.items()} == {
        "kv-1": set(),
        "embedder": set(),
        "scheduler": set(),
        "kdn-1": {"scheduler", "embedder", "kv-1"},
        "engine-1": {"kv-1"},
        "pool-1": {"scheduler"},
        "instance-1": {"engine-1", "pool-1"},
    }


def test_two_pools_and_two_kdns_each_get_their_own(tmp_path: Path) -> None:
    services = by_name(
        formed(
            tmp_path,
            """
            [kvstore.kv-1]
            [kvstore.kv-2]
            port = 7380
            [kdn.kdn-1]
            [kdn.kdn-2]
            port = 9102
            [engine.engine-1]
            [engine.engine-2]
            port = 8010
            kv_store = "kv-2"
            [proxy.pool-1]
            [proxy.pool-2]
            port = 8011
            control_port = 8012
            [instance.instance-1]
            [instance.instance-2]
            port = 9011
            control_port = 9012
            proxy = "pool-2"
            engine = "engine-2"
            """,
        )
    )
    assert set(services["instance-2"].needs) == {"engine-2", "pool-2"}
    assert services["engine-2"].needs == ("kv-2",)
    assert {"kv-1", "kv-2"} <= set(services["kdn-2"].needs)
    assert services["kdn-2"].env["CACHEROUTE_NAME"] == "kdn-2"


def test_every_service_is_a_line_of_our_procfile_and_the_whole_is_a_plan(tmp_path: Path) -> None:
    formation = formed(tmp_path)
    plan = formation.plan(procfile.parse(PROCFILE.read_text()), tmp_path)
    order = plan.order()
    assert order.index("instance-1") == len(order) - 1
    assert {service.entry for service in formation.services} == {entry.name for entry in plan.entries}


def test_secrets_are_in_probes_never_in_argv_or_environment(tmp_path: Path) -> None:
    formation = formed(tmp_path)
    plan = formation.plan(procfile.parse(PROCFILE.read_text()), tmp_path)
    for service in formation.services:
        said = " ".join([*plan.argv(service), *service.env.values()])
        assert "kv-secret" not in said
        assert "control-secret" not in said
    assert by_name(formation)["kv-1"].ready == RedisProbe("127.0.0.1", 7379, password="kv-secret")


def test_readiness_is_what_the_role_says_not_that_it_runs(tmp_path: Path) -> None:
    services = by_name(formed(tmp_path))
    kdn, pool, instance = (services[name].ready for name in ("kdn-1", "pool-1", "instance-1"))
    assert kdn == HttpProbe("http://127.0.0.1:9101/debug/status", expect={"registered": True}, bearer=TOKENS.control)
    assert pool == HttpProbe("http://127.0.0.1:8002/debug/status", expect={"registered": True}, bearer=TOKENS.control)
    assert instance == HttpProbe("http://127.0.0.1:9002/debug/status", expect={"ready": True}, bearer=TOKENS.control)


def test_a_wildcard_bind_is_probed_over_loopback(tmp_path: Path) -> None:
    keys = '[security.api_keys.me]\nkey = "k"\n'
    services = by_name(formed(tmp_path, keys + '[scheduler]\nhost = "0.0.0.0"\n'))
    probe = services["scheduler"].ready
    assert isinstance(probe, HttpProbe)
    assert probe.url == "http://127.0.0.1:7002/healthz"
    assert services["scheduler"].ports == (("0.0.0.0", 7001), ("0.0.0.0", 7002))


def test_every_process_reads_the_same_configuration_wherever_it_starts(tmp_path: Path) -> None:
    formation = formed(tmp_path, CACHEROUTE_SCHEDULER__PORT="7101", CACHEROUTE_NAME="leftover", HOME="/nowhere")
    for service in formation.services:
        assert service.env["CACHEROUTE_CONFIG"] == str(tmp_path / "cacheroute.toml")
        assert service.env["CACHEROUTE_SCHEDULER__PORT"] == "7101"
        assert service.env["CACHEROUTE_PATHS__STATE"] == str(tmp_path / "state")
        assert "HOME" not in service.env
        assert service.env.get("CACHEROUTE_NAME") != "leftover"
    assert by_name(formation)["scheduler"].ports[0][1] == 7101


def test_the_environment_is_made_for_speed_and_for_no_hub(tmp_path: Path) -> None:
    services = by_name(formed(tmp_path, PYTHONDONTWRITEBYTECODE="1"))
    assert services["embedder"].env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert all(service.env["HF_HUB_OFFLINE"] == "1" for service in services.values())
    assert all(service.env["PYTHONDONTWRITEBYTECODE"] == "" for service in services.values())


def test_servers_of_somebody_elses_are_not_started_but_asked(tmp_path: Path) -> None:
    formation = formed(
        tmp_path,
        """
        [kvstore.kv-1]
        url = "redis://me:p%40ss@cache.example:6390/0"
        [engine.engine-1]
        kind = "openai"
        url = "http://gpu.example:8000"
        api_key = "sk-1"
        """,
    )
    services = by_name(formation)
    assert not {"kv-1", "engine-1"} & services.keys()
    assert services["instance-1"].needs == ("pool-1",)
    assert "kv-1" not in services["kdn-1"].needs
    kv, engine = formation.externals
    assert kv.ready == RedisProbe("cache.example", 6390, username="me", password="p@ss")
    assert "p@ss" not in kv.where
    assert "p%40ss" not in kv.where
    assert engine.ready == HttpProbe("http://gpu.example:8000/v1/models", bearer="sk-1")


@pytest.mark.parametrize(
    ("url", "probe"),
    [
        ("rediss://h:6380", TcpProbe("h", 6380)),
        ("unix:///run/r.sock", RedisProbe("127.0.0.1", 6379, unix_socket="/run/r.sock")),
    ],
)
def test_a_store_over_tls_or_a_socket_is_asked_there(tmp_path: Path, url: str, probe: object) -> None:
    (external,) = formed(tmp_path, f'[kvstore.kv-1]\nurl = "{url}"\n').externals
    assert external.ready == probe


def test_no_engine_without_a_kv_store_waits_for_one(tmp_path: Path) -> None:
    services = by_name(formed(tmp_path, '[engine.engine-1]\nkv_store = ""\n'))
    assert services["engine-1"].needs == ()


def test_the_default_configuration_needs_no_file() -> None:
    formation = form(Config(), TOKENS, None, {})
    assert all("CACHEROUTE_CONFIG" not in service.env for service in formation.services)
