"""A preset with one thing broken loads, or is refused in one clear line, never anything else."""

from __future__ import annotations

import copy
import json
import tomllib
from importlib import resources

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apportion.core.errors import ScenarioError
from apportion.sim.scenario import examine, load_scenario, preset_names, scenario_from_dict

PRESETS = {
    name: tomllib.loads((resources.files("apportion.sim.scenario") / "presets" / f"{name}.toml").read_text())
    for name in preset_names()
}
for _plain in PRESETS.values():  # keys that no preset has
    _plain["centers"][0]["partitions"] = [
        {"PartitionName": "batch", "Procs": 64},
        {"PartitionName": "long", "Procs": 8},
    ]
    _plain["broker"]["Policy"] = {
        "Order": "multifactor",
        "accounts": [{"Account": "a"}, {"Account": "b", "Parent": "a"}],
    }
    _plain["broker"]["weights"] = {"start": 2.0, "carbon": 10}
    _plain["failures"] = [{"Center": _plain["centers"][0]["Center"], "Kind": "network", "MTBF": "30-0"}]

names = st.sampled_from(
    ["North", "Theta", "LPC", "Nowhere", "", "a/b", "x" * 300, "events", "easy", "synthetic", "root", "b"]
)
scalars = st.one_of(
    names,
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.just(10**400),
    st.sampled_from(["-1Gbit/s", "0B", "9" * 400 + "TB", "1e9 years", "now", "1969-01-01", "99999-0", "Mars/Olympus"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | names, inner, max_size=3),
    max_leaves=5,
)


def places(value, at=()):
    """Every place in plain data, the whole left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def opposite(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"-{value}"
    return -value


def broken(data):
    """A preset in which one thing is deleted, retyped, negated, renamed or doubled."""
    whole = copy.deepcopy(PRESETS[data.draw(st.sampled_from(sorted(PRESETS)))])
    *way, key = data.draw(st.sampled_from(sorted(places(whole), key=repr)))
    holder = whole
    for part in way:
        holder = holder[part]
    how = data.draw(st.sampled_from(["delete", "retype", "retype", "negate", "rename", "double"]))
    if how == "delete":
        del holder[key]
    elif how == "negate":
        holder[key] = opposite(holder[key])
    elif how == "double" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif how == "rename" and isinstance(holder, dict):
        holder[
            data.draw(st.sampled_from([f"{key}s", key[:-1], key.upper(), "Name", "Procs"]) | st.text(max_size=8))
        ] = holder.pop(key)
    else:
        holder[key] = data.draw(values)
    return whole


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_broken_preset_loads_or_is_refused_in_one_line(data):
    whole = broken(data)
    scenario, refusal = None, None
    try:
        scenario = scenario_from_dict(whole)
    except ScenarioError as error:
        refusal = error
    if scenario is not None:
        assert json.dumps(scenario.canonical(), allow_nan=False)
        assert scenario_from_dict(scenario.canonical()).hash == scenario.hash
        return
    assert refusal.problem
    assert refusal.remedy
    assert "\n" not in str(refusal)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_one_line_broken_says_where(tmp_path, data):
    """Whatever line of a file is cut, doubled or changed; each fault of values and keys has a line."""
    text = (resources.files("apportion.sim.scenario") / "presets" / "three-small.toml").read_text()
    lines = text.splitlines()
    k = data.draw(st.sampled_from([k for k, line in enumerate(lines) if line and not line.startswith("#")]))
    how = data.draw(st.sampled_from(["cut", "double", "value"]))
    if how == "cut":
        del lines[k]
    elif how == "double":
        lines.insert(k, lines[k])
    elif "=" in lines[k]:
        lines[k] = (
            lines[k].partition("=")[0] + "= " + data.draw(st.sampled_from(["-1", '"?"', "[]", "true", "{}", "[1, {}]"]))
        )
    path = tmp_path / "s.toml"
    path.write_text("\n".join(lines))
    scenario, faults = examine(path)
    assert scenario is not None or faults
    for fault in faults:
        assert (fault.path, "\n" in str(fault)) == (str(path), False)
        assert fault.remedy
        assert 1 <= fault.line <= len(lines)


def test_the_unbroken_presets_load():
    for name, whole in PRESETS.items():
        assert scenario_from_dict(whole).Name == name
        assert load_scenario(name).Name == name
