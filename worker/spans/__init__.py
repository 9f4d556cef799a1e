# SPDX-License-Identifier: Apache-2.0
"""Traces of operations: spans, their context in messages, and their way to a collector.

:mod:`worker.spans.traces` is what the rest of the worker calls; it imports nothing of
OpenTelemetry. :mod:`worker.spans.tracer` does, and is imported only where traces are on.
"""
