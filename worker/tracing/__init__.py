# SPDX-License-Identifier: Apache-2.0
"""Traces of operations: spans, their context in messages, and their way to a collector.

:mod:`worker.tracing.traces` is what the rest of the worker calls; it imports nothing of
OpenTelemetry. :mod:`worker.tracing.tracer` does, and is imported only where traces are on.
"""
