# SPDX-License-Identifier: Apache-2.0
"""Images in clones of volumes: whose the clones are, as files say it."""

from __future__ import annotations

import pytest

from flows.context import CloneUploads
from worker.conf import backends, clone_uploads
from worker.conf.check import config_files

TENANT = "cinder_internal_tenant_project_id = p\ncinder_internal_tenant_user_id = u\n"
CLONES = "image_upload_use_cinder_backend = true"
INTERNAL = "image_upload_use_internal_tenant = true"


@pytest.mark.parametrize(
    ("service", "backend", "wanted", "warned"),
    [
        ("", "", None, False),
        (TENANT, INTERNAL, None, False),
        (TENANT, CLONES, CloneUploads(timeout=7), False),
        (TENANT, f"{CLONES}\n{INTERNAL}", CloneUploads("p", "u", 7), False),
        ("", f"{CLONES}\n{INTERNAL}", CloneUploads(timeout=7), True),
    ],
)
def test_they_may_be_those_of_the_internal_tenant(load, caplog, service, backend, wanted, warned):
    text = f"[DEFAULT]\nenabled_backends = b1\nglance_request_timeout = 7\n{service}\n"
    conf = load(f"{text}[b1]\nvolume_driver = noop\n{backend}\n")
    _driver, configuration = backends.configure(conf, "b1")
    problems = list(clone_uploads.warnings(conf, config_files.of(conf)))
    clone_uploads.warn_of_missing_tenant(conf, configuration, "b1")

    assert clone_uploads.options(conf, configuration) == wanted
    assert [one.option for one in problems] == ["image_upload_use_internal_tenant"] * warned
    assert ("belong to the project of the image" in caplog.text) == warned
