-- Make a dead outbox entry due again. ARGV: partitions, channel, name. Answers {now, 1 if it was dead}.

local name = ARGV[3]
local id, short = split_name(name)
local p = prefix(id)
local entry = entry_of(p, id, short)
if not entry or entry[OUT.dead] == 0 then return {now, 0} end
local destination = entry[OUT.destination]
local former = first_of(p, id, destination)
entry[OUT.dead], entry[OUT.due] = 0, now
write_entry(p, id, short, entry)
call('ZREM', p .. 'od', name)
call('ZADD', p .. 'l:' .. id, 0, line_of(destination, short))
if first_of(p, id, destination) == short then
  local due = lane_key(p, lane_of(entry))
  if former then call('ZREM', due, id .. '/' .. former) end
  call('ZADD', due, now, name)
end
outbox_hint(entry, id)
publish(ARGV[2])
return {now, 1}
