"""Check: one zone. A zone that this machine doesn't know fails its item, and no other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo


async def check(ctx, input):
    zone = ZoneInfo(input["zone"])
    here = [_minutes(zone, datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 7)]
    days = [datetime(input["year"], 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    offsets = [_minutes(zone, day) for day in days]
    changes = sum(before != after for before, after in pairwise(offsets))
    return {"zone": input["zone"], "changes": changes, "differs": here != [input["january"], input["july"]]}


def _minutes(zone, moment):
    return int(moment.astimezone(zone).utcoffset().total_seconds() // 60)
