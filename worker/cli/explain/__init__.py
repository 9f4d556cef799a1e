# SPDX-License-Identifier: Apache-2.0
"""holdfast explain: find a subject by its id, and print the document about it."""
