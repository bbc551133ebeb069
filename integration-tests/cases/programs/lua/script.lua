local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print("fib", fib(24), twice(21))

local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words, function(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end)
print(table.concat(words, " "))

local ok, message = pcall(function() error({ code = 7 }) end)
print(ok, type(message), message.code)
print(select(2, pcall(error, "text", 0)))

local co = coroutine.wrap(function(...)
  local sum = 0
  for _, value in ipairs { ... } do
    sum = sum + value
    sum = sum + coroutine.yield(sum)
  end
  return "done", sum
end)
print(co(1, 2, 3), co(10), co(20), co(30))

local class = setmetatable({}, { __call = function(self, x) return setmetatable({ x = x }, self) end })
class.__index = class
class.__add = function(a, b) return class(a.x + b.x) end
class.__close = function(self) print("closed", self.x) end
do
  local a <close> = class(1) + class(2)
  print(a.x)
end

print(string.format("%5.2f|%q|%s", math.pi, "a\nb", utf8.char(0x20AC, 0x1F600)))
print(#string.rep("x", 1000000), ("%d"):rep(3, ","):format(1, 2, 3))
local sieve, count = {}, 0
for i = 2, 100000 do
  if not sieve[i] then
    count = count + 1
    for j = i * i, 100000, i do sieve[j] = true end
  end
end
print("primes", count)
collectgarbage()
print(string.pack("<i4", 66):byte(1), load("return 6 * 7")())
return 3
