"""An option stands in the trap, in the modules' documentation, in its role and in the role node: in all or in none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._node.run import TRAPS, argument_spec

ROOT = Path(__file__).parents[2]
MODULES = ("node", "node_info")
FACETS = ("type", "elements", "default", "required", "choices", "aliases", "no_log")
# Options of the modules that belong to the run, not to a trap.
OF_THE_RUN = {"tags": "node_tags", "skip_tags": "node_skip_tags"}


def documentation(path: Path) -> dict[str, Any]:
    """Read DOCUMENTATION without importing anything of Ansible."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DOCUMENTATION":
            text = ast.literal_eval(statement.value)
            assert isinstance(text, str)
            return load(text)
    pytest.fail(f"{path} has no DOCUMENTATION")


def load(text: str) -> dict[str, Any]:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def documented_options(module: str) -> dict[str, Any]:
    """Return the options of a module and of its fragments."""
    page = documentation(ROOT / f"plugins/modules/{module}.py")
    options: dict[str, Any] = dict(page.get("options", {}))
    for fragment in page["extends_documentation_fragment"]:
        name = fragment.removeprefix("nodeward.calico.")
        options |= documentation(ROOT / f"plugins/doc_fragments/{name}.py")["options"]
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
    assert facets(documented_options(module), "suboptions") == facets(argument_spec(), "options")


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


def entry_points(role: str) -> dict[str, Any]:
    specs = load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())["argument_specs"]
    assert isinstance(specs, dict)
    return specs


@pytest.mark.parametrize("trap", TRAPS)
def test_the_role_of_a_trap_passes_every_option_on(trap):
    assert module_task(f"roles/{trap}/tasks/main.yml", "node") == {trap: passed_on(variables(trap))}


@pytest.mark.parametrize("trap", TRAPS)
def test_the_role_of_a_trap_documents_every_variable(trap):
    documented = entry_points(trap)["main"]["options"]
    assert list(documented) == list(variables(trap).values())
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
    assert module_task(f"roles/node/tasks/{entry}.yml", module) == passed_on(OF_THE_RUN) | traps
    documented = entry_points("node")[entry]["options"]
    assert set(documented) == set(OF_THE_RUN.values())
    for option, variable in OF_THE_RUN.items():
        spec = argument_spec()[option]
        assert (documented[variable]["type"], documented[variable]["elements"]) == (spec["type"], spec["elements"])


def test_every_option_of_the_modules_is_a_trap_or_of_the_run():
    assert set(argument_spec()) == set(TRAPS) | set(OF_THE_RUN)
