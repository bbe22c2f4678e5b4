-- Create the store's record, or read it. ARGV: partitions, format. Answers {now, partitions, format}.

local at = 'ax:{meta}:store'
call('HSETNX', at, 'partitions', ARGV[1])
call('HSETNX', at, 'format', ARGV[2])
call('HSETNX', at, 'created', now)
return {now, tonumber(call('HGET', at, 'partitions')), tonumber(call('HGET', at, 'format'))}
