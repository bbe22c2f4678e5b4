-- Open or renew a session. ARGV: partitions, session, lease in ms, info (MessagePack), seen (map id -> seq),
-- partition numbers. Answers {now, alive, {id, seq…}, owned, checksum, orphans}.

local session, lease = ARGV[2], tonumber(ARGV[3])
local info, seen, numbers = ARGV[4], cmsgpack.unpack(ARGV[5]), cmsgpack.unpack(ARGV[6])
local is_alive, owned, checksum, orphans, mailbox = 1, 0, 0, 0, {}

for id, seq in pairs(seen) do
  local box = prefix(id) .. 'm:' .. session
  local noted = call('HGET', box, id)
  if noted and tonumber(noted) <= seq then call('HDEL', box, id) end
end
for _, number in ipairs(numbers) do
  local p = prefix_of(number)
  local mark = tonumber(call('ZSCORE', p .. 'sz', session) or 0)
  local ends = call('ZSCORE', p .. 'ss', session)
  if mark > 0 then
    is_alive = 0
  else
    -- Owned without ever having beaten has the score 0: that is an opening, not a lapse.
    if mark < 0 or (ends and tonumber(ends) > 0 and tonumber(ends) <= now) then is_alive = 0 end
    if mark < 0 then call('ZREM', p .. 'sz', session) end
    call('ZADD', p .. 'ss', now + lease, session)
    if number == 0 then call('HSET', p .. 'si', session, info) end
  end
  local box = call('HGETALL', p .. 'm:' .. session)
  for i = 1, #box, 2 do mailbox[#mailbox + 1] = {box[i], tonumber(box[i + 1])} end
  local crcs = call('HVALS', p .. 'w:' .. session)
  owned = owned + #crcs
  for i = 1, #crcs do checksum = bit.bxor(checksum, tonumber(crcs[i])) end
  local dead = call('ZRANGEBYSCORE', p .. 'ss', '-inf', now)
  for i = 1, #dead do
    if dead[i] ~= session then orphans = orphans + call('HLEN', p .. 'w:' .. dead[i]) end
  end
end
return {now, is_alive, mailbox, owned, checksum % 4294967296, orphans}
