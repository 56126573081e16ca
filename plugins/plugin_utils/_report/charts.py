# Private to the collection nodeward.calico: may change in any release.
"""Charts as inline SVG, drawn from the facts of a model. What is not a number where one belongs is left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from .texts import visible

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 8, 18  # around what is drawn, for the axes' texts
BARS = 24  # bars beyond these are counted, not drawn
TICKS = 6

Point = tuple[str, float]


def charts(model: Mapping[str, Any]) -> list[str]:
    """Return a figure for each picture that there is something for."""
    drawn = (
        _ranked("Share of the PID limit", "threads, of the limit that binds first", _pid_shares(model), (50, 80)),
        _mtu(model),
        _ranked("CPU of BIRD", "of one core, the busiest BIRD of each node", _bird_shares(model), (50, 85)),
        _bars("etcd: peers and disks", "milliseconds, 99 % were faster", _etcd_times(model)),
    )
    return [figure for figure in drawn if figure]


# --- what is drawn ----------------------------------------------------------------------------------


def _pid_shares(model: Mapping[str, Any]) -> list[Point]:
    shares = ((node["name"], _number(_at(node, "pid_limits", "binding", "share"))) for node in model["nodes"])
    return [(name, 100 * share) for name, share in shares if share is not None]


def _bird_shares(model: Mapping[str, Any]) -> list[Point]:
    points = []
    for node in model["nodes"]:
        shares = [_number(_at(bird, "share")) for bird in _list(_at(node, "bird_watchdog", "birds"))]
        known = [share for share in shares if share is not None]
        if known:
            points.append((node["name"], max(known)))
    return points


def _etcd_times(model: Mapping[str, Any]) -> Iterator[Point]:
    for node in model["nodes"]:
        for member in _list(_at(node, "etcd_timing", "members")):
            evidence = _at(member, "evidence")
            name = _at(member, "name") or node["name"]
            rtts = _at(evidence, "rtt_p99")
            times = [(f"to {peer}", time) for peer, time in (rtts.items() if isinstance(rtts, Mapping) else ())]
            for what, time in (*times, ("fsync", _at(evidence, "fsync_p99")), ("commit", _at(evidence, "commit_p99"))):
                number = _number(time)
                if number is not None:
                    yield f"{name} {what}", number


def _mtu(model: Mapping[str, Any]) -> str:
    uplinks: list[tuple[int, float | None]] = []
    tunnels: list[tuple[int, float | None]] = []
    for place, node in enumerate(model["nodes"]):
        uplinks.append((place, _number(_at(node, "link_mtu", "uplink", "mtu"))))
        of_the_node = _list(_at(node, "link_mtu", "tunnels"))
        tunnels.extend((place, _number(_at(tunnel, "mtu"))) for tunnel in of_the_node)
    series = [[(place, mtu) for place, mtu in points if mtu is not None] for points in (uplinks, tunnels)]
    return _scatter("MTU by node", "bytes, nodes by name", ("uplink", "tunnel"), series, len(model["nodes"]))


# --- how it is drawn --------------------------------------------------------------------------------


def _ranked(title: str, unit: str, points: Sequence[Point], limits: tuple[int, int]) -> str:
    """Draw percentages, the largest on the left, with two limits: where it gets close, and where it hurts."""
    if not points:
        return ""
    ranked = sorted(points, key=lambda point: -point[1])
    top = max(100.0, ranked[0][1])
    step = (WIDTH - LEFT - RIGHT) / len(ranked)
    path = f"M{LEFT} {_y(0, 0, top)}"
    for place, (_name, value) in enumerate(ranked):
        path += f"V{_y(value, 0, top)}H{LEFT + step * (place + 1):.1f}"
    lines = [_line(limit, top, style) for limit, style in zip(limits, ("soon", "limit"))]
    ticks = [_tick(f"{value} %", _y(value, 0, top)) for value in (0, *limits, 100)]
    highest = ", ".join(f"{name} {value:.1f} %" for name, value in ranked[:3])
    over = [sum(value >= limit for _name, value in ranked) for limit in limits]
    close, hurts = (f"{number} from {limit} % on" for limit, number in zip(limits, over))
    told = f"Highest: {highest}. Of {len(ranked)} nodes {close}, {hurts}."
    return _figure(title, unit, told, [f'<path class="area" d="{path}V{_y(0, 0, top)}Z"/>', *lines, *ticks])


def _scatter(
    title: str, unit: str, names: tuple[str, str], series: Sequence[Sequence[tuple[int, float]]], nodes: int
) -> str:
    """Draw two values of each node, and tell which values there are and how often."""
    values = [value for points in series for _place, value in points]
    if not values:
        return ""
    low, high = min(values) - 20, max(values) + 20
    step = (WIDTH - LEFT - RIGHT) / max(nodes, 1)
    marks = []
    for points, style in zip(series, ("one", "two")):
        wide = max(step - 4, 0.1)
        path = "".join(f"M{LEFT + step * place + 2:.1f} {_y(value, low, high)}h{wide:.1f}" for place, value in points)
        marks.append(f'<path class="{style}" d="{path}"/>')
    common = sorted(set(values), key=lambda value: -values.count(value))[:TICKS]
    told = [f"{name}: {_counted([value for _place, value in points])}" for name, points in zip(names, series) if points]
    ticks = [_tick(f"{value:g}", _y(value, low, high)) for value in common]
    return _figure(title, unit, "; ".join(told), [*marks, *ticks])


def _bars(title: str, unit: str, points: Iterable[Point]) -> str:
    ranked = sorted(points, key=lambda point: -point[1])
    if not ranked:
        return ""
    drawn, top, parts = ranked[:BARS], max(ranked[0][1], 1e-9), []
    for row, (name, value) in enumerate(drawn):
        y = TOP + 16 * row
        width = max((WIDTH - 330) * value / top, 1)
        parts.append(f'<text x="0" y="{y + 10}">{_escaped(name[:34])}</text>')
        parts.append(f'<rect class="area" x="220" y="{y}" width="{width:.1f}" height="12"/>')
        parts.append(f'<text x="{224 + width:.0f}" y="{y + 10}">{value:g} ms</text>')
    rest = len(ranked) - len(drawn)
    told = f"Slowest: {ranked[0][0]}, {ranked[0][1]:g} ms." + (f" {rest} more in the JSON." if rest else "")
    return _figure(title, unit, told, parts, TOP + 16 * len(drawn))


def _figure(title: str, unit: str, told: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    label = _escaped(f"{title}: {told}")
    return (
        f"<figure><h3>{_escaped(title)} <small>{_escaped(unit)}</small></h3>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        f"<figcaption>{_escaped(told)}</figcaption></figure>"
    )


def _y(value: float, low: float, high: float) -> str:
    return f"{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low):.1f}"


def _line(value: float, top: float, style: str) -> str:
    y = _y(value, 0, top)
    return f'<path class="{style}" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'


def _tick(text: str, y: str) -> str:
    return f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{_escaped(text)}</text>'


def _counted(values: Sequence[float]) -> str:
    kinds = sorted(set(values), key=lambda value: -values.count(value))
    told = ", ".join(f"{value:g} ({values.count(value)})" for value in kinds[:TICKS])
    return told + (f" and {len(kinds) - TICKS} more values" if len(kinds) > TICKS else "")


def _escaped(text: str) -> str:
    return escape(visible(text))


# --- facts, which may be anything that a node sends ---------------------------------------------------


def _at(value: Any, *names: str) -> Any:
    """Return what stands at a path, None where there is none; the facts of a node begin below ``facts``."""
    if isinstance(value, Mapping) and "facts" in value and "findings" in value:
        value = value["facts"]
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and 0 <= number < 1e12 else None
