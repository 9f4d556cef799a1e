# SPDX-License-Identifier: Apache-2.0
"""What Cinder itself says to what we write, and the other way round: ``tox -e cinder``."""
