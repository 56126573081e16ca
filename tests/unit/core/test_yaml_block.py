"""One key of a YAML file, with PyYAML as the judge."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError, yaml_block
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats.yaml_lines import parse, scalars
from hypothesis import assume, given, reject
from hypothesis import strategies as st

# As kubeadm writes it, shortened, with what people add.
KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
# the cluster's own
clusterDNS:
- 10.96.0.10
clusterDomain: "cluster.local"   # as the other one
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
evictionHard: {memory.available: "5%", 'nodefs.available': "10%"}
kind: KubeletConfiguration
logging:
  options:
    json:
      infoBufferSize: "0"
registerWithTaints:
- effect: NoSchedule
  key: node-role.kubernetes.io/control-plane
-   effect: NoExecute
    key: "x"
tlsCipherSuites: [A, "B, c"]
podPidsLimit: -1 # no limit
maxPods:   110
systemReserved:
  # for sshd too
  cpu: 200m
  memory: '512Mi'

volumeStatsAggPeriod: 0s
"""


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return what went and what came, by the lines."""
    old, new = before.split("\n"), after.split("\n")
    return [line for line in old if line not in new], [line for line in new if line not in old]


PUTS: list[tuple[str, str, str | None, tuple[list[str], list[str]]]] = [
    ("a number, its comment kept", "podPidsLimit", "4096",
     (["podPidsLimit: -1 # no limit"], ["podPidsLimit: 4096 # no limit"])),
    ("blanks kept", "maxPods", "250", (["maxPods:   110"], ["maxPods:   250"])),
    ("quoted", "clusterDomain", '"x"', (['clusterDomain: "cluster.local"   # as the other one'],
                                        ['clusterDomain: "x"   # as the other one'])),
    ("a new key", "podsPerCore", "5", ([], ["podsPerCore: 5"])),
    ("a key of a mapping", "systemReserved.memory", "1Gi", (["  memory: '512Mi'"], ["  memory: 1Gi"])),
    ("a new key of a mapping", "systemReserved.pid", '"1024"', ([], ['  pid: "1024"'])),
    ("a new mapping", "kubeReserved.pid", '"1024"', ([], ["kubeReserved:", '  pid: "1024"'])),
    ("a name with dots", "featureGates.a.b", "true", ([], ["featureGates:", "  a.b: true"])),
    ("removed", "maxPods", None, (["maxPods:   110"], [])),
    ("one of a mapping removed", "systemReserved.cpu", None, (["  cpu: 200m"], [])),
    ("what is not there removed", "kubeReserved.pid", None, ([], [])),
    ("as it is", "maxPods", "110", ([], [])),
]  # fmt: skip


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(("key", "value", "wanted"), [case[1:] for case in PUTS], ids=[case[0] for case in PUTS])
def test_one_key_is_put(key, value, wanted, ending):
    before = KUBEADM.replace("\n", ending)
    after = yaml_block.put(before, key, value)
    assert changed_lines(KUBEADM, after.replace("\r\n", "\n")) == wanted
    assert after.count("\r") == (after.count("\n") if ending == "\r\n" else 0)
    assert yaml_block.get(after, key) == value
    assert yaml_block.put(after, key, yaml_block.get(before, key)).replace(ending, "\n").split("\n") != []


GETS: list[tuple[str, str, str | None]] = [
    ("a number", "maxPods", "110"),
    ("before a comment", "podPidsLimit", "-1"),
    ("as it is written", "clusterDomain", '"cluster.local"'),
    ("empty, quoted", "containerRuntimeEndpoint", '""'),
    ("of a mapping", "systemReserved.memory", "'512Mi'"),
    ("not there", "pid", None),
    ("not there, in a mapping", "systemReserved.pid", None),
    ("no mapping there", "kubeReserved.pid", None),
    ("deeper ones do not count", "enabled", None),
]


@pytest.mark.parametrize(("key", "value"), [case[1:] for case in GETS], ids=[case[0] for case in GETS])
def test_one_key_is_got(key, value):
    assert yaml_block.get(KUBEADM, key) == value


UNSURE: list[tuple[str, str, str, int]] = [
    ("JSON", '{"podPidsLimit": 5}', "JSON", 1),
    ("JSON, indented", '\n{\n "podPidsLimit": 5}', "JSON", 2),
    ("nothing", "", "holds nothing", 1),
    ("comments only", "# a\n", "holds nothing", 1),
    ("a tab before a key", "a:\n\tb: 1\n", "tab", 2),
    ("a tab behind a key", "a:\t1\n", "tab", 1),
    ("two documents", "a: 1\n---\nb: 1\n", "documents", 2),
    ("two beginnings", "---\n---\na: 1\n", "documents", 2),
    ("an end", "a: 1\n...\n", "documents", 2),
    ("a directive", "%YAML 1.2\n---\na: 1\n", "directive", 1),
    ("text behind the beginning", "--- a\n", "documents", 1),
    ("an anchor", "a: &x 1\n", "anchor", 1),
    ("an alias", "a: *x\n", "alias", 1),
    ("a tag", "a: !!int 1\n", "tag", 1),
    ("a merge", "a:\n  <<: *b\n", "neither", 2),
    ("given twice", "podPidsLimit: 1\nb: 2\npodPidsLimit: 3\n", "podPidsLimit is given twice", 3),
    ("given twice, quoted", "a: 1\n'a': 3\n", "given twice", 2),
    ("given twice, deeper", "a:\n  b: 1\n  b: 2\n", "a.b is given twice", 3),
    ("flow style at the place", "a: 1\nsystemReserved: {cpu: 1}\n", "systemReserved is no mapping", 2),
    ("null at the place", "systemReserved:\na: 1\n", "systemReserved is no mapping", 1),
    ("a word at the place", "systemReserved: null\n", "systemReserved is no mapping", 1),
    ("a list at the place", "systemReserved:\n- pid\n", "systemReserved is a list", 1),
    ("a mapping as the key", "podPidsLimit:\n  a: 1\n", "podPidsLimit has no value that is one word", 1),
    ("nothing as the key", "podPidsLimit:\n", "podPidsLimit has no value", 1),
    ("a list as the key", "podPidsLimit: [1]\n", "podPidsLimit has no value", 1),
    ("a text as the key", "podPidsLimit: |\n  1\n", "podPidsLimit has no value", 1),
    ("a list over several lines", "a: [1,\n  2]\n", "does not end on this line", 1),
    ("a mapping over several lines that looks like ours", "a: {b: 1,\npodPidsLimit: 5}\n", "does not end", 1),
    ("quotes over several lines", 'a: "1\n  2"\n', "unended quotes", 1),
    ("words over several lines", "a: one\n  two\n", "neither", 2),
    ("words that look like a key", "a: one\n  b: two\n", "indentation", 2),
    ("words on the next line", "a:\n  one\n", "neither", 2),
    ("indented", " a: 1\n", "indented", 1),
    ("indented less", "a:\n    b: 1\n  c: 2\n", "indentation", 3),
    ("indented more", "a: 1\n  c: 2\n", "indentation", 2),
    ("a list among keys", "a: 1\n- b\n", "indentation", 2),
    ("a key among items", "- b\na: 1\n", "indentation", 2),
    ("a question", "? a\n: b\n", "neither", 1),
    ("two colons", "a: b: c\n", "colon", 1),
    ("a colon at the end", "a: b:\n", "colon", 1),
    ("more behind quotes", 'a: "b" c\n', "follows", 1),
    ("brackets that do not fit", "a: [b}\n", "does not end", 1),
    ("quotes in brackets", "a: [it's]\n", "does not end", 1),
    ("a comment in brackets", "a: [b #]\n", "does not end", 1),
    ("an indented text with less", "a: |\n    x\n  y\n", "indented less", 3),
    ("an indicator of indentation", "a: |2\n    x\n", "follows", 1),
    ("not YAML at all", "[Unit]\nDescription=x\n", "JSON, or YAML in flow", 1),
    ("words", "Lorem ipsum\n", "neither", 1),
    ("a lone carriage return", "a: 1\rb: 2\n", "'\\r'", 1),
    ("another line's end", "a: 1\nb: \u2028c: 3\n", "'\\u2028'", 2),
    ("a byte order mark", "\ufeffa: 1\n", "'\\ufeff'", 1),
    ("bytes that are no text", "a: 1\r\nb: \udcff\n", "'\\udcff'", 2),
    ("NUL", "a: \0\n", "'\\x00'", 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told", "line"), [case[1:] for case in UNSURE], ids=[case[0] for case in UNSURE])
def test_what_it_is_not_sure_of_is_named_with_its_line(text, told, line):
    key = "systemReserved.pid" if "systemReserved" in text else "podPidsLimit"
    with pytest.raises(UnsureError) as unsure:
        yaml_block.get(text, key)
    assert told in str(unsure.value)
    assert str(unsure.value).startswith(f"line {line}: ")


BAD_VALUES = ["1\n2", "a: b", "'", "[1]", "", "1 # c", " 1", "|", "*a"]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_that_is_none_is_not_written(value):
    with pytest.raises(UnsureError):
        yaml_block.put("a: 1\n", "b", value)


def test_a_text_at_the_very_end_without_a_line_end_is_left_alone():
    with pytest.raises(UnsureError, match="line 2: the last line, a part of some text"):
        yaml_block.put("a: |+\n  text", "b", "1")


def test_scalars_by_their_path():
    assert scalars("a:\n- b: 'it''s'\n  c: \"x\\\"y\\n\"\n- - d\nt: |\n  x\nl: [1]\n") == {
        ("a", 0, "b"): "it's",
        ("a", 0, "c"): 'x"y\n',
        ("a", 1, 0): "d",
        ("l",): "[1]",
    }


# --- any file -----------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,5}", fullmatch=True)
words = st.integers() | st.booleans() | st.none() | st.text("ab: -#'\"{1.", max_size=12) | st.sampled_from(
    ["a: b", "# c", "- d", "x #y", "it's", "two\nlines\n", "\n", "1024", "on", "~", "{}", "a\n\n\n", " b"]
)  # fmt: skip
values = st.recursive(
    words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
# Not all of what it raises on a text is a YAMLError.
PYYAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError)
mappings = st.dictionaries(names, values, min_size=1, max_size=6)
KEYS = ("podPidsLimit", "systemReserved.pid")


# What a careless reader would take for keys.
TEXTS = ["", "zz: |\n  podPidsLimit: 1\n\n  # x\n", "zz:\n- |+\n    systemReserved:\n      pid: 1\n\n\n"]


@st.composite
def files(draw: st.DrawFn, with_keys: bool = False) -> str:
    """Any mapping as PyYAML writes it in one of its ways, with comments, blank lines and texts between."""
    data, keys = draw(mappings), st.just(True) if with_keys else st.booleans()
    if draw(keys):
        data = {**data, "podPidsLimit": draw(st.integers())}
    if draw(keys):
        names_within = st.lists(st.sampled_from(["cpu", "x.y"]), unique=True, min_size=0 if with_keys else 1)
        within = dict.fromkeys([*draw(names_within), *(["pid"] if draw(keys) else [])], 1)
        data = {**data, "systemReserved": within}
    text = yaml.dump(
        dict(draw(st.permutations(list(data.items())))),
        sort_keys=False,
        default_flow_style=draw(st.sampled_from([False, False, False, None])),
        indent=draw(st.sampled_from([2, 4])),
        width=10**6,
    )
    lines = text.split("\n")
    for _each in range(draw(st.integers(0, 3))):
        line = draw(st.sampled_from(["# podPidsLimit: 1", "", "    # x", "  "]))
        lines.insert(draw(st.integers(0, len(lines) - 1)), line)
    text = "\n".join(lines) + draw(st.sampled_from(TEXTS))
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def with_key(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    mapping, _dot, name = key.partition(".")
    return {**data, mapping: {**data.get(mapping, {}), name: value} if name else value}


@given(files(), st.sampled_from(KEYS), st.integers(-1, 10**6))
def test_putting_changes_that_key_only_and_can_be_taken_back(text, key, value):
    try:
        data = yaml.safe_load(text)
        before = yaml_block.get(text, key)
        after = yaml_block.put(text, key, str(value))
    except (UnsureError, *PYYAML_ERRORS):
        reject()
    assert yaml.safe_load(after) == with_key(data, key, value)
    assert yaml_block.get(after, key) == str(value)
    assert yaml_block.put(after, key, before) == text
    went, came = changed_lines(text.replace("\r", ""), after.replace("\r", ""))
    assert len(went) <= 1
    assert len(came) <= 2


@given(files(with_keys=True), st.sampled_from(KEYS))
def test_removing_removes_that_key_only(text, key):
    try:
        data = yaml.safe_load(text)
        before = yaml_block.get(text, key)
        assume(before is not None)
        after = yaml_block.put(text, key, None)
    except (UnsureError, *PYYAML_ERRORS):
        reject()
    mapping, _dot, name = key.partition(".")
    rest = {k: v for k, v in data[mapping].items() if k != name} if name else {}
    assert (yaml.safe_load(after) or {}) == {**{k: v for k, v in data.items() if k != mapping}} | (
        {mapping: rest} if rest else {}
    )


@given(mappings)
def test_what_pyyaml_writes_on_lines_is_understood_and_means_the_same(data):
    """Not refused without need, and every scalar that is text on one line reads as PyYAML reads it."""
    text = yaml.dump(data, default_flow_style=False, width=10**6)
    assume("? " not in text and "\\" not in text)
    assume(not re.search(r"""['"][^'"]*\n""", text))  # quotes over several lines
    for path, value in scalars(text).items():
        node = yaml.safe_load(text)
        for part in path:
            node = node[part]
        if isinstance(node, str):
            assert value == node


hostile = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
near_misses = st.text(alphabet="ab:- #\n\r\t[]{}'\"|>&*!?%.1", max_size=40)


@given(hostile | near_misses)
def test_whatever_it_understands_means_the_same_to_pyyaml(text):
    """No other error than UnsureError, and no key is seen where PyYAML sees another one, or none."""
    try:
        entries = parse(text)
    except UnsureError:
        return
    try:
        data = yaml.safe_load(text)
    except PYYAML_ERRORS:
        return  # the kubelet would not have started with it
    assert bool(entries) == (data is not None)
    top = [entry.path[0] for entry in entries if len(entry.path) == 1]
    assert len(top) == len(data or {})
