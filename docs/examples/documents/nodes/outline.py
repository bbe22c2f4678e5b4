"""Outline: the headings of a page."""

import re

HEADING = re.compile(r"<h[1-3][^>]*>(.*?)</h[1-3]>", re.IGNORECASE | re.DOTALL)


async def outline(ctx, input):
    return {"url": input["url"], "headings": [heading.strip() for heading in HEADING.findall(input["text"])]}
