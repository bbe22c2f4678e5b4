-- Claim due outbox entries. ARGV: partitions, session, limit, partition numbers. Answers {now, {name, entry}…}.

local session, limit = ARGV[2], tonumber(ARGV[3])
local answer = {}

local function claim(p)
  local dead = call('ZRANGEBYSCORE', p .. 'ss', '-inf', now, 'LIMIT', 0, 64)
  for i = 1, #dead do let_go(p, dead[i]) end
  local due = call('ZRANGEBYSCORE', p .. 'oq', '-inf', now, 'LIMIT', 0, limit - #answer)
  for i = 1, #due do
    local id, short = split_name(due[i])
    local entry = entry_of(p, id, short)
    call('ZREM', p .. 'oq', due[i])
    if entry and entry[OUT.dead] == 0 then
      entry[OUT.holder] = session
      write_entry(p, id, short, entry)
      call('SADD', p .. 'oh:' .. session, due[i])
      answer[#answer + 1] = {due[i], cmsgpack.pack(entry)}
    end
  end
end

for _, number in ipairs(cmsgpack.unpack(ARGV[4])) do
  local p = prefix_of(number)
  if #answer < limit and alive(p, session) then claim(p) end
end
return {now, answer}
