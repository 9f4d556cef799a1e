# SPDX-License-Identifier: Apache-2.0
"""Objects, directories and links in a store of backups that others have put there."""
