"""A real Kubernetes API server for the tests: the programs (build), their start and stop (server), its users."""

from tests.api.server import ADMIN, ApiServer

__all__ = ["ADMIN", "ApiServer"]
