# SPDX-License-Identifier: Apache-2.0
"""The listener for monitors: one that other hosts reach is refused without protection."""

from __future__ import annotations

import pytest

from tests.hostile.tls.certificates import Certificates
from worker.conf import ConfigError
from worker.conf.check import checker
from worker.conf.option_groups import monitoring

HEAD = (
    "[DEFAULT]\nenabled_backends = b1\ntransport_url = rabbit://h/?amqp_durable_queues=1\n"
    "[b1]\nvolume_driver = noop\n[monitoring]\n"
)


@pytest.fixture
def files(tmp_path):
    """Assignments of a certificate, its key and a token."""
    made = Certificates(tmp_path)
    token = tmp_path / "token"
    token.write_text("secret\n")
    return {
        "tls_cert_file": made.certificate("right"),
        "tls_key_file": made.key("right"),
        "token_file": token,
    }


def text_of(listen, files=()):
    return HEAD + "".join(f"{k} = {v}\n" for k, v in {"listen": listen, **dict(files)}.items())


def problems(path):
    return [(one.option, one.fatal, one.text) for one in checker.check([path])]


@pytest.mark.parametrize(
    "listen",
    ["", "/run/holdfast/{service}.sock", "127.0.0.1:9720", "[::1]:9720", "localhost:9720"],
)
def test_an_address_of_this_host_needs_no_protection(write, listen):
    assert problems(write(text_of(listen))) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:9720", "10.0.0.1:9720", "[::]:9720", "host:9720"])
def test_another_address_needs_tls_and_a_token(write, listen):
    needs = f"{listen} is reached by other hosts: it needs tls_cert_file, tls_key_file, token_file"
    assert problems(write(text_of(listen))) == [("listen", True, f"{needs} as well")]


def test_each_part_of_the_protection_is_needed(write, load, files):
    listen = "0.0.0.0:9720"
    with pytest.raises(ConfigError, match="is reached by other hosts"):
        load(text_of(listen))
    for name in files:
        some = {key: value for key, value in files.items() if key != name}
        assert f"needs {name} as well" in problems(write(text_of(listen, some)))[0][2]
    assert problems(write(text_of(listen, files))) == []


@pytest.mark.parametrize("listen", ["9720", "127.0.0.1", "127.0.0.1:0", "run/s", ":9720"])
def test_no_address_is_named(write, listen):
    text = f"{listen} is neither an absolute path nor ADDRESS:PORT"
    assert problems(write(text_of(listen))) == [("listen", True, text)]


def test_a_path_that_is_too_long_is_named(write):
    assert "is longer than the 107 bytes" in problems(write(text_of("/" + "x" * 107)))[0][2]


@pytest.mark.parametrize(
    ("name", "content", "option", "text"),
    [
        ("token_file", "\n", "token_file", "is empty"),
        ("token_file", None, "token_file", "there is no file"),
        ("tls_key_file", "no key", "tls_cert_file", "cannot be used with"),
    ],
)
def test_files_that_cannot_be_used_are_named(write, files, name, content, option, text):
    if content is None:
        files[name].unlink()
    else:
        files[name].write_text(content)

    ((found, fatal, said),) = problems(write(text_of("127.0.0.1:9720", files)))

    assert (found, fatal) == (option, True)
    assert text in said


def test_the_command_line_overrides_the_file(load):
    options = {"cli_opts": monitoring.CLI_OPTS}
    conf = load(text_of("127.0.0.1:1"), "--listen", "127.0.0.1:2", **options)
    assert monitoring.address(conf) == "127.0.0.1:2"

    with pytest.raises(ConfigError, match="is reached by other hosts"):
        load(text_of("127.0.0.1:1"), "--listen", "0.0.0.0:2", **options)
