# Private to the collection nodeward.calico: may change in any release.
"""What is wrong with a rule."""

from __future__ import annotations


class RuleError(Exception):
    """A rule that cannot be used; the message names its file, itself and what to do."""
