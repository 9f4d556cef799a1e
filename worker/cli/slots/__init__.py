# SPDX-License-Identifier: Apache-2.0
"""Commands about the slots of a journal that hosts share."""
