# Private to the collection nodeward.calico: may change in any release.
"""What a member of etcd is asked: its API, its health and its metrics. Ids are hexadecimal, as etcdctl shows them.

The API is asked through the gateway, and by etcdctl where that is off: health and metrics are HTTP all the same.
Nothing here but put, lock and lease writes into the cluster's log; a list of alarms would as well
(server/etcdserver/v3_server.go Alarm), so alarms are read from the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from .._core.errors import NodewardError
from .._core.host import Host
from . import etcdctl
from .access import Access
from .etcdctl import Etcdctl
from .evidence import Evidence
from .gateway import Gateway, GatewayError
from .metrics import parse
from .version import Version, has_readyz
from .version import parse as parse_version

T = TypeVar("T")


@dataclass(frozen=True)
class MemberInfo:
    """One member as the cluster's own list has it."""

    id: str
    name: str
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False


@dataclass(frozen=True)
class Membership:
    """The cluster's list of members, as one member has it."""

    cluster_id: str
    asked: str
    members: tuple[MemberInfo, ...]

    @property
    def voters(self) -> list[MemberInfo]:
        return [member for member in self.members if not member.is_learner]


@dataclass(frozen=True)
class Status:
    """How a member stands. ``errors`` are its alarms and complaints; ``index`` the last entry that it knows of."""

    id: str
    version: Version
    leader: str
    term: int
    index: int
    applied: int
    db_size: int
    errors: tuple[str, ...] = ()
    is_learner: bool = False

    @property
    def is_leader(self) -> bool:
        return self.leader == self.id


class Etcd:
    """One member through the host port. All methods raise NodewardError where nobody answers, or not as expected."""

    def __init__(self, host: Host, access: Access, told: str = "") -> None:
        """Take our own member, or another one by an address that it tells clients."""
        self._host = host
        self._access = access
        self.url = access.reached(told) if told else access.client
        self._is_own = not told
        self._grpc = told or access.grpc or access.client
        self._way: Gateway | Etcdctl = Gateway(host, access, self.url)

    def other(self, url: str) -> Etcd:
        """Return another member of the cluster, asked with the same certificates."""
        return Etcd(self._host, self._access, url)

    def evidence(self) -> Evidence:
        """Return what the member's metrics say."""
        url = self._access.metrics if self._is_own and self._access.metrics else self.url
        answer = self._host.send_http(self._access.request(url, "/metrics"))
        if answer.status != 200:
            raise GatewayError(f"its metrics were answered with {answer.status}", url, 0)
        return Evidence.of(parse(answer.body), self._host.wall_clock())

    def trouble(self, version: Version) -> str:
        """Say why the member is not ready, '' where it is: a linearizable read goes through, no alarm stands."""
        url = self._access.metrics if self._is_own and self._access.metrics else self.url
        path = "/readyz" if has_readyz(version) else "/health"
        try:
            answer = self._host.send_http(self._access.request(url, path))
        except NodewardError as error:
            return f"{error.where}: {error.what}"
        if answer.status == 200 and '"false"' not in answer.body:
            return ""
        return f"{url}{path}: {answer.status} {' '.join(answer.body.split())[:200]}"

    def members(self) -> Membership:
        """Return the list of members, as this one has it."""
        return self._read("/v3/cluster/member/list", _membership)

    def status(self) -> Status:
        """Return how the member stands."""
        return self._read("/v3/maintenance/status", _status)

    def _read(self, path: str, shape: Callable[[Mapping[str, Any]], T]) -> T:
        """Make a call and read its answer; something else than etcd may listen at an address."""
        told = self.call(path, {})
        try:
            return shape(told)
        except (ValueError, TypeError, AttributeError) as error:
            raise GatewayError(f"{path} was answered with something that etcd does not say", self.url, 0) from error

    def move_leader(self, to: str) -> None:
        """Hand the leadership over; only the leader takes this."""
        self.call("/v3/maintenance/transfer-leadership", {"targetID": str(int(to, 16))}, patience=15.0)

    def call(self, path: str, body: Mapping[str, Any], patience: float = 5.0) -> dict[str, Any]:
        """Make one call, in the words of the gateway."""
        try:
            return self._way.call(path, body, patience)
        except GatewayError as error:
            if not error.is_off:
                raise
            self._way = etcdctl.instead(error, self._host, self._access, self._grpc)
            return self._way.call(path, body, patience)

    def save(self, path: str, size: int) -> None:
        """Write a snapshot of ``size`` bytes or so into a file, for root alone. Raises NodewardError, OSError."""
        self.status()  # a call tells which way there is
        self._way.save(path, size)


def _membership(told: Mapping[str, Any]) -> Membership:
    header = told.get("header") or {}
    return Membership(
        cluster_id=_hex(header.get("cluster_id")),
        asked=_hex(header.get("member_id")),
        members=tuple(
            MemberInfo(
                id=_hex(each.get("ID")),
                name=str(each.get("name") or ""),
                client_urls=_texts(each.get("clientURLs")),
                is_learner=bool(each.get("isLearner")),
            )
            for each in told.get("members") or []
        ),
    )


def _status(told: Mapping[str, Any]) -> Status:
    return Status(
        id=_hex((told.get("header") or {}).get("member_id")),
        version=parse_version(str(told.get("version", ""))),
        leader=_hex(told.get("leader")),
        term=int(told.get("raftTerm") or 0),
        index=int(told.get("raftIndex") or 0),
        applied=int(told.get("raftAppliedIndex") or 0),
        db_size=int(told.get("dbSize") or 0),
        errors=_texts(told.get("errors")),
        is_learner=bool(told.get("isLearner")),
    )


def _texts(told: object) -> tuple[str, ...]:
    if not isinstance(told, list) and told is not None:
        raise TypeError("it is no list")
    return tuple(each for each in told or () if isinstance(each, str))


def _hex(number: object) -> str:
    """Write an id as etcdctl does; 0 is nobody's."""
    text = str(number)
    return f"{int(text):x}" if text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) else ""
