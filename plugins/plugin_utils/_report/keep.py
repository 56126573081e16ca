# Private to the collection nodeward.calico: may change in any release.
"""Keep a report on the control machine: a dated file of each form, and the newest under its plain name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ...module_utils._core.files import make_folder, write_atomically
from . import junit, page

MODE = 0o644


def forms(model: Mapping[str, Any], fail_on: str) -> dict[str, str]:
    """Return the text of each form by the ending of its file."""
    return {
        "html": page.render(model),
        "json": json.dumps(model, indent=2, sort_keys=True, default=str) + "\n",
        "xml": junit.render(model, fail_on),
    }


def base_name(model: Mapping[str, Any]) -> str:
    """Return the name that the newest report of its kind has, without an ending."""
    return f"{model['kind']}{'-check' if model['check_mode'] else ''}"


def keep(model: Mapping[str, Any], folder: str, fail_on: str) -> dict[str, str]:
    """Write all forms and return the dated files by their endings. Raises OSError.

    A relative folder is below the one that Ansible was started in. It is shown whole: its reader may be elsewhere.
    """
    folder = os.path.abspath(folder)
    make_folder(folder)
    paths = {}
    for ending, text in forms(model, fail_on).items():
        name = base_name(model)
        paths[ending] = os.path.join(folder, f"{name}-{model['run']['time']}.{ending}")
        for path in (paths[ending], os.path.join(folder, f"{name}.{ending}")):
            write_atomically(path, text, MODE)
    return paths


def last_audit(folder: str) -> dict[str, Any] | None:
    """Return the newest audit of a folder, None where there is none that this release reads."""
    try:
        with open(os.path.join(folder, "audit.json"), encoding="utf-8") as stream:
            model = json.load(stream)
    except (OSError, ValueError):
        return None
    return model if isinstance(model, dict) and "cluster" in model else None
