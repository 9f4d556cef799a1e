# SPDX-License-Identifier: Apache-2.0
"""The next events of a resource and its operations, and the commands that change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskflow import states

from flows.statuses import TRANSIENT, MigrationStatus

_MIGRATES = (MigrationStatus.STARTING, MigrationStatus.MIGRATING, MigrationStatus.COMPLETING)
_RESETTABLE = ("volume", "snapshot", "backup", "group")
_REVERTS = (states.REVERTING,)


def is_transient(resource: Mapping[str, Any]) -> bool:
    """Return whether the status of a resource is that of a running operation."""
    if resource["deleted"]:
        return False
    migrates = resource["row"].get("migration_status") in _MIGRATES
    return migrates or resource["status"] in TRANSIENT.get(resource["kind"], ())


def is_in_error(status: object) -> bool:
    """Return whether a status is one of those of failures."""
    return "error" in str(status)


def expected(
    resource: Mapping[str, Any] | None,
    operations: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return sentences about the next events."""
    running = [one for one in operations if not one["ended"]]
    found = [_of_operation(one, resource) for one in running]
    if rejected:
        text = "A message that was put aside does not run. holdfast message retry has it accepted"
        found.append(f"{text} if its contents were kept; otherwise its sender has to send another.")
    if resource is None:
        return found or ["Nothing runs here: all operations of this journal have ended."]
    if is_transient(resource) and not running:
        found += _without_operation(resource)
    elif not running:
        found.append(_at_rest(resource))
    return [*found, *_about_service(resource)]


def actions(
    resource: Mapping[str, Any] | None, operations: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return the commands that an operator may use now, each with its effect."""
    found = [one for operation in operations for one in _on_operation(operation)]
    found += _on_resource(resource, operations) if resource else []
    unique = {command: effect for command, effect in reversed(found)}
    return [{"command": name, "effect": unique[name]} for name in reversed(unique)]


def _of_operation(operation: Mapping[str, Any], resource: Mapping[str, Any] | None) -> str:
    name, state, slot = operation["method"], operation["state"], operation["slot"]
    label = f"{name} ({operation['flow']})"
    service = resource and resource["service"]
    if service and service["state"] != "up":
        return f"{label} continues when a process of {slot} starts: {service['host']} is down."
    if state == states.PENDING:
        return f"{label} waits for its turn in {slot}."
    if state == states.SUSPENDED:
        return (
            f"{label} is suspended: until the operation that it waits for has ended, or after an "
            f"orderly stop until the start of {slot}."
        )
    if state in _REVERTS or operation["attempts"]["reverted_because"]:
        return f"{label} is being reverted by {slot}."
    running = [task for task in operation["tasks"] if task["state"].startswith("RUNNING")]
    where = f", in its step {running[0]['name']}" if running else ""
    return f"{label} runs in {slot}{where}."


def _without_operation(resource: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"The status {resource['status']} is that of an operation, but this journal has none that "
        "runs: its message waits in a queue, was lost, or another host's journal has it."
    )
    yield (
        "A service of the host ends the status once it has proven that no message waits and no "
        "journal has the operation; its log has the reason of a delay."
    )


def _at_rest(resource: Mapping[str, Any]) -> str:
    if resource["deleted"]:
        return "Nothing: it is deleted."
    if is_in_error(resource["status"]):
        return f"Nothing by itself: it stays {resource['status']} until a request changes it."
    return f"Nothing runs: it stays {resource['status']} until a request comes."


def _about_service(resource: Mapping[str, Any]) -> Iterator[str]:
    service = resource["service"]
    if service is None or resource["deleted"]:
        return
    if service["state"] == "missing":
        yield f"There is no row of {service['binary']} {service['host']}: requests find no service."
        return
    if service["state"] == "down":
        yield f"Requests for {service['host']} wait in its queue until the service starts."
    if service["disabled"]:
        reason = service["disabled_reason"] or "no reason given"
        yield f"{service['host']} is disabled ({reason}): schedulers choose it for nothing new."


def _on_operation(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    flow, state = operation["flow"], operation["state"]
    if not operation["ended"]:
        yield f"holdfast flow cancel {flow}", "revert it from its next step on"
        return
    if state not in (states.REVERTED, states.FAILURE):
        return
    if state == states.FAILURE and operation["can_be_undone_again"]:
        yield f"holdfast flow revert {flow}", "repeat the reverts that failed"
    if operation["can_run_again"]:
        yield f"holdfast flow resume {flow}", "run it once more from its beginning"
    if any(task["failure"] for task in operation["tasks"]):
        yield f"holdfast flow show {flow} --traceback", "see where it failed"


def _on_resource(
    resource: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    kind, resource_id, status = resource["kind"], resource["id"], str(resource["status"])
    if resource["deleted"] or any(not one["ended"] for one in operations):
        return
    if is_in_error(status) and kind in ("volume", "snapshot"):
        yield f"holdfast cast delete_{kind} --{kind} {resource_id} --wait", "delete it"
    if is_in_error(status) and kind == "backup":
        yield f"holdfast backup delete {resource_id} --wait", "delete it"
    if is_transient(resource) and kind in _RESETTABLE:
        effect = "write another status, if no operation works on it"
        yield f"holdfast {kind} reset-status {resource_id} --to error", effect
    service = resource["service"]
    if service and service["state"] in ("down", "missing"):
        yield "holdfast service list", "see which services are up"
