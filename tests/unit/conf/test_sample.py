# SPDX-License-Identifier: Apache-2.0
"""The committed sample agrees with the code.

Our own part must be equal word for word. The texts of the libraries change with
their releases, so of their options only those are compared that operators are advised
to look for.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from oslo_config import cfg, generator

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "etc/holdfast/holdfast.conf.sample"
REMEDY = "etc/holdfast/holdfast.conf.sample is not current: tox -e sample"


def written(*namespaces):
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    arguments = [f"--namespace={namespace}" for namespace in namespaces]
    conf([*arguments, "--wrap-width=79", "--summarize"], default_config_files=[])
    output = io.StringIO()
    generator.generate(conf, output_file=output)
    return output.getvalue()


def options(text):
    """Return the text of each option by section and name."""
    found = {}
    section, block = "", []
    for line in text.splitlines():
        head = re.fullmatch(r"\[(.+)\]", line)
        assignment = re.match(r"#(\w+) =", line)
        if head:
            section, block = head[1], []
        elif not line:
            block = []
        else:
            block.append(line)
            if assignment:
                found[section, assignment[1]] = "\n".join(block)
    return found


def test_own_options_are_current():
    ours = options(written("holdfast"))
    sample = options(SAMPLE.read_text())

    assert len(ours) > 40
    assert {key: sample.get(key) for key in ours} == ours, REMEDY


def test_no_section_of_ours_has_an_option_that_is_gone():
    ours = options(written("holdfast"))
    sample = options(SAMPLE.read_text())
    sections = {section for section, _ in ours} - {"DEFAULT"}

    assert {key for key in sample if key[0] in sections} == set(ours) - {
        key for key in ours if key[0] == "DEFAULT"
    }, REMEDY


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("DEFAULT", "transport_url"),
        ("DEFAULT", "control_exchange"),
        ("DEFAULT", "executor_thread_pool_size"),
        ("DEFAULT", "log_config_append"),
        ("database", "connection"),
        ("oslo_messaging_rabbit", "ssl"),
        ("oslo_messaging_rabbit", "ssl_ca_file"),
        ("oslo_messaging_rabbit", "amqp_durable_queues"),
        ("oslo_messaging_rabbit", "rabbit_quorum_queue"),
        ("oslo_messaging_rabbit", "rabbit_qos_prefetch_count"),
        ("oslo_messaging_notifications", "driver"),
    ],
)
def test_options_of_the_libraries_are_there(section, name):
    assert (section, name) in options(SAMPLE.read_text()), REMEDY


def test_defaults_that_we_change_are_shown():
    sample = SAMPLE.read_text()

    assert "#connection = sqlite:///$state_path/holdfast.sqlite" in sample
    assert "amqp=ERROR" in sample


def test_sample_does_not_know_the_machine_that_wrote_it():
    assert "#host = <host name>" in SAMPLE.read_text()
