import subprocess
import sys

import pytest

from cacheroute.config import load
from cacheroute.errors import ConfigError
from cacheroute.kdn.blobs.configured import blobs_of
from cacheroute.kdn.blobs.files import FileBlobs
from cacheroute.kdn.config import KdnConfig, S3Config


def test_without_a_setting_blobs_are_files():
    assert blobs_of("kdn-1", KdnConfig(), {}) is FileBlobs


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", "s3://bucket/kdn-1"),
        ("s3://bucket/", "s3://bucket/kdn-1"),
        ("s3://bucket/deep//er/", "s3://bucket/deep/er/kdn-1"),
    ],
)
def test_each_kdn_has_its_own_part_of_a_prefix(url, place):
    assert str(blobs_of("kdn-1", KdnConfig(blobs=url), {}).keywords["place"]) == place


def test_keys_come_from_the_variables_that_are_named_and_are_never_shown():
    env = {"AWS_ACCESS_KEY_ID": "theirs", "MINE": "my-key", "MINE_TOO": "my-secret"}
    settings = KdnConfig(blobs="s3://bucket", s3=S3Config(access_key_env="MINE", secret_key_env="MINE_TOO"))
    place = blobs_of("kdn-1", settings, env).keywords["place"]
    assert (place.access_key, place.secret_key) == ("my-key", "my-secret")
    assert not [secret for secret in env.values() if secret in f"{place!r} {place} {settings!r}"]


def test_the_configuration_names_it_and_refuses_what_is_no_place(tmp_path):
    path = tmp_path / "cacheroute.toml"
    path.write_text('[kdn.kdn-1]\nblobs = "s3://bucket/kv"\n[kdn.kdn-1.s3]\nendpoint = "http://127.0.0.1:9000"\n')
    settings = load(path, {}).kdn["kdn-1"]
    assert (settings.blobs, settings.s3.endpoint) == ("s3://bucket/kv", "http://127.0.0.1:9000")
    for wrong in ("s3://", "ftp://bucket", "file", "/tmp"):
        path.write_text(f'[kdn.kdn-1]\nblobs = "{wrong}"\n')
        with pytest.raises(ConfigError, match=r"cacheroute.toml:2: kdn.kdn-1.blobs"):
            load(path, {})


def test_the_library_of_an_object_store_is_not_loaded_where_there_is_none():
    code = "import sys, cacheroute.kdn.app; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
