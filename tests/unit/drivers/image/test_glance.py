# SPDX-License-Identifier: Apache-2.0
"""Accounts, certificates and the catalogue, as the options of a ``cinder.conf`` have them."""

from __future__ import annotations

import textwrap

import pytest
from oslo_config import cfg

from drivers.image.glance import GlanceImages
from drivers.image.glance_client import glance_server
from drivers.interface.errors import ImageCopyFailure

pytest.importorskip("keystoneauth1")


@pytest.fixture
def connect(tmp_path):
    """A function that reads a configuration, and returns a session and the place of Glance."""

    def connect(text):
        place = tmp_path / "cinder.conf"
        place.write_text(textwrap.dedent(text))
        conf = cfg.ConfigOpts()
        conf.register_opts(GlanceImages.OPTS)
        conf(["--config-file", str(place)], default_config_files=[])
        server = glance_server.GlanceServer(conf, None)
        return server._connected(), glance_server._place(conf)

    return connect


def account(username: str) -> str:
    return f"auth_type = password\nauth_url = http://192.0.2.10:5000\nusername = {username}\n"


@pytest.mark.parametrize(
    ("sections", "used"),
    [
        (("keystone_authtoken",), "keystone_authtoken"),
        (("keystone_authtoken", "glance"), "glance"),
        (("keystone_authtoken", "glance", "service_user"), "service_user"),
    ],
)
def test_the_first_section_with_an_account_is_used(connect, sections, used):
    session, _ = connect("\n".join(f"[{section}]\n{account(section)}" for section in sections))

    assert session.auth._username == used


def test_a_missing_account_is_named_before_keystone_is_asked(connect):
    with pytest.raises(ImageCopyFailure, match="no account for Glance: give .service_user"):
        connect("[service_user]\nsend_service_user_token = true\n")


@pytest.mark.parametrize(
    ("options", "verify"),
    [
        ("", True),
        ("glance_ca_certificates_file = /ca", "/ca"),
        ("glance_api_insecure = true", False),
        ("glance_api_insecure = true\nglance_ca_certificates_file = /ca", False),
    ],
)
def test_certificates_are_not_checked_where_that_is_switched_off(connect, options, verify):
    session, _ = connect(f"[DEFAULT]\nauth_strategy = noauth\n{options}\n")

    assert session.verify == verify


def test_an_account_may_stand_in_another_section(connect):
    text = f"[glance]\nauth_section = ours\n[keystone_authtoken]\n{account('no')}[ours]\n"

    session, _ = connect(text + account("cinder"))

    assert session.auth._username == "cinder"


def test_options_of_glance_go_before_those_of_the_account(connect, tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    text = f"""
        [DEFAULT]
        glance_ca_certificates_file = /etc/glance-ca.pem
        glance_certfile = {tmp_path}/cert.pem
        glance_keyfile = {tmp_path}/key.pem
        glance_request_timeout = 30
        [service_user]
        cafile = /etc/keystone-ca.pem
        timeout = 5
        """

    session, _ = connect(textwrap.dedent(text) + account("cinder"))

    assert (session.verify, session.timeout) == ("/etc/glance-ca.pem", 30)
    assert session.cert == (f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem")


def test_options_of_the_account_hold_for_the_rest(connect):
    session, _ = connect("[service_user]\ncafile = /etc/ca.pem\n" + account("cinder"))

    assert session.verify == "/etc/ca.pem"


def test_the_catalogue_is_read_as_the_options_say(connect):
    text = """
        [DEFAULT]
        glance_catalog_info = image:glance:internalURL
        [glance]
        region_name = two
        """

    _, place = connect(textwrap.dedent(text) + account("cinder"))

    wanted = {"service_type": "image", "interface": "internal", "region_name": "two"}
    assert place == wanted
