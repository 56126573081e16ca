"""Prometheus and node-exporter as Debian packages them, for the tests of what is measured and when it calls."""
