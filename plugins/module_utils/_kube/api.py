# Private to the collection nodeward.calico: may change in any release.
"""An API server through kubernetes.core: the only file that imports it, and the Kubernetes client behind it."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Sequence
from typing import Any, Callable
from urllib.parse import quote

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

try:
    from kubernetes.client import ApiClient
    from kubernetes.client.exceptions import ApiException
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError
    from yaml import YAMLError

    _ERRORS: tuple[type[Exception], ...] = (ApiException, HTTPError)
    _UNREADABLE: tuple[type[Exception], ...] = (ValueError, TypeError, AttributeError, KeyError, YAMLError)
except ImportError:  # AnsibleK8SModule names what is missing, in the words people know
    _ERRORS = _UNREADABLE = ()

from .._core import http
from .._core.errors import NodewardError
from .client import MANAGER, ApiError
from .port import Item
from .rollout import Waiting

# What may come before the server says anything.
_UNREACHED: tuple[type[Exception], ...] = (OSError, *_ERRORS)

__all__ = ["AUTH_ARG_SPEC", "AnsibleK8SModule", "KubernetesApi", "NoAccessError", "carry_out", "connect"]

_TIMEOUT = (5, 60)  # seconds until connected, and for an answer
_USER = re.compile(r"//\S*@")
_PROBES = 3  # requests of which the shortest is the round trip


class NoAccessError(NodewardError):
    """Nothing says how to reach an API server."""


class KubernetesApi:
    """An API server, by paths and plain dictionaries (see port.Api)."""

    def __init__(self, request: Callable[..., Any], configuration: Any) -> None:
        self._request = request
        self._configuration = configuration
        self._server = str(configuration.host)  # which may have a password in it

    def get(self, path: str) -> dict[str, Any] | None:
        return self._read(path)

    def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        answer = self._read(path, [("labelSelector", selector)] if selector else [])
        return list((answer or {}).get("items") or [])

    def count(self, path: str) -> int | None:
        first = self._read(path, [("limit", "1")])
        if first is None:
            return None
        # before Kubernetes 1.16 nothing says how many are left
        metadata, here = first.get("metadata") or {}, len(first.get("items") or [])
        left = metadata.get("remainingItemCount")
        return len(self.items(path)) if metadata.get("continue") and left is None else here + int(left or 0)

    def _read(self, path: str, query: Sequence[tuple[str, str]] = ()) -> dict[str, Any] | None:
        try:
            return self._call("get", path, query=query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        return self._call("post", path, item, _as_us(dry_run))

    def replace(self, path: str, item: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        return self._call("put", path, item, _as_us(dry_run))

    def patch(self, path: str, operations: Sequence[Item], dry_run: bool) -> dict[str, Any]:
        how = {"content_type": "application/json-patch+json"}
        return self._call("patch", path, list(operations), _as_us(dry_run), **how)

    def delete(self, path: str, resource_version: str) -> None:
        try:
            self._call("delete", path, {"preconditions": {"resourceVersion": resource_version}})
        except ApiError as error:
            if error.status != 404:
                raise

    def token(self, namespace: str, account: str) -> str:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(account, safe='')}/token"
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
        return str(self._call("post", path, wanted)["status"]["token"])

    def try_token(self, path: str, token: str) -> int:
        """Ask as nobody but the token's account: the same way (authority, proxy, name), without what we are."""
        bare = copy.copy(self._configuration)
        bare.cert_file = bare.key_file = None
        try:
            # its pool: what is above it differs from release to release of the client, and adds who we are
            patience = Timeout(connect=_TIMEOUT[0], read=_TIMEOUT[1])
            pool, headers = ApiClient(bare).rest_client.pool_manager, {"Authorization": f"Bearer {token}"}
            answer = pool.request("GET", self._server + path, headers=headers, retries=False, timeout=patience)
            return int(answer.status)
        except _ERRORS as error:
            raise self._error("get", path, error) from error

    def text(self, path: str, patience: float) -> str:
        try:
            answer = self._request("get", path, serialize=False, _request_timeout=(_TIMEOUT[0], patience))
            return bytes(answer.data).decode("utf-8", "replace")
        except _ERRORS as error:
            raise self._error("get", path, error) from error

    def minor(self) -> int:
        digits = "".join(c for c in str((self.get("/version") or {}).get("minor")) if c.isdigit())
        return int(digits or 0)

    def round_trip(self) -> float:
        def once() -> float:
            begin = time.monotonic()
            self.get("/version")
            return time.monotonic() - begin

        return min(once() for _ in range(_PROBES))

    def _call(
        self, method: str, path: str, body: Any = None, query: Sequence[tuple[str, str]] = (), **how: str
    ) -> dict[str, Any]:
        try:
            answer = self._request(
                method, path, body=body, query_params=list(query), serialize=False, _request_timeout=_TIMEOUT, **how
            )
            told = json.loads(answer.data)
        except _ERRORS as error:
            raise self._error(method, path, error) from error
        except ValueError as error:
            raise ApiError(f"{method.upper()} was answered with something else than JSON", path, 0) from error
        if not isinstance(told, dict):
            raise ApiError(f"{method.upper()} was answered with something else than an object", path, 0)
        return told

    def _error(self, method: str, path: str, error: Any) -> NodewardError:
        status = getattr(error, "status", None)
        if not status:
            reason = _first_line(error).replace(self._server, http.place(self._server))
            return NodewardError(
                what=f"the API server was not reached for {method.upper()} {path} ({reason})",
                where=http.place(self._server),
                remedy="See that it runs and that the kubeconfig names it, then run again; what was done is not "
                "done twice",
            )
        message = _message(error)
        what = f"{method.upper()} was answered with {status}: {message}"
        if status == 403:
            return ApiError(
                what, path, status, remedy=f"Give the user {_right(method)} on it, or use another kubeconfig"
            )
        return ApiError(what, path, status)


