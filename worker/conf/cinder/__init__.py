# SPDX-License-Identifier: Apache-2.0
"""What becomes of a ``cinder.conf`` here: each option of Cinder, and what it means to us.

``options.json`` has the facts, as Cinder lists them; ``elsewhere``, ``otherwise`` and
``refused`` have our judgement of each; ``review`` applies them to files.
"""
