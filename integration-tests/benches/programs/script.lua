local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print("fib", fib(21))

local words = {}
for i = 1, 3000 do words[i] = string.format("%04x", (i * 7919) % 65536) end
table.sort(words)
print("sorted", words[1], words[#words], table.concat(words, "", 1, 3))

local counts = {}
for letter in table.concat(words):gmatch("%x") do counts[letter] = (counts[letter] or 0) + 1 end
print("letters", counts["0"], counts["f"])

local ok, message = pcall(function() error({ code = 7 }) end)
print("error", ok, message.code)

local producer = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * i) end end)
print("squares", producer(), producer(), producer())
print("floor", math.floor(math.sqrt(1e6) + math.sin(0)), utf8.char(955))
