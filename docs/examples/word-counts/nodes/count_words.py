"""CountWords: running counts, one frame per line.

The counts live in this generator alone. When its worker dies the replacement runs it again over the lines that were
logged, finds that its first frames equal those that are already durable, drops them, and goes on behind them.
"""

import re
from collections import Counter

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


async def count_words(ctx, frames):
    seen = Counter()
    total = 0
    commonest = ""
    async for line in frames:
        words = WORD.findall(line["text"].lower())
        seen.update(words)
        total += len(words)
        for word in words:
            if seen[word] > seen[commonest]:
                commonest = word
        yield {
            "line": line["number"],
            "words": len(words),
            "total": total,
            "distinct": len(seen) - ("" in seen),
            "commonest": commonest,
        }
