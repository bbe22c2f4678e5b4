"""Measure: how many words and links a page has."""

import re

TAG = re.compile(r"<[^>]*>")
LINK = re.compile(r"<a\s[^>]*href=", re.IGNORECASE)


async def measure(ctx, input):
    words = TAG.sub(" ", input["text"]).split()
    return {"words": len(words), "links": len(LINK.findall(input["text"]))}
