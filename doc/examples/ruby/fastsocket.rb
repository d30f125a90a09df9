# fastsocket: libfastsocket for Ruby, through ruby-ffi (Debian: ruby-ffi).
#
#     LD_LIBRARY_PATH=... ruby echo_server.rb    if the library isn't where the loader looks
#
# What a loader has to take care of, and this one does (../README.md tells more):
#
# - One C callback for each kind of event is made once and never freed: a constant keeps it. It finds
#   the object in a table by the pointer that called, and the table keeps the object.
# - What a handler raises ends that handler alone: ruby-ffi keeps it, and wait raises it.
# - The wait itself is Ruby's: it looks at the ring's handle, so that other threads and trap run.

require 'ffi'
require 'io/wait'

module FastSocket
  POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
  MODE_REGULAR, MODE_ZERO_COPY, MODE_AUTO_CORK, MODE_FILE_IO = 0, 0x4000000, 0x8000, 0x4

  # The C functions. A pointer that is declared as int would be cut in half.
  module C
    extend FFI::Library
    ffi_lib 'libfastsocket.so.1'
    callback :event, %i[pointer int int], :void
    callback :connection, %i[pointer int pointer], :void
    callback :call, %i[pointer pointer], :void
    {
      CreateFastRing: [%i[uint32], :pointer], ReleaseFastRing: [%i[pointer], :void],
      WaitForFastRing: [%i[pointer uint32 pointer], :int], GetFastRingHandle: [%i[pointer], :int],
      GetFastRingInterval: [%i[pointer], :int], GetFastRingPending: [%i[pointer], :size_t],
      PostFastRingCall: [%i[pointer call pointer], :int],
      OpenFastSocket: [%i[pointer int int event pointer], :pointer],
      ConnectFastSocket: [%i[pointer string int event pointer], :pointer],
      ListenFastSocket: [%i[pointer string int connection pointer], :pointer],
      GetFastListenerHandle: [%i[pointer], :int], ReleaseFastListener: [%i[pointer], :void],
      ReleaseFastSocket: [%i[pointer], :void], AbortFastSocket: [%i[pointer], :void],
      ShutdownFastSocket: [%i[pointer], :int], PauseFastSocket: [%i[pointer], :int],
      ResumeFastSocket: [%i[pointer], :int], GetFastSocketOutboundLength: [%i[pointer], :size_t],
      GetFastSocketErrorText: [%i[pointer], :string],
      TransmitFastSocketData: [%i[pointer pointer uint32 buffer_in size_t int], :int],
      TransmitFastSocketBuffer: [%i[pointer pointer uint32 pointer size_t size_t int], :int],
      ReceiveFastSocketBuffer: [%i[pointer], :pointer], GetFastBufferData: [%i[pointer], :pointer],
      GetFastBufferLength: [%i[pointer], :size_t], ReleaseFastBuffer: [%i[pointer], :void]
    }.each { |name, (arguments, result)| attach_function(name, arguments, result) }
  end

  OBJECTS = {} # by address: from an object's creation to its release
  HANDLE_EVENT = FFI::Function.new(:void, %i[pointer int int]) do |pointer, event, parameter|
    target = OBJECTS[pointer.address]
    target.handler.call(target, event, parameter)
  end
  HANDLE_CONNECTION = FFI::Function.new(:void, %i[pointer int pointer]) do |pointer, handle, _|
    OBJECTS[pointer.address].handler.call(handle)
  end

  CALLS = {} # by number: what was posted
  HANDLE_CALL = FFI::Function.new(:void, %i[pointer pointer]) do |_, number|
    CALLS.delete(number.address).call
  end

  def self.found(pointer)
    pointer.null? ? raise(SystemCallError.new(nil, FFI.errno)) : pointer
  end

  def self.done(result)
    result.negative? ? raise(SystemCallError.new(nil, -result)) : result
  end

  # What has a handler that the library calls by the object's pointer.
  class Target
    attr_reader :handler

    def initialize(pointer, handler)
      @pointer = FastSocket.found(pointer)
      @handler = handler
      OBJECTS[@pointer.address] = self
    end

    def forget
      OBJECTS.delete(@pointer.address)
      @pointer.tap { @pointer = nil } # every later call gets EINVAL
    end
  end

  # The event loop.
  class Ring
    def initialize
      @pointer = FastSocket.found(C.CreateFastRing(0))
      @handle = IO.for_fd(FastSocket.done(C.GetFastRingHandle(@pointer)), autoclose: false)
    end

    # Sleeps until there is something to do, and runs one turn; handlers are called in it.
    def wait
      interval = C.GetFastRingInterval(@pointer)
      @handle.wait_readable(interval.negative? ? nil : interval / 1000.0)
      FastSocket.done(C.WaitForFastRing(@pointer, 0, nil))
    end

    # Has the ring call a block inside a turn, also from other threads and from trap: ends its sleep.
    def post(&block)
      CALLS[block.object_id] = block
      FastSocket.done(C.PostFastRingCall(@pointer, HANDLE_CALL, FFI::Pointer.new(block.object_id)))
    end

    # Sockets that still have something to send or to close.
    def pending = C.GetFastRingPending(@pointer)

    # Tells the sockets that are left; their output is dropped.
    def close = C.ReleaseFastRing(@pointer)

    # The descriptor is the socket's from now on. handler: socket, event, parameter.
    def open(handle, mode = MODE_REGULAR, &handler)
      Socket.new(C.OpenFastSocket(@pointer, handle, mode, HANDLE_EVENT, nil), handler)
    end

    def connect(address, &handler)
      Socket.new(C.ConnectFastSocket(@pointer, address, 0, HANDLE_EVENT, nil), handler)
    end

    # handler gets each connection's descriptor, or a negative errno.
    def listen(address, &handler)
      Listener.new(C.ListenFastSocket(@pointer, address, 0, HANDLE_CONNECTION, nil), handler)
    end
  end

  # A connection, or with MODE_FILE_IO whatever can be read or written.
  class Socket < Target
    # The next chunk of input, or nil. POLLIN comes once: take all there is.
    def receive
      buffer = C.ReceiveFastSocketBuffer(@pointer)
      return if buffer.null?

      C.GetFastBufferData(buffer).read_bytes(C.GetFastBufferLength(buffer))
    ensure
      C.ReleaseFastBuffer(buffer)
    end

    def transmit(text) = FastSocket.done(C.TransmitFastSocketData(@pointer, nil, 0, text, text.bytesize, 0))

    # Hands all input on to another socket, or back to this one; nothing is copied.
    def forward(other)
      until (buffer = C.ReceiveFastSocketBuffer(@pointer)).null?
        other.take(buffer)
      end
    end

    def take(buffer)
      length = C.GetFastBufferLength(buffer)
      FastSocket.done(C.TransmitFastSocketBuffer(@pointer, nil, 0, buffer, 0, length, 0))
    end

    def outbound_length = C.GetFastSocketOutboundLength(@pointer)
    def error_text = C.GetFastSocketErrorText(@pointer)
    def pause = C.PauseFastSocket(@pointer)
    def resume = C.ResumeFastSocket(@pointer)
    def shutdown = C.ShutdownFastSocket(@pointer)
    def release = C.ReleaseFastSocket(forget)
    def abort = C.AbortFastSocket(forget)
  end

  class Listener < Target
    # The listening socket, which stays the listener's.
    def handle = C.GetFastListenerHandle(@pointer)
    def release = C.ReleaseFastListener(forget)
  end
end