def connect(module: Any = None, **access: Any) -> KubernetesApi:
    """Return the API server that a module's authentication options, K8S_AUTH_* or a kubeconfig name.

    Raises NoAccessError where nothing names one, NodewardError where it is not reached.
    """
    try:
        client = get_api_client(module, **access)
    except CoreException as error:
        raise NoAccessError(
            what=_first_line(error),
            where="kubeconfig",
            remedy="Name one in K8S_AUTH_KUBECONFIG or in the option kubeconfig",
        ) from error
    except _UNREACHED as error:
        raise NodewardError(
            what=f"the API server was not reached ({_first_line(error)})",
            where="kubeconfig",
            remedy="See that it runs and that the kubeconfig names it, then run again",
        ) from error
    except _UNREADABLE as error:  # whatever the client trips over in a file that is no kubeconfig
        raise NodewardError(
            what=f"it cannot be read ({type(error).__name__})",
            where="kubeconfig",
            remedy="Give a kubeconfig that works with kubectl --kubeconfig",
        ) from error
    return KubernetesApi(client.client.request, client.configuration)


def _as_us(dry_run: bool) -> list[tuple[str, str]]:
    return [("fieldManager", MANAGER), *([("dryRun", "All")] if dry_run else [])]


def _right(method: str) -> str:
    verb = {"post": "create", "put": "update"}.get(method, method)
    return f'the verb "{verb}"' if verb != "get" else 'the verbs "get" and "list"'


def _message(error: Any) -> str:
    body = getattr(error, "body", b"")
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(getattr(error, "reason", "") or "no reason given")


def _first_line(error: BaseException) -> str:
    """Return what an error says, without user and password of an address in it, which may hold any character."""
    return _USER.sub("//", (str(error).splitlines() or [type(error).__name__])[0])[:300]


def carry_out(module: Any, run: Callable[..., dict[str, Any]]) -> None:
    """Run what a module does with an API server, and leave with its result or its error."""
    # AnsibleK8SModule has no log of its own
    waiting = Waiting(module.params["pod_timeout"], module._module.log)  # noqa: SLF001
    try:
        module.exit_json(**run(connect(module), module.params, module.check_mode, waiting))
    except NodewardError as error:
        module.fail_json(msg=str(error))
