# Private to the collection nodeward.calico: may change in any release.
"""What the timer of the trap cni_token runs on a node: write the token's life for node-exporter.

Moments, and no ages: what was written is still true when the next turn is late. The token itself is never written.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from .._core.errors import NodewardError
from .._kube import kubeconfig
from .._kube.service_account_token import Token, decoded

MODE = 0o644  # node-exporter has a user of its own


def main(arguments: Sequence[str]) -> int:
    """Read the kubeconfig and write the metrics, two paths; returns the exit status. Its output is the log.

    It has failed where it could not write: that no token can be read is what it tells.
    """
    source, target = arguments
    try:
        token = decoded(kubeconfig.read(source, _text).token or "")
    except (NodewardError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        token = None
    try:
        _write(target, metrics(token))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def metrics(token: Token | None) -> str:
    """Return them as node-exporter's textfile collector reads them; None where no token could be read.

    A token that says nothing of its end, as that of a secret, has none.
    """
    values = {
        "usable": float(token is not None),
        "issued_timestamp_seconds": token.issued if token else None,
        "expires_timestamp_seconds": token.expires if token else None,
    }
    told = {f"nodeward_cni_token_{name}": value for name, value in values.items() if value is not None}
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in told.items())


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: str, text: str) -> None:
    """Write a file whole, in a folder that somebody else may own. Raises OSError."""
    staged = f"{path}.new"  # node-exporter reads *.prom alone
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE), "w") as file:
        file.write(text)
    os.replace(staged, path)
