-- Remove a document. ARGV: partitions, kind, key. Answers {now, 1 if it was there}.

call('ZREM', 'ax:{meta}:k:' .. ARGV[2], ARGV[3])
return {now, call('DEL', 'ax:{meta}:d:' .. ARGV[2] .. ':' .. ARGV[3])}
