-- echo-client: sends its standard input over a TCP connection and writes what comes back to its standard
-- output, until the peer ends.
--
--     luajit echo-client.lua ADDRESS PORT < data > same-data
--
-- Input is read right into buffers of the library's, which then leave without another copy.

package.path = (arg[0]:match('^.*/') or './') .. '?.lua;' .. package.path
local fastsocket = require('fastsocket')
local plain = require('plain')

local INPUT, OUTPUT = 0, 1
local BLOCK = 65536
local OUTBOUND_LIMIT = 1024 * 1024 -- bytes queued at which we stop reading our input

local ring = fastsocket.ring()
local connection, input
local ended, reason = false, 0

local function stopInput()
    if input then
        input:remove()
        input = nil
    end
end

local function handleInput(watch)
    -- A report can come late: what woke the kernel's poll may have been read already. We ask again,
    -- since our standard input may block (and whether it does isn't ours alone to change).
    if not plain.isReadable(INPUT) then
        return
    end
    local buffer = ring:allocate(BLOCK)
    local length = tonumber(plain.read(INPUT, buffer:data(), BLOCK))
    if length <= 0 then
        buffer:release()
        stopInput()
        connection:shutdown()
        return
    end
    buffer:setLength(length)
    if not connection:transmit(buffer) then
        stopInput() -- broken: POLLERR and POLLHUP tell soon
    elseif connection:outboundLength() >= OUTBOUND_LIMIT then
        watch:update(0) -- until POLLOUT
    end
end

local function handleEvent(socket, event, parameter)
    if event == fastsocket.POLLIN then
        for buffer in socket.receive, socket do
            plain.write(OUTPUT, buffer:data(), buffer:length())
            buffer:release()
        end
    elseif event == fastsocket.POLLOUT and input then
        input:update(fastsocket.POLLIN)
    elseif event == fastsocket.POLLERR then
        reason = parameter
    elseif event == fastsocket.POLLHUP then
        ended = true
        stopInput()
        socket:release()
    end
end

connection = ring:socket(plain.connect(arg[1], tonumber(arg[2])), handleEvent)
input = ring:watch(INPUT, fastsocket.POLLIN, handleInput)
while not ended or ring:pending() > 0 do
    assert(ring:wait())
end

local left = ring:close()
if reason ~= 0 then
    error(fastsocket.message(reason), 0)
elseif left.sockets > 0 or left.buffers > 0 then
    error(('left: %d sockets, %d buffers'):format(tonumber(left.sockets), tonumber(left.buffers)), 0)
end
