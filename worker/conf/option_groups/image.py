# SPDX-License-Identifier: Apache-2.0
"""Where images come from, and how they are converted; section [DEFAULT]."""

from __future__ import annotations

from oslo_config import cfg

from drivers.image.directory import DirectoryImages
from drivers.image.glance import GlanceImages
from drivers.interface.errors import ImageError
from drivers.interface.image import ImageService
from worker.conf import plugins
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError

SERVICES = "holdfast.image_services"
"""Entry points of image services."""

SERVICE = cfg.StrOpt(
    "image_service",
    default="directory",
    help="The image service: 'directory' on this host, 'glance' (which needs keystoneauth1: "
    "pip install 'holdfast[glance]'), or the full path of a class.",
)

OPTS = [
    SERVICE,
    cfg.StrOpt(
        "image_conversion_dir",
        default="$state_path/conversion",
        help="Directory for images while they are converted; it needs room for the largest.",
    ),
    cfg.IntOpt(
        "image_conversion_cpu_limit",
        default=60,
        min=1,
        help="Seconds of the processor that the conversion of an image may take for each GiB of "
        "its disk.",
    ),
    cfg.IntOpt(
        "image_conversion_address_space_limit",
        default=1,
        min=1,
        help="Memory that the conversion of one image may use, in GiB.",
    ),
    cfg.BoolOpt(
        "image_conversion_disable",
        default=False,
        help="Whether images of another format than raw are refused, at creation and at upload, "
        "instead of converted.",
    ),
    cfg.BoolOpt(
        "image_compress_on_upload",
        default=True,
        help="Whether the data in a qcow2 image of a volume is compressed: that takes more time of "
        "the processor, and less room.",
    ),
    cfg.ListOpt(
        "vmdk_allowed_types",
        default=["streamOptimized", "monolithicSparse"],
        help="Values of createType of the VMDK images that are read. A type that keeps its data in "
        "other files is never read.",
    ),
    cfg.BoolOpt(
        "allow_compression_on_image_upload",
        default=False,
        help="Whether volumes are made of images in the container format 'compressed', which gzip "
        "packed as a whole. Cinder's API allows such uploads by the same option.",
    ),
    cfg.StrOpt(
        "verify_glance_signatures",
        default="enabled",
        choices=[
            ("enabled", "signed images are verified, with certificates in Barbican"),
            ("disabled", "signed images are used unverified"),
        ],
        help="Whether the signatures of images matter.",
    ),
    cfg.StrOpt(
        "cinder_internal_tenant_project_id",
        help="Project of the volumes of the image-volume cache. Their quota is this project's.",
    ),
    cfg.StrOpt(
        "cinder_internal_tenant_user_id",
        help="User of the volumes of the image-volume cache.",
    ),
    *DirectoryImages.OPTS,
    *GlanceImages.OPTS,
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTS)


def service_class(conf: cfg.ConfigOpts) -> type[ImageService]:
    """Return the class that ``image_service`` names, its options registered.

    :raises ConfigError: there is none of that name, or it lacks a requirement.
    """
    wanted = conf.image_service
    try:
        found = plugins.load(wanted, SERVICES, "image service")
    except plugins.LoadError as error:
        raise ConfigError(config_files.of(conf).problem("DEFAULT", SERVICE, str(error))) from error
    if not (isinstance(found, type) and issubclass(found, ImageService)):
        text = f"{wanted} is not an image service (drivers.interface.image.ImageService)"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", SERVICE, text))
    conf.register_opts(found.OPTS)
    try:
        found(conf).check()
    except ImageError as error:
        raise ConfigError(config_files.of(conf).problem("DEFAULT", SERVICE, str(error))) from error
    return found
