-- Remove final executions with everything of theirs. ARGV: partitions, a MessagePack array of ids.
-- Answers {now, how many went}.

local function delete(id)
  local p = prefix(id)
  local h = read_head(p, id)
  if not h or h.status < FIRST_FINAL then return 0 end
  local f = facts(h)
  local account = f[FACT.account]
  for _, node in ipairs(call('HKEYS', p .. 'n:' .. id)) do call('UNLINK', p .. 'f:' .. id .. ':' .. node) end
  for _, short in ipairs(call('HKEYS', p .. 'o:' .. id)) do
    local name = id .. '/' .. short
    call('ZREM', p .. 'oq', name)
    call('ZREM', p .. 'oi', name)
    call('ZREM', p .. 'oa', name)
    call('ZREM', p .. 'od', name)
  end
  call('ZREM', index_name(p, 'i', account, ''), id)
  call('ZREM', index_name(p, 'i', account, STATUS_NAME[h.status]), id)
  call('ZREM', index_name(p, 'if', account, f[FACT.flow]), id)
  call('ZREM', index_name(p, 'ig', account, f[FACT.graph_id]), id)
  call('ZREM', p .. 'e', id)
  call('ZREM', p .. 'x', id)
  if f[FACT.key_name] ~= '' then
    local held = call('GET', f[FACT.key_name])
    if held and string.sub(held, 1, 32) == id then call('DEL', f[FACT.key_name]) end
  end
  call('UNLINK', p .. 'j:' .. id, p .. 'h:' .. id, p .. 's:' .. id, p .. 'b:' .. id, p .. 'd:' .. id, p .. 'n:' .. id,
    p .. 'o:' .. id, p .. 'l:' .. id)
  return 1
end

local gone = 0
for _, id in ipairs(cmsgpack.unpack(ARGV[2])) do gone = gone + delete(id) end
return {now, gone}
