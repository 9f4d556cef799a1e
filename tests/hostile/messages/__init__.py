# SPDX-License-Identifier: Apache-2.0
"""Messages that no service of Cinder sends, and drivers that end their process."""
