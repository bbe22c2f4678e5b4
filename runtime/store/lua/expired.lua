-- Final executions whose retention is over and whose outbox is empty but for dead entries.
-- ARGV: partitions, moment, limit, account or '', partition numbers. Answers {now, {id, head}…}.

local CHUNK = 200
local LOOK_AT_MOST = 5000  -- per partition and call, where many wait for deliveries or are of other accounts
local moment, limit, account = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local answer = {}

local function look(p)
  local from = 0
  repeat
    local ids = call('ZRANGEBYSCORE', p .. 'x', '-inf', moment, 'LIMIT', from, CHUNK)
    for i = 1, #ids do
      if #answer >= limit then return end
      local h = call('EXISTS', p .. 'l:' .. ids[i]) == 0 and read_head(p, ids[i])
      if h and (account == '' or facts(h)[FACT.account] == account) then
        answer[#answer + 1] = {ids[i], call('GET', p .. 'h:' .. ids[i])}
      end
    end
    from = from + CHUNK
  until #ids < CHUNK or from >= LOOK_AT_MOST
end

for _, number in ipairs(cmsgpack.unpack(ARGV[5])) do look(prefix_of(number)) end
return {now, answer}
