# What can go wrong between a library that calls back and Ruby: test/interop/bindings.py has the
# words that this must print.
#
#     ruby trial.rb FOLDER_OF_THE_LOADER

require File.join(ARGV[0], 'fastsocket')
include FastSocket
$stdout.sync = true

ring = Ring.new
address = "unix:@fastsocket-trial-#{Process.pid}"

# A handler raises; afterwards everything is as if it had returned.
served = []
raises = true
ring.listen(address) do |handle|
  served << ring.open(handle) do |socket, event, _|
    if event == POLLIN && raises
      raises = false
      raise ArgumentError, 'told'
    end
    socket.forward(socket) if event == POLLIN
    next unless event == POLLHUP

    served.delete(socket)
    socket.release
  end
end
text = +''
client = ring.connect(address) do |socket, event, _|
  text << socket.receive if event == POLLIN
end
client.transmit('first')
begin
  ring.wait while raises
  ring.wait
rescue ArgumentError => e
  puts "raised: #{e.message}"
end
client.transmit('again')
ring.wait until text.size == 10
puts "usable: #{text}"

# A release inside the socket's own handler, of either side.
client.release
ring.wait until served.empty? && ring.pending.zero?
released = false
other = ring.connect(address) do |socket, event, _|
  if event == POLLIN
    socket.release
    released = true
  end
end
other.transmit('x')
ring.wait until released && served.empty? && ring.pending.zero?
puts 'released'

# Nothing but the library knows the handlers, while the collector runs.
count = 0
100.times do |index|
  ring.connect(address) do |socket, event, _|
    GC.start if (index % 10).zero?
    if event == POLLOUT && socket.outbound_length.zero?
      socket.transmit('x' * 100)
    elsif event == POLLIN
      count += 1
      socket.release
    end
  end
end
GC.start
GC.compact if GC.respond_to?(:compact)
ring.wait until count == 100 && served.empty? && ring.pending.zero?
puts "collected: #{count}"

# The end, with everything left as it is.
ring.connect(address) { nil }.transmit('x' * 1_000_000)
ring.wait
puts 'exit'
