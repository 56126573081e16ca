"""An option stands in the trap, in the modules' documentation, in its role and in the role node: in all or in none."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import BY_DEFAULT, CONSENTS
from ansible_collections.nodeward.calico.plugins.module_utils._kube import (
    calico_mtu,
    calico_probes,
    cni_token,
    kubelet_config_map,
    process_metrics,
)
from ansible_collections.nodeward.calico.plugins.module_utils._kube.traps import ACCESS, CLUSTER_TRAPS
from ansible_collections.nodeward.calico.plugins.module_utils._node import paths
from ansible_collections.nodeward.calico.plugins.module_utils._node.traps import (
    CLUSTER_TAGS,
    TRAPS,
    acting_spec,
    argument_spec,
)

ROOT = Path(__file__).parents[2]
MODULES = {"node": {**argument_spec(), **acting_spec()}, "node_info": {**argument_spec(), **paths.OPTIONS}}
FACETS = ("type", "elements", "default", "required", "choices", "aliases", "no_log")
# Options of the modules that belong to the run, not to a trap.
OF_THE_RUN = {"tags": "node_tags", "skip_tags": "node_skip_tags"}
OF_ACTING = {"state": "node_state", "allow": "node_allow", "plan": "node_plan"}


def documentation(path: Path, name: str = "DOCUMENTATION") -> dict[str, Any]:
    """Read DOCUMENTATION, or another part of a fragment, without importing anything of Ansible."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            text = ast.literal_eval(statement.value)
            assert isinstance(text, str)
            return load(text)
    pytest.fail(f"{path} has no {name}")


def load(text: str) -> dict[str, Any]:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def documented_options(module: str) -> dict[str, Any]:
    """Return the options of a module and of its fragments in this collection."""
    page = documentation(ROOT / f"plugins/modules/{module}.py")
    options: dict[str, Any] = dict(page.get("options", {}))
    ours = "nodeward.calico."
    for fragment in page.get("extends_documentation_fragment", []):
        if fragment.startswith(ours):
            name, _dot, part = fragment.removeprefix(ours).partition(".")
            shared = documentation(ROOT / f"plugins/doc_fragments/{name}.py", part.upper() or "DOCUMENTATION")
            assert not options.keys() & shared["options"].keys(), "said twice"
            options |= shared["options"]
    return options


