# SPDX-License-Identifier: Apache-2.0
"""The persistence backend of flows that are not journalled."""

from __future__ import annotations

from typing import Any

from taskflow.persistence.models import FlowDetail


class NoPersistence:
    """A persistence backend that keeps nothing: the flow detail is in memory anyway."""

    def get_connection(self) -> NoPersistence:
        return self

    def close(self) -> None:
        """Nothing to close."""

    def update_flow_details(self, detail: FlowDetail) -> FlowDetail:
        return detail

    def update_atom_details(self, detail: Any) -> Any:
        return detail


NO_PERSISTENCE = NoPersistence()
