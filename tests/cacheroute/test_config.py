from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from cacheroute.config import Config, listeners, load
from cacheroute.errors import ConfigError
from cacheroute.proxy.config import ProxyConfig
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.strategies import STRATEGIES


def _problems(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    file = tmp_path / "cacheroute.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, env or {})
    return [problem.replace(f"{file}:", "line ") for problem in caught.value.problems]


def test_without_a_file_one_of_each_role_is_configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(env={})
    assert config == Config()
    assert [list(table) for table in (config.kvstore, config.kdn, config.engine, config.proxy, config.instance)] == [
        ["kv-1"],
        ["kdn-1"],
        ["engine-1"],
        ["pool-1"],
        ["instance-1"],
    ]
    ports = [port for _, _, port in listeners(config)]
    assert len(ports) == len(set(ports)) == 10


def test_five_mistakes_are_five_messages_with_their_lines(tmp_path):
    problems = _problems(
        tmp_path,
        """\
[scheduler]
port = "seven"
prot = 7001

[kdn.kdn-1]
quota_mb = 1.5

[engine.engine-1]
kind = "quantum"

[proxies]
""",
    )
    assert problems == [
        "line 2: scheduler.port: Expected `int`, got `str`",
        "line 3: scheduler.prot: unknown key; did you mean port?",
        "line 6: kdn.kdn-1.quota_mb: Expected `int`, got `float`",
        "line 9: engine.engine-1.kind: Invalid enum value 'quantum'",
        "line 11: proxies: unknown key; did you mean proxy?",
    ]


def test_references_ports_and_exposure_are_checked_together(tmp_path):
    problems = _problems(
        tmp_path,
        """\
[scheduler]
host = "0.0.0.0"
port = 70000
[instance.instance-1]
proxy = "nobody"
[kdn.kdn-1]
port = 8000
[engine.engine-1]
kv_store = "none"
""",
    )
    text = "\n".join(problems)
    assert "line 5: instance.instance-1.proxy: there is no [proxy.nobody]" in text
    assert "line 9: engine.engine-1.kv_store: there is no [kvstore.none]" in text
    assert "line 3: scheduler.port: 70000 is no port" in text
    assert "port 8000 is already that of kdn.kdn-1" in text
    assert "line 2: scheduler.host: 0.0.0.0 is beyond loopback: set [security.api_keys] first" in text


def test_an_unknown_strategy_is_a_clear_error_with_its_line(tmp_path):
    """D24: an invalid injection strategy used to crash on a logger that was not there yet."""
    problems = _problems(
        tmp_path,
        """\
[scheduler]
strategy = "fastest"
[proxy.pool-1]
strategy = "luck"
injection = "telepathy"
""",
        {"CACHEROUTE_PROXY__POOL_1__INJECTION": "osmosis"},
    )
    assert problems == [
        "line 2: scheduler.strategy: Invalid enum value 'fastest'",
        "line 4: proxy.pool-1.strategy: Invalid enum value 'luck'",
        "$CACHEROUTE_PROXY__POOL_1__INJECTION: proxy.pool-1.injection: Invalid enum value 'osmosis'",
    ]


@pytest.mark.parametrize("kind", [SchedulerConfig, ProxyConfig])
def test_every_strategy_that_the_configuration_takes_is_there(kind):
    assert set(get_args(get_type_hints(kind)["strategy"])) == set(STRATEGIES)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "a b", ".hidden", "x\\ny", "n" * 65])
def test_a_name_that_cannot_stand_in_a_path_is_a_clear_error(tmp_path, name):
    file = tmp_path / "c.toml"
    file.write_text(f'[kdn."{name}"]\n')
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert any("is no name" in problem for problem in caught.value.problems)


@pytest.mark.parametrize("value", ["-1.0", "nan", "inf"])
def test_a_time_that_is_negative_or_no_number_is_a_clear_error(tmp_path, value):
    file = tmp_path / "c.toml"
    file.write_text(f"[scheduler]\nlease_renew_s = {value}\nmax_inflight = -3\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "scheduler.lease_renew_s",
        "scheduler.max_inflight",
    ]


def test_a_number_that_makes_no_sense_is_refused_when_it_is_read(tmp_path):
    problems = _problems(
        tmp_path,
        """\
[scheduler]
trace_ring = -1
lease_renew_s = 20.0
[proxy.pool-1]
prepare_concurrency = 0
[kvstore.kv-1]
url = "http://elsewhere"
[engine.engine-1]
url = "http://elsewhere"
""",
    )
    assert problems == [
        "line 2: scheduler.trace_ring: Expected `int` >= 1",
        "line 5: proxy.pool-1.prepare_concurrency: Expected `int` >= 1",
    ]


def test_settings_that_contradict_each_other_are_refused(tmp_path):
    problems = _problems(
        tmp_path,
        """\
[scheduler]
lease_renew_s = 20.0
[kvstore.kv-1]
url = "http://elsewhere"
[engine.engine-1]
url = "http://elsewhere"
""",
    )
    assert problems == [
        'line 6: engine.engine-1.url: an engine of kind "embedded" is started here and has no url',
        "line 4: kvstore.kv-1.url: must begin with redis://, rediss:// or unix://",
        "line 2: scheduler.lease_renew_s: must be below lease_ttl_s (10.0)",
    ]


def test_an_empty_api_key_which_would_let_everybody_in_is_a_clear_error(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[security.api_keys.ann]\nkey = ""\n')
    with pytest.raises(ConfigError, match=r"c.toml:2: security.api_keys.ann.key: is empty"):
        load(file, {})


def test_a_syntax_error_names_the_file(tmp_path):
    assert _problems(tmp_path, "[scheduler\n")[0].startswith("line  Expected ']'")


def test_a_file_that_was_named_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {})


def test_the_environment_lies_over_the_file(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[scheduler]\nport = 1\n[kdn.kdn-2]\nport = 2\n")
    env = {
        "CACHEROUTE_CONFIG": str(file),
        "CACHEROUTE_SCHEDULER__PORT": "7555",
        "CACHEROUTE_KDN__KDN_2__PORT": "7556",
        "CACHEROUTE_SECURITY__ALLOWED_HOSTS": "a.example, b.example",
        "CACHEROUTE_NAME": "kdn-2",
    }
    config = load(env=env)
    assert config.scheduler.port == 7555
    assert config.kdn["kdn-2"].port == 7556
    assert config.security.allowed_hosts == ("a.example", "b.example")


def test_a_wrong_variable_is_named(tmp_path):
    env = {"CACHEROUTE_SCHEDULER__PORT": "x", "CACHEROUTE_SHEDULER__PORT": "1"}
    problems = _problems(tmp_path, "", env)
    assert "$CACHEROUTE_SCHEDULER__PORT: scheduler.port: Expected `int`, got `str`" in problems
    assert any(
        "$CACHEROUTE_SHEDULER__PORT: sheduler: unknown key; did you mean scheduler?" in each for each in problems
    )


def test_a_process_is_found_by_its_name_and_an_unknown_one_is_refused():
    assert Config().named("kdn", None)[0] == "kdn-1"
    with pytest.raises(ConfigError, match="configured: kdn-1"):
        Config().named("kdn", "kdn-7")
