# SPDX-License-Identifier: Apache-2.0
"""The configured image service, with the transport of its data."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.image.verification.certificates import Certificates
from worker.conf.option_groups import image
from worker.execution.concurrency import Limiter, blocking


def make(conf: cfg.ConfigOpts, limiter: Limiter) -> ImageTransport:
    """Return the configured image service. :raises ConfigError: there is no such service."""
    service = blocking(image.service_class(conf)(conf), limiter, measured=True)
    limits = ConversionLimits(
        conf.image_conversion_address_space_limit, conf.image_conversion_cpu_limit
    )
    return ImageTransport(
        service,
        Path(conf.image_conversion_dir),
        limits,
        may_convert=not conf.image_conversion_disable,
        compresses=conf.image_compress_on_upload,
        vmdk_types=frozenset(conf.vmdk_allowed_types),
        certificates=blocking(Certificates(conf), limiter),
    )
