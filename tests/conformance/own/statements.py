# SPDX-License-Identifier: Apache-2.0
"""Every statement of the seeds about drivers, and the tests that check it.

``python -m tests.conformance.own.statements`` writes ``docs/conformance.rst``. A test is
named as ``Class::test`` or ``test``, or by its file where it checks the worker.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "conformance.rst"


@dataclass(frozen=True)
class Statement:
    """One statement of a seed.

    :param method: the method that it is about.
    :param text: the statement in our words.
    :param tests: those that fail where it is not kept.
    """

    method: str
    text: str
    tests: tuple[str, ...]


def _s(method: str, text: str, *tests: str) -> Statement:
    return Statement(method, text, tests)


_STATS = "TestGetVolumeStats"
_FLOWS = "tests/unit/flows"

CORE = (
    _s(
        "do_setup",
        "prepares whatever the driver needs; called once",
        "TestDoSetup::test_a_second_instance_sets_itself_up",
        "TestDoSetup::test_a_second_instance_leaves_volumes_alone",
    ),
    _s(
        "check_for_setup_error",
        "the driver is ready when it returns",
        "TestCheckForSetupError::test_driver_is_ready_afterwards",
        "TestCheckForSetupError::test_it_leaves_nothing_behind",
    ),
    _s(
        "check_for_setup_error",
        "raises where the configuration cannot work",
        "TestCheckForSetupError::test_a_directory_that_cannot_be_used_is_an_error",
    ),
    _s(
        "get_volume_stats",
        "returns a dict with the required fields",
        f"{_STATS}::test_required_field_is_there",
    ),
    _s(
        "get_volume_stats",
        "volume_backend_name is that of the configuration",
        f"{_STATS}::test_backend_name_is_the_configured_one",
        f"{_STATS}::test_a_name_of_the_configuration_is_taken_over",
    ),
    _s(
        "get_volume_stats",
        "driver_version and vendor_name are strings",
        f"{_STATS}::test_required_field_is_there",
    ),
    _s(
        "get_volume_stats",
        "storage_protocol is a short string",
        f"{_STATS}::test_protocol_is_short",
    ),
    _s(
        "get_volume_stats",
        "capacities are GiB, 'unknown' or 'infinite'",
        f"{_STATS}::test_capacity_is_gib_or_one_of_two_words",
        f"{_STATS}::test_free_is_at_most_total",
    ),
    _s(
        "get_volume_stats",
        "optional fields have their types",
        f"{_STATS}::test_optional_field_is_of_its_kind",
        f"{_STATS}::test_reserved_is_a_percentage",
        f"{_STATS}::test_ratio_is_a_number_above_zero_or_auto",
    ),
    _s(
        "get_volume_stats",
        "provisioned_capacity_gb counts GiB",
        f"{_STATS}::test_provisioned_grows_by_the_size_of_a_volume",
    ),
    _s(
        "get_volume_stats",
        "total_volumes counts volumes",
        f"{_STATS}::test_answer_is_kept_until_a_refresh",
        f"{_STATS}::test_deleted_volumes_are_counted_no_more",
    ),
    _s(
        "get_volume_stats",
        "multiattach: several connectors share a volume",
        "TestInitializeConnection::test_second_connector_reaches_the_same_data",
        "TestTerminateConnection::test_another_connector_keeps_its_access",
    ),
    _s(
        "get_volume_stats",
        "online_extend_support: volumes in use can be extended",
        "TestExtendVolume::test_volume_in_use_grows_where_that_is_announced",
    ),
    _s(
        "get_volume_stats",
        "pools is a list of dicts of this shape",
        f"{_STATS}::test_pools_have_names",
        f"{_STATS}::test_pools_have_capacities",
    ),
    _s(
        "get_volume_stats",
        "the answer is kept; refresh discards it",
        f"{_STATS}::test_answer_is_kept_until_a_refresh",
    ),
    _s(
        "create_volume",
        "allocates storage of the size",
        "TestCreateVolume::test_size_is_in_gib",
        "TestCreateVolume::test_volume_is_empty",
    ),
    _s(
        "create_volume",
        "exports nothing",
        "test_a_call_that_was_killed_can_be_undone",
        "TestDeleteVolume::test_a_repeated_call_is_success",
    ),
    _s(
        "create_volume",
        "returns None or updates of the volume's row",
        "TestCreateVolume::test_answer_is_an_update_or_none",
    ),
    _s(
        "create_volume",
        "raises where it failed; the call can be repeated",
        "test_a_call_that_was_killed_can_be_repeated",
        "test_a_call_that_had_no_room_can_be_repeated",
    ),
    _s(
        "delete_volume",
        "an absent volume is a success",
        "TestDeleteVolume::test_absent_volume_is_success",
        "TestDeleteVolume::test_a_repeated_call_is_success",
    ),
    _s(
        "delete_volume",
        "the data cannot leak into new volumes",
        "TestDeleteVolume::test_data_does_not_show_up_in_a_later_volume",
        "test_a_new_volume_has_nothing_but_its_data",
        "test_space_that_is_added_has_nothing_old",
    ),
    _s(
        "delete_volume",
        "VolumeIsBusy where it is attached",
        "TestDeletionInUse::test_attached_volume_is_busy_and_unchanged",
        "TestDeletionInUse::test_volume_of_another_connector_is_busy",
    ),
    _s(
        "delete_volume",
        "VolumeIsBusy where it has snapshots",
        "TestDeleteVolume::test_volume_with_snapshots_is_busy_and_unchanged",
    ),
    _s(
        "initialize_connection",
        "allows the connection and describes it",
        "TestInitializeConnection::test_answer_says_type_and_data",
        "TestInitializeConnection::test_what_is_written_is_read_after_another_connection",
    ),
    _s(
        "initialize_connection",
        "initiator_data may be given",
        "TestInitializeConnection::test_initiator_data_may_be_given",
    ),
    _s(
        "initialize_connection",
        "initiator_updates has set_values and remove_values",
        "TestInitializeConnection::test_initiator_updates_are_pairs_and_keys",
    ),
    _s(
        "initialize_connection",
        "may be called again for an attached volume",
        "TestInitializeConnection::test_answer_to_a_repeated_call_is_the_same",
    ),
    _s(
        "attach_volume",
        "notified of an attachment, by an instance or a host",
        "TestAttachAndDetach::test_both_kinds_of_attachment_are_accepted",
        "TestAttachAndDetach::test_data_stays",
    ),
    _s(
        "terminate_connection",
        "removes access",
        "TestTerminateConnection::test_access_ends",
        "TestTerminateConnection::test_access_of_that_connector_ends_alone",
    ),
    _s(
        "terminate_connection",
        "without a connector, all access",
        "TestTerminateConnection::test_no_connector_ends_the_access_of_all",
        "TestTerminateConnection::test_no_connector_ends_all_connections",
    ),
    _s(
        "detach_volume",
        "the attachment may be absent",
        "TestAttachAndDetach::test_both_kinds_of_attachment_are_accepted",
    ),
    _s(
        "clone_image",
        "creates a volume of an image; else leaves nothing",
        "TestCloneImage::test_unknown_location_is_not_cloned",
    ),
    _s(
        "copy_image_to_volume",
        "writes the image to the volume",
        "TestCopyImageToVolume::test_data_is_that_of_the_image",
        "TestCopyImageToVolume::test_nothing_old_is_behind_it_and_it_can_be_repeated",
    ),
    _s(
        "copy_volume_to_image",
        "writes the volume to the image",
        "TestCopyVolumeToImage::test_image_has_the_data_and_the_volume_stays",
    ),
    _s(
        "extend_volume",
        "grows to the new size",
        "TestExtendVolume::test_volume_has_the_new_size_in_gib",
        "TestExtendVolume::test_data_stays_and_the_rest_is_empty",
    ),
    _s(
        "create_snapshot",
        "creates a snapshot",
        "TestCreateSnapshot::test_snapshot_has_the_data_of_that_moment",
        "test_a_snapshot_is_of_one_moment",
    ),
    _s(
        "delete_snapshot",
        "deletes it",
        "TestDeleteSnapshot::test_deleted_snapshot_is_gone",
        "TestDeleteSnapshot::test_volume_and_other_snapshots_stay",
        "test_a_volume_outlives_the_snapshot_that_it_was_made_of",
    ),
    _s(
        "create_volume_from_snapshot",
        "creates a volume with its data",
        "TestCreateSnapshot::test_snapshot_has_the_data_of_that_moment",
        "TestCreateVolumeFromSnapshot::test_data_that_is_long_is_there",
        "TestCreateVolumeFromSnapshot::test_snapshot_is_unchanged_by_what_is_written_to_the_volume",
    ),
    _s(
        "create_volume_from_snapshot",
        "the volume may be larger",
        "TestCreateVolumeFromSnapshot::test_larger_volume_has_its_size_and_is_empty_beyond",
    ),
    _s(
        "create_volume_from_snapshot",
        "sets up replication where the type asks for it",
        "TestCreateVolumeFromSnapshot::test_type_with_replication_has_the_data_too",
    ),
    _s(
        "create_volume_from_snapshot",
        "returns updates of the volume's row",
        "TestCreateVolumeFromSnapshot::test_answer_is_an_update_or_none",
    ),
)

MANAGEMENT = (
    _s(
        "manage_existing",
        "the reference identifies one object",
        "TestVolumeManagement::test_object_is_that_of_the_reference",
        "TestVolumeManagement::test_managed_volume_keeps_its_data",
    ),
    _s(
        "manage_existing",
        "later calls find the object",
        "TestVolumeManagement::test_every_later_call_finds_the_object",
        "TestVolumeManagement::test_deleted_volume_is_gone",
    ),
    _s(
        "manage_existing",
        "ManageExistingInvalidReference",
        "TestVolumeManagement::test_reference_to_nothing_is_invalid",
        "TestVolumeManagement::test_reference_to_a_file_outside_is_invalid",
    ),
    _s(
        "manage_existing",
        "ManageExistingVolumeTypeMismatch, with a reason",
        "TestVolumeManagement::test_type_that_does_not_fit_is_refused",
    ),
    _s(
        "manage_existing_get_size",
        "rounds up to the next GiB",
        "TestVolumeManagement::test_size_is_rounded_up",
        "TestVolumeManagement::test_size_is_in_whole_gib_and_asking_changes_nothing",
    ),
    _s(
        "manage_existing_get_size",
        "ManageExistingInvalidReference",
        "TestVolumeManagement::test_reference_to_nothing_is_invalid",
        "TestVolumeManagement::test_reference_to_a_file_outside_is_invalid",
    ),
    _s(
        "unmanage",
        "does not delete the object",
        "TestVolumeManagement::test_unmanaging_keeps_the_object_and_its_data",
        "TestVolumeManagement::test_unmanaging_twice_is_success",
    ),
)

SNAPSHOT_MANAGEMENT = (
    _s(
        "manage_existing_snapshot",
        "the object becomes the snapshot",
        "TestSnapshotManagement::test_managed_snapshot_keeps_its_data",
    ),
    _s(
        "manage_existing_snapshot",
        "later calls find the object",
        "TestSnapshotManagement::test_deleted_snapshot_is_gone",
    ),
    _s(
        "manage_existing_snapshot",
        "ManageExistingInvalidReference",
        "TestSnapshotManagement::test_reference_to_nothing_is_invalid",
        "TestSnapshotManagement::test_reference_to_a_file_outside_is_invalid",
    ),
    _s(
        "manage_existing_snapshot_get_size",
        "rounds up to the next GiB",
        "TestSnapshotManagement::test_managed_snapshot_keeps_its_data",
    ),
    _s(
        "unmanage_snapshot",
        "does not delete the object",
        "TestSnapshotManagement::test_managed_snapshot_keeps_its_data",
        "TestSnapshotManagement::test_unmanaged_snapshot_keeps_its_volume",
    ),
)

GROUPS = (
    _s(
        "create_consistencygroup",
        "returns an update or None",
        "TestCreateGroup::test_it_can_be_repeated",
    ),
    _s(
        "create_consistencygroup",
        "a status of error, or an exception, is a failure",
        f"{_FLOWS}/group",
    ),
    _s(
        "create_consistencygroup_from_src",
        "of a group snapshot or of a group",
        "TestCreateFromSource::test_of_a_cgsnapshot",
        "TestCreateFromSource::test_of_another_group_and_again",
    ),
    _s(
        "create_consistencygroup_from_src",
        "success unless it raises",
        "TestCreateFromSource::test_absent_source_leaves_no_volume",
    ),
    _s(
        "delete_consistencygroup",
        "deletes the volumes",
        "TestDeleteGroup::test_volumes_are_gone",
        "TestDeleteGroup::test_absent_volumes_are_success",
        "TestDeleteGroup::test_others_stay",
    ),
    _s(
        "delete_consistencygroup",
        "a member that was not deleted has an error status",
        "TestDeleteGroup::test_a_member_that_cannot_go_is_told_of",
    ),
    _s(
        "delete_consistencygroup",
        "the statuses of members decide that of the group",
        f"{_FLOWS}/group",
    ),
    _s(
        "update_consistencygroup", "either list may be None", "TestUpdate::test_lists_may_be_absent"
    ),
    _s(
        "update_consistencygroup",
        "entries have the ids of their volumes",
        "TestUpdate::test_members_that_leave_keep_their_data",
        "TestUpdate::test_members_that_join_keep_their_data",
    ),
    _s(
        "create_cgsnapshot",
        "snapshots of all members, of one moment",
        "TestCreateCgsnapshot::test_snapshots_have_the_data_of_that_moment",
        "TestCreateCgsnapshot::test_writes_are_in_all_of_them_or_in_none",
        "test_a_snapshot_is_of_one_moment",
    ),
    _s(
        "create_cgsnapshot",
        "records are not returned as updates",
        "TestCreateCgsnapshot::test_a_repeated_call_is_success",
    ),
    _s(
        "create_cgsnapshot",
        "a failure leaves no success behind",
        "TestCreateCgsnapshot::test_absent_volume_leaves_no_snapshot",
    ),
    _s(
        "delete_cgsnapshot",
        "deletes the snapshots",
        "TestDeleteCgsnapshot::test_snapshots_are_gone_and_volumes_stay",
        "TestDeleteCgsnapshot::test_other_snapshots_stay",
    ),
    _s(
        "delete_cgsnapshot",
        "absent ones are a success",
        "TestDeleteCgsnapshot::test_absent_snapshots_are_success",
    ),
)

BACKUPS = (
    _s("get_metadata", "a dict as JSON", "TestAnswers::test_metadata_is_a_dict_as_json"),
    _s(
        "put_metadata",
        "restores it",
        "TestBackupAndRestore::test_metadata_goes_along",
        "TestData::test_metadata_goes_to_the_volume_that_is_restored",
    ),
    _s(
        "backup",
        "keeps the data of the volume",
        "TestBackupAndRestore::test_what_comes_back_is_what_was_there",
        "TestData::test_the_volume_is_only_read",
    ),
    _s(
        "backup",
        "with a parent_id, an incremental backup",
        "TestBackupAndRestore::test_an_incremental_one_brings_all_of_its_moment",
    ),
    _s(
        "backup",
        "a parent of another size: a full backup",
        "TestBackupAndRestore::test_a_parent_of_another_size_makes_it_a_full_one",
    ),
    _s(
        "backup",
        "backup_metadata: with the volume's metadata, or without",
        "TestBackupAndRestore::test_metadata_goes_along",
        "TestData::test_metadata_is_kept_only_where_asked_for",
    ),
    _s(
        "restore",
        "restores a volume from a backup",
        "TestBackupAndRestore::test_what_comes_back_is_what_was_there",
        "TestDamage::test_an_absent_backup_leaves_the_volume",
    ),
    _s(
        "delete_backup",
        "deletes it from the store",
        "TestDelete::test_it_is_gone_and_so_it_stays",
        "TestLeftFiles::test_deletion_leaves_nothing",
    ),
    _s(
        "export_record",
        "a dict that can be stored",
        "TestAnswers::test_exported_information_is_a_dict_fit_for_json",
    ),
    _s(
        "import_record",
        "takes that dict, and returns nothing",
        "TestRecords::test_what_is_exported_can_be_imported",
        "TestImport::test_rubbish_is_refused_or_ignored",
    ),
)

SEEDS = {
    "VolumeDriverCore": CORE,
    "VolumeManagementDriver": MANAGEMENT,
    "VolumeSnapshotManagementDriver": SNAPSHOT_MANAGEMENT,
    "VolumeConsistencyGroupDriver": GROUPS,
    "BackupDriver": BACKUPS,
}

_HEAD = """\
======================================
Statements of the seeds, and the tests
======================================

Every statement of the `seeds <spec/seeds.rst>`_ about drivers, with the tests of the
`conformance suite <drivers.rst>`_ that fail where a driver does not keep it. Each test is also
run with a kill within the calls, and with another call within them.
``python -m tests.conformance.own.statements`` writes this page.
"""


def document() -> str:
    """Return the text of the page."""
    lines = [_HEAD]
    for seed, statements in SEEDS.items():
        lines += [seed, "=" * len(seed), "", ".. list-table::", "   :header-rows: 1", ""]
        lines += ["   * - method", "     - statement", "     - tests"]
        for one in statements:
            lines += [f"   * - {one.method}", f"     - {one.text}"]
            names = [f"``{name}``" for name in one.tests]
            lines += [f"     - {names[0]}", *(f"       {name}" for name in names[1:])]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Write the page."""
    DOCUMENT.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main())
