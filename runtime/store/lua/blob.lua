-- Store a blob. ARGV: partitions, id, name, bytes. One whose execution never comes to be is dropped after a day.

local UNBORN_KEPT_MS = 86400000
local p = prefix(ARGV[2])
call('HSET', p .. 'b:' .. ARGV[2], ARGV[3], ARGV[4])
if call('EXISTS', p .. 'h:' .. ARGV[2]) == 0 then
  call('ZADD', p .. 'u', now, ARGV[2])
  local old = call('ZRANGEBYSCORE', p .. 'u', '-inf', now - UNBORN_KEPT_MS, 'LIMIT', 0, 16)
  for i = 1, #old do
    call('UNLINK', p .. 'b:' .. old[i])
    call('ZREM', p .. 'u', old[i])
  end
end
return {now}
