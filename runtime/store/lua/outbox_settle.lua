-- Say what became of claimed outbox entries. ARGV: partitions, channel, session, a MessagePack array of base.Settle.
-- An entry that the session does not hold any more is left alone.

local session = ARGV[3]

local function settle(name, due, dead, problem)
  local id, short = split_name(name)
  local p = prefix(id)
  local entry = entry_of(p, id, short)
  if not entry or entry[OUT.holder] ~= session then return end
  local destination = entry[OUT.destination]
  call('SREM', p .. 'oh:' .. session, name)
  entry[OUT.holder] = ''
  entry[OUT.error] = problem or entry[OUT.error]
  entry[OUT.attempts] = entry[OUT.attempts] + 1
  if due and not dead then
    entry[OUT.due] = due
    write_entry(p, id, short, entry)
    call('ZADD', lane_key(p, lane_of(entry)), due, name)
    return
  end
  call('ZREM', p .. 'l:' .. id, line_of(destination, short))
  if dead then
    entry[OUT.dead] = 1
    write_entry(p, id, short, entry)
    call('ZADD', p .. 'od', now, name)
  else
    call('HDEL', p .. 'o:' .. id, short)
    call('ZREM', p .. 'oa', name)
  end
  local following = first_of(p, id, destination)
  if following then
    local entry_behind = entry_of(p, id, following)
    call('ZADD', lane_key(p, lane_of(entry_behind)), entry_behind[OUT.due], id .. '/' .. following)
    outbox_hint(entry_behind, id)
  end
end

for _, item in ipairs(cmsgpack.unpack(ARGV[4])) do settle(item[1], item[2], item[3], item[4]) end
publish(ARGV[2])
return {now}
