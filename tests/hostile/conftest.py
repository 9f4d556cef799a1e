# SPDX-License-Identifier: Apache-2.0
"""Services are forked, unless the run is a full one."""

from tests.length import forked as forked