def facets(options: dict[str, Any], nested: str) -> dict[str, Any]:
    """Keep what Ansible acts on, with its own defaults filled in."""
    return {
        name: {
            **{facet: option.get(facet) for facet in FACETS},
            "type": option.get("type", "str"),
            "required": option.get("required", False),
            "options": facets(option.get(nested) or {}, nested),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_documented_as_it_is(module):
    assert facets(documented_options(module), "suboptions") == facets(MODULES[module], "options")


# The modules of the cluster, with the options of their own.
CLUSTER_MODULES = {
    "kubelet_config_map": kubelet_config_map.ARGUMENTS,
    "calico_mtu": calico_mtu.ARGUMENTS,
    "calico_probes": calico_probes.ARGUMENTS,
    "cni_token": cni_token.ARGUMENTS,
    "process_metrics": process_metrics.ARGUMENTS,
}


@pytest.mark.parametrize("module", CLUSTER_MODULES)
def test_a_module_of_the_cluster_is_documented_as_it_is(module):
    assert facets(documented_options(module), "suboptions") == facets(CLUSTER_MODULES[module], "options")


@pytest.mark.parametrize("trap", CLUSTER_TRAPS)
def test_the_role_of_a_cluster_s_trap_passes_every_option_on_and_documents_it(trap):
    spec = CLUSTER_TRAPS[trap]
    options = {option: f"{trap}_{option}" for option in spec.options}
    [word] = spec.allows
    allow = f"{{{{ ['{word}'] if {trap}_allow_{word} | default(false) | bool else [] }}}}"
    access = {name: f"{trap}_{name}" for name in ACCESS if name != "host"}
    state = {} if trap == "cni_token" else {"state": f"{trap}_state"}  # a pod that was replaced has no way back
    expected = passed_on(options | state | access) | {"allow": allow}
    if trap == "calico_mtu":  # what link_mtu saw, unless it is given
        seen = "ansible_play_hosts_all | nodeward.calico.uplinks(hostvars)"
        expected["uplinks"] = f"{{{{ calico_mtu_uplinks | default({seen}) }}}}"
    if trap == "cni_token":
        tokens = "(ansible_play_hosts_all | nodeward.calico.stale_tokens(hostvars)).refused | length"
        expected["seen"] = "{{ hostvars[inventory_hostname] | nodeward.calico.token_facts }}"
        expected["refused"] = f"{{{{ {tokens} }}}}"
    assert module_task(f"roles/{trap}/tasks/{spec.tasks}.yml", trap) == expected
    documented = entry_points(trap)[spec.tasks]["options"]
    assert list(documented) == [
        *options.values(), *state.values(), f"{trap}_allow_{word}", *(f"{trap}_{name}" for name in ACCESS),
    ]  # fmt: skip
    for option, variable in options.items():
        for facet in ("type", "elements", "choices"):
            assert documented[variable].get(facet, "str" if facet == "type" else None) == spec.options[option].get(
                facet
            ), f"{variable}: {facet}"
        assert "default" not in documented[variable], variable
    assert not (ROOT / f"roles/{trap}/defaults").exists()


@pytest.mark.parametrize("trap", CLUSTER_TRAPS)
def test_a_trap_of_the_cluster_has_a_page_that_names_every_variable(trap):
    page = (ROOT / f"docs/{trap}.md").read_text()
    assert [option for option in CLUSTER_TRAPS[trap].options if f"`{trap}_{option}`" not in page] == []
    assert f"docs/{trap}.md" in (ROOT / "README.md").read_text()


def test_the_policies_have_the_options_as_fields():
    for name, trap in TRAPS.items():
        assert list(trap.Policy.__dataclass_fields__) == list(trap.OPTIONS), name


def tasks(path: str) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((ROOT / path).read_text())
    assert isinstance(loaded, list)
    return loaded


def module_task(path: str, module: str) -> dict[str, Any]:
    (arguments,) = [task[f"nodeward.calico.{module}"] for task in tasks(path) if f"nodeward.calico.{module}" in task]
    assert isinstance(arguments, dict)
    return arguments


def passed_on(names: dict[str, str]) -> dict[str, str]:
    return {option: f"{{{{ {variable} | default(omit) }}}}" for option, variable in names.items()}


def variables(trap: str) -> dict[str, str]:
    return {option: f"{trap}_{option}" for option in TRAPS[trap].OPTIONS}


def has_own_state(trap: str) -> bool:
    """Tell whether a trap can be absent, which is the way back of its role: TRAP_state then says that."""
    return "state" in TRAPS[trap].OPTIONS


def entry_points(role: str) -> dict[str, Any]:
    specs = load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())["argument_specs"]
    assert isinstance(specs, dict)
    return specs


# cni_token is a trap of both: its role is that of the cluster's part.
NODE_ROLES = [trap for trap in TRAPS if trap not in CLUSTER_TRAPS or CLUSTER_TRAPS[trap].tasks != "main"]


def test_the_traps_of_the_cluster_have_tags_of_their_own():
    assert set(CLUSTER_TAGS) == set(CLUSTER_TRAPS) - set(TRAPS)


@pytest.mark.parametrize("trap", NODE_ROLES)
def test_the_role_of_a_trap_passes_every_option_on(trap):
    allowed = ", ".join(f"'{word}': {trap}_allow_{word} | default(false) | bool" for word in TRAPS[trap].ALLOWS)
    words = f"{{{{ {{{allowed}}} | dict2items | selectattr('value') | map(attribute='key') }}}}"
    consent = {"allow": words} if allowed else {}
    state = {} if has_own_state(trap) else {"state": f"{{{{ {trap}_state | default(omit) }}}}"}
    expected = {trap: passed_on(variables(trap)), **state, **consent}
    assert module_task(f"roles/{trap}/tasks/main.yml", "node") == expected


@pytest.mark.parametrize("trap", NODE_ROLES)
def test_the_role_of_a_trap_documents_every_variable(trap):
    documented = entry_points(trap)["main"]["options"]
    consents = [f"{trap}_allow_{word}" for word in TRAPS[trap].ALLOWS]
    state = [] if has_own_state(trap) else [f"{trap}_state"]
    assert list(documented) == [*variables(trap).values(), *state, *consents]
    assert all(documented[consent]["type"] == "bool" for consent in consents)
    if not has_own_state(trap):
        assert documented[f"{trap}_state"]["choices"] == acting_spec()["state"]["choices"]
    for option, variable in variables(trap).items():
        spec, said = TRAPS[trap].OPTIONS[option], documented[variable]
        for facet in ("type", "elements", "choices"):
            assert said.get(facet) == spec.get(facet), f"{variable}: {facet}"
        assert "default" not in said, f"{variable}: the default stands in the module's spec alone"
        assert said["description"], variable


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_s_role_sets_no_default(trap):
    assert not (ROOT / f"roles/{trap}/defaults").exists()


def test_the_role_node_gives_every_trap_all_its_variables():
    given = load((ROOT / "roles/node/vars/main.yml").read_text())
    assert {name: given[f"_node_{name}"] for name in TRAPS} == {name: passed_on(variables(name)) for name in TRAPS}


@pytest.mark.parametrize(("entry", "module"), [("main", "node"), ("audit", "node_info")])
def test_the_role_node_passes_every_trap_and_the_tags_of_the_run(entry, module):
    traps = {name: f"{{{{ _node_{name} }}}}" for name in TRAPS}
    names = OF_THE_RUN | (OF_ACTING if module == "node" else {})
    assert module_task(f"roles/node/tasks/{entry}.yml", module) == passed_on(names) | traps
    documented = entry_points("node")[entry]["options"]
    assert set(documented) == set(names.values())
    for option, variable in names.items():
        spec = MODULES[module][option]
        for facet in ("type", "elements", "choices"):
            assert documented[variable].get(facet) == spec.get(facet)


def test_every_option_of_the_modules_is_a_trap_or_of_the_run():
    assert set(argument_spec()) == set(TRAPS) | set(OF_THE_RUN)
    assert set(acting_spec()) == set(OF_ACTING)


def test_every_consent_of_a_trap_is_a_word_that_is_known():
    words = {word for trap in TRAPS.values() for word in trap.ALLOWS}
    assert words | {word for trap in CLUSTER_TRAPS.values() for word in trap.allows} <= set(CONSENTS)


def test_the_consents_that_are_given_by_default_are_those_of_the_playbooks_and_of_the_page():
    parts = "".join((ROOT / f"playbooks/parts/{part}.yml").read_text() for part in ("etcd", "calico"))
    given = re.findall(r"\w+", " ".join(re.findall(r"harden_allow \| default\(\[(.*?)\]\)", parts)))
    assert given == list(BY_DEFAULT)
    [said] = re.findall(r"Where `harden_allow` is not set, (.*?) are allowed", (ROOT / "docs/consent.md").read_text())
    assert re.findall(r"`(\w+)`", said) == given
