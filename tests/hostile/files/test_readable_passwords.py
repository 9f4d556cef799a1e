# SPDX-License-Identifier: Apache-2.0
"""Files with passwords and private keys that every user of the host can read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from worker import conf
from worker.conf.check.checker import check

HEAD = "[DEFAULT]\nenabled_backends = b1\n[b1]\nvolume_driver = noop\n"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can enter; those of pytest are for their owner."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def written(place: Path, text: str, mode: int = 0o644) -> str:
    path = place / "holdfast.conf"
    path.write_text(HEAD + text)
    path.chmod(mode)
    return str(path)


def warnings(path: str) -> list[str]:
    return [one.text for one in check([path]) if "every user" in one.text]


SECRETS = [
    "[database]\nconnection = mysql+pymysql://cinder:secret@db/cinder\n",
    "[journal]\nconnection = postgresql+psycopg2://cinder:secret@db/journal\n",
    "[oslo_messaging_notifications]\ntransport_url = rabbit://user:secret@host/\n",
    "[service_user]\npassword = secret\n",
    "[b1]\nsan_password = secret\n",
    "[DEFAULT]\nbackup_s3_store_secret_key = secret\n",
    "[DEFAULT]\nbackup_swift_key = secret\n",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_password_that_everybody_reads_is_reported(place: Path, text: str) -> None:
    path = written(place, text)

    assert warnings(path) == [f"every user of this host can read a password: chmod o-rwx {path}"]
    (problem,) = [one for one in check([path]) if "every user" in one.text]
    assert (problem.fatal, problem.line) == (False, 6)
    assert "secret" not in str(problem).replace("backup_s3_store_secret_key", "")


@pytest.mark.parametrize("text", SECRETS)
def test_a_file_of_the_group_or_in_a_closed_directory_is_not(place: Path, text: str) -> None:
    assert warnings(written(place, text, 0o640)) == []
    path = written(place, text)
    place.chmod(0o750)
    assert warnings(path) == []


def test_a_file_without_passwords_is_not(place: Path) -> None:
    text = "[database]\nconnection = sqlite:////x\n[journal]\nconnection = mysql+pymysql://db/x\n"

    assert warnings(written(place, text)) == []


def test_a_link_to_a_file_that_everybody_reads_is_reported(place: Path) -> None:
    path = written(place, SECRETS[0])
    (place / "closed").mkdir(mode=0o700)
    link = place / "closed" / "holdfast.conf"
    link.symlink_to(path)

    assert warnings(str(link)) == [
        f"every user of this host can read a password: chmod o-rwx {link}"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[oslo_messaging_rabbit]\nssl_key_file = {key}\n",
        "[service_user]\nkeyfile = {key}\n",
        "[database]\nconnection = mysql+pymysql://db/cinder?ssl_key={key}\n",
        "[database]\nconnection = postgresql+psycopg2://db/cinder?sslmode=x&sslkey={key}\n",
        "[b1]\nlocal_nbd_tls = {directory}\n",
    ],
)
def test_a_private_key_that_everybody_reads_is_reported(place: Path, text: str) -> None:
    key = place / "server-key.pem"
    key.write_text("key")
    path = written(place, text.format(key=key, directory=place))

    assert warnings(path) == [
        f"every user of this host can read the private key: chmod o-rwx {key}"
    ]
    key.chmod(0o640)
    assert warnings(path) == []


def test_a_start_warns(place: Path) -> None:
    path = written(place, "[DEFAULT]\ntransport_url = rabbit://user:secret@host/\n")
    loaded = conf.load(["--config-file", path], prog="holdfast-volume")
    try:
        found = [line for line in conf.reviewed(loaded, "volume", ["b1"]) if "every user" in line]
    finally:
        cfg.CONF.reset()

    assert found == [
        f"{path}:6: [DEFAULT] transport_url: every user of this host can read a password:"
        f" chmod o-rwx {path}"
    ]
