# Private to the collection nodeward.calico: may change in any release.
"""How often a CronJob's schedule comes up; pure.

The format is robfig/cron's "standard" one, which Kubernetes uses (k8s.io/kubernetes pkg/controller/cronjob): five
fields, @daily and the like, @every with a Go duration, and an optional time zone before all of it.
"""

from __future__ import annotations

import re

_MACROS = {
    "@hourly": 24.0, "@daily": 1.0, "@midnight": 1.0, "@weekly": 1 / 7, "@monthly": 12 / 365, "@yearly": 1 / 365,
    "@annually": 1 / 365,
}  # fmt: skip
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NAMES = {
    name: str(number)
    for names in ("sun mon tue wed thu fri sat", "_ jan feb mar apr may jun jul aug sep oct nov dec")
    for number, name in enumerate(names.split())
}
_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS = (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)
_DAY = 86400.0  # seconds


def runs_a_day(schedule: str) -> float | None:
    """Return how often a schedule comes up in a day, on average over a year; None where it cannot be read."""
    words = re.sub(r"^\s*(CRON_)?TZ=\S+", "", schedule).lower().split()
    if words[:1] == ["@every"]:
        seconds = _seconds("".join(words[1:]))
        return _DAY / max(seconds, 1.0) if seconds else None  # robfig/cron rounds up to a second
    if len(words) == 1:
        return _MACROS.get(words[0])
    try:
        minutes, hours, days, months, weekdays = words
        share_of_days = _share_of_days(_count(days, *_DAYS) / 31, _count(weekdays, *_WEEKDAYS) / 7)
        return _count(minutes, *_MINUTES) * _count(hours, *_HOURS) * share_of_days * _count(months, *_MONTHS) / 12
    except ValueError:
        return None


def _share_of_days(of_month: float, of_week: float) -> float:
    """Either will do where both are given; a field that takes all days says nothing (man 5 crontab)."""
    if of_month == 1 or of_week == 1:
        return of_month * of_week
    return of_month + of_week - of_month * of_week


def _count(field: str, first: int, last: int) -> int:
    """Return how many values of first..last a field takes. Raises ValueError."""
    taken: set[int] = set()
    for part in field.split(","):
        span, _slash, step = part.partition("/")
        begin, dash, end = span.partition("-")
        low = first if begin in ("*", "?") else _number(begin)
        high = last if begin in ("*", "?") or (step and not dash) else _number(end) if dash else low
        every = int(step) if step else 1
        if every < 1 or not first <= low <= high <= last:
            raise ValueError(field)
        taken.update(range(low, high + 1, every))
    return len(taken)


def _number(word: str) -> int:
    return int(_NAMES.get(word, word))


def _seconds(duration: str) -> float:
    """Return a Go duration (1h30m) in seconds, 0 where it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        return 0.0
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
