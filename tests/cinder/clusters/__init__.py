# SPDX-License-Identifier: Apache-2.0
"""A cluster below Cinder's own API and scheduler, with a host of either kind."""
