-- Claim due outbox entries of a lane. ARGV: partitions, session, limit, lane, names that the session goes on to hold
-- (MessagePack; '': all that it holds), partition numbers. Answers {now, {name, entry}…}.

local session, limit, lane = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local kept = {}
if ARGV[5] ~= '' then
  for _, name in ipairs(cmsgpack.unpack(ARGV[5])) do kept[name] = true end
end
local answer = {}

local function claim(p)
  local dead = call('ZRANGEBYSCORE', p .. 'ss', '-inf', now, 'LIMIT', 0, 64)
  for i = 1, #dead do let_go(p, dead[i]) end
  if ARGV[5] ~= '' then let_go(p, session, lane, kept) end
  local key = lane_key(p, lane)
  local due = call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit - #answer)
  for i = 1, #due do
    local id, short = split_name(due[i])
    local entry = entry_of(p, id, short)
    call('ZREM', key, due[i])
    if entry and entry[OUT.dead] == 0 then
      entry[OUT.holder] = session
      write_entry(p, id, short, entry)
      call('SADD', p .. 'oh:' .. session, due[i])
      answer[#answer + 1] = {due[i], cmsgpack.pack(entry)}
    end
  end
end

for _, number in ipairs(cmsgpack.unpack(ARGV[6])) do
  local p = prefix_of(number)
  if #answer < limit and alive(p, session) then claim(p) end
end
return {now, answer}
