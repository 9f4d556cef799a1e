# SPDX-License-Identifier: Apache-2.0
"""Cinder's chunked backup format: objects, manifest, compression, hashes."""
