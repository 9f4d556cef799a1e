# SPDX-License-Identifier: Apache-2.0
"""Files for monitors, made from the metrics: rules for alerts, and a dashboard."""
