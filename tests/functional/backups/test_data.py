# SPDX-License-Identifier: Apache-2.0
"""Real volumes, real objects: what comes back is what was there."""

from __future__ import annotations

from tests.functional.backups.vault import SERVICE, Vault


class TestRoundTrip:
    def test_a_full_backup_comes_back(self, vault: Vault) -> None:
        volume = vault.filled(1)
        backup = vault.made(volume)
        assert (backup.service, backup.availability_zone) == (SERVICE, "nova")
        assert backup.object_count > 1
        after = vault.records.volumes.get(volume.id)
        assert (after.status, after.previous_status) == ("available", "backing-up")

        target = vault.filled(2)
        vault.restore(backup, target)
        row = vault.wait_status(target, "available")
        vault.wait_status(backup, "available")
        assert vault.same(volume, target)
        assert row is not None and row.metadata == {"src_backup_id": backup.id}
