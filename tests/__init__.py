"""The tests of nodeward.calico; a package, so that no other `tests` on the path is taken for it."""
