# Private to the collection nodeward.calico: may change in any release.
"""Formats of files that we do not own, of which we set single keys."""

from __future__ import annotations

from . import env, env_switch, interfaces, keyfile, list_args, pod_flags, unit_flags, yaml_block
from .base import Format, UnsureError
from .several import several

__all__ = ["FORMATS", "Format", "UnsureError"]

# The names stand in journals: they stay the same between releases and hold no space.
FORMATS: dict[str, Format] = {
    "yaml": Format(yaml_block.get, yaml_block.put),
    "interfaces": Format(interfaces.get, interfaces.put),
    "keyfile": Format(keyfile.get, keyfile.put),
    "env-switch": Format(env_switch.get, env_switch.put),
    # several keys in one write
    "yaml-keys": several(Format(yaml_block.get, yaml_block.put)),
    "env": several(Format(env.get, env.put)),
    "unit-flags": several(Format(unit_flags.get, unit_flags.put)),
    "pod-flags": several(Format(pod_flags.get, pod_flags.put)),
    "list-args": several(Format(list_args.get, list_args.put)),
}
