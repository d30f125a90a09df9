-- What can go wrong between a library that calls back and Lua: test/interop/bindings.py has the words
-- that this must print.
--
--     luajit trial.lua FOLDER_OF_THE_LOADER

package.path = arg[1] .. '/?.lua'
local fastsocket = require('fastsocket')
local POLLIN, POLLOUT, POLLHUP = fastsocket.POLLIN, fastsocket.POLLOUT, fastsocket.POLLHUP

local ring = fastsocket.ring()
local address = 'unix:@fastsocket-trial-' .. tostring(ring):match('%w+$')
local served, raises = 0, true

local function runWhile(condition)
    while condition() do
        assert(ring:wait())
    end
end

local function works()
    return served > 0 or ring:pending() > 0
end

local function serve(socket, event)
    if event == POLLIN and raises then
        raises = false
        error('told', 0)
    elseif event == POLLIN then
        socket:forward(socket)
    elseif event == POLLHUP then
        served = served - 1
        socket:release()
    end
end

ring:listen(address, function(_, handle)
    ring:open(handle, serve)
    served = served + 1
end)

-- A handler fails; afterwards everything is as if it had returned.
local text = ''
local client = ring:connect(address, function(socket, event)
    if event == POLLIN then
        local buffer = socket:receive()
        text = text .. buffer:text()
        buffer:release()
    end
end)
client:send('first')
local good, message = pcall(runWhile, function() return true end)
print('raised: ' .. (not good and message:match('^[^\n]*') or 'nothing'))
client:send('again')
runWhile(function() return #text < 10 end)
print('usable: ' .. text)

-- A release inside the socket's own handler, of either side.
client:release()
runWhile(works)
local released = false
ring:connect(address, function(socket, event)
    if event == POLLIN then
        socket:release()
        released = true
    end
end):send('x')
runWhile(function() return not released or works() end)
print('released')

-- Nothing but the library knows the handlers, while the collector runs.
local count = 0
for index = 1, 100 do
    ring:connect(address, function(socket, event)
        if index % 10 == 0 then
            collectgarbage()
        end
        if event == POLLOUT and socket:outboundLength() == 0 then
            socket:send(('x'):rep(100))
        elseif event == POLLIN then
            count = count + 1
            socket:release()
        end
    end)
end
collectgarbage()
runWhile(function() return count < 100 or works() end)
print('collected: ' .. count)

-- The end, with everything left as it is.
ring:connect(address, function() end):send(('x'):rep(1000000))
assert(ring:wait())
print('exit')
