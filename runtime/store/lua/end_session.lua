-- End a session: what it owns and holds is free at once. ARGV: partitions, session, partition numbers.

for _, number in ipairs(cmsgpack.unpack(ARGV[3])) do
  local p = prefix_of(number)
  call('ZADD', p .. 'sz', now, ARGV[2])
  if call('ZSCORE', p .. 'ss', ARGV[2]) then call('ZADD', p .. 'ss', 0, ARGV[2]) end
  bury(p, ARGV[2], now)
end
return {now}
