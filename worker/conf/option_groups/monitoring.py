# SPDX-License-Identifier: Apache-2.0
"""The HTTP listener for monitors and people; section [monitoring]."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("monitoring", title="Health checks and metrics")

OPTS = [
    cfg.StrOpt(
        "listen",
        default="",
        help="Address at which a service answers /healthz, /readyz, /status and /metrics, and "
        "shows pages for people: the path of a Unix socket, in which {service} is replaced by "
        "holdfast-volume, holdfast-volume-NAME with --backend NAME, or holdfast-backup, as in "
        "$state_path/{service}.sock; or ADDRESS:PORT. The option --listen of a service "
        "overrides it, as each service needs a port of its own. Empty: there is no listener.",
    ),
    cfg.StrOpt(
        "tls_cert_file",
        default="",
        help="File with the certificate of the listener and its chain, in PEM. Required, as "
        "tls_key_file and token_file are, for an address that other hosts can reach.",
    ),
    cfg.StrOpt(
        "tls_key_file",
        default="",
        help="File with the private key of the certificate, in PEM.",
    ),
    cfg.StrOpt(
        "token_file",
        default="",
        help="File with the bearer token that /metrics, /status and the pages for people require; "
        "a browser gives it as the password of any user. Without the token /healthz and /readyz "
        "give their verdict, but no reasons.",
    ),
    cfg.BoolOpt(
        "page",
        default=True,
        help="Whether the listener also has pages for people: operations, backends, backups. They "
        "show rows of the database. At a loopback address without token_file every user of this "
        "host can see them.",
    ),
    cfg.StrOpt(
        "report_directory",
        default="",
        help="Directory for the reports of the state that SIGUSR2 requests, of which the last ten "
        "of each process are kept. Empty: they are written to the log.",
    ),
]

CLI_OPTS = [
    cfg.StrOpt(
        "listen",
        help="Address for health checks and metrics, in place of [monitoring] listen.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of the listener known."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def address(conf: cfg.ConfigOpts) -> str:
    """Return the configured address; empty for none."""
    given = getattr(conf, "listen", None)  # of a service only
    return str(conf.monitoring.listen if given is None else given)
