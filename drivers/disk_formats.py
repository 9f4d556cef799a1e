# SPDX-License-Identifier: Apache-2.0
"""Recognise the formats of disk images by their first bytes.

A file that is taken for a raw disk must be of no other format: a program that guesses formats
would follow the names of other files in it.
"""

from __future__ import annotations

import re

HEAD = 1024
"""Bytes from which a format is recognised."""

_MAGICS = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
)

_VMDK_TEXT = re.compile(rb"(?:#[^\n]*\n|[ \r]*\n)*version=[0-9]")
"""Descriptor of a VMDK, which names other files: QEMU takes it by its first line of text."""


def recognised(head: bytes) -> str:
    """Return the format that a file's first bytes show; ``raw`` for all else."""
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return name
    if _VMDK_TEXT.match(head):
        return "vmdk"
    return "raw"
