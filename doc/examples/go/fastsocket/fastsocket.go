// Package fastsocket is libfastsocket for Go, through cgo.
//
//	go build ./echo-server    with CGO_CFLAGS and CGO_LDFLAGS, if the library isn't installed
//
// What a binding has to take care of, and this one does (../../README.md tells more):
//
//   - A ring belongs to an OS thread: NewRing locks the goroutine to its own. Others Post functions.
//   - A panic of a handler goes through C up to Wait, which makes it an error: the library is prepared
//     for callbacks that never return, and the next Wait goes on behind it.
//   - C gets no pointer of Go's: handlers are found in a table by the pointer that calls, which keeps
//     them from an object's creation to its release.
//   - Signals are Go's (os/signal), since any thread of Go's may get them.
package fastsocket

/*
#cgo LDFLAGS: -lfastsocket
#include <stdlib.h>
#include <Ring/FastSocket.h>

extern void fastsocketEvent(struct FastSocket* socket, int event, int parameter);
extern void fastsocketConnection(struct FastListener* listener, int handle, void* closure);
extern void fastsocketCall(struct FastRing* ring, void* closure);

// A number instead of a pointer.
static inline int post(struct FastRing* ring, uintptr_t number)
{
    return PostFastRingCall(ring, fastsocketCall, (void*)number);
}

// One call from Go to C instead of three for each buffer.
static inline int forward(struct FastSocket* from, struct FastSocket* to)
{
    struct FastBuffer* buffer;
    int result = 0;
    while (result >= 0 && (buffer = ReceiveFastSocketBuffer(from)) != NULL)
        result = TransmitFastSocketBuffer(to, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);
    return result;
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"sync"
	"syscall"
	"unsafe"
)

// What C has as macros comes through cgo, that of the features included.
const (
	POLLIN          = int(C.POLLIN)
	POLLOUT         = int(C.POLLOUT)
	POLLERR         = int(C.POLLERR)
	POLLHUP         = int(C.POLLHUP)
	ModeRegular     = int(C.FASTSOCKET_MODE_REGULAR)
	ModeZeroCopy    = int(C.FASTSOCKET_MODE_ZERO_COPY)
	ModeAutoCork    = int(C.FASTSOCKET_MODE_AUTO_CORK)
	ModeFileIO      = int(C.FASTSOCKET_MODE_FILE_IO)
	FeatureZeroCopy = uint64(C.FASTRING_FEATURE_SEND_ZERO_COPY)
)

// EventHandler is told one of POLLIN, POLLOUT, POLLERR and POLLHUP.
type EventHandler func(socket *Socket, event int, parameter int)

// ConnectionHandler gets each connection's descriptor, or an error that ends the listener.
type ConnectionHandler func(handle int, err error)

var handlers sync.Map // by pointer: *Socket or *Listener

//export fastsocketEvent
func fastsocketEvent(pointer *C.struct_FastSocket, event, parameter C.int) {
	target, _ := handlers.Load(pointer)
	socket := target.(*Socket)
	socket.handler(socket, int(event), int(parameter))
}

//export fastsocketConnection
func fastsocketConnection(pointer *C.struct_FastListener, handle C.int, _ unsafe.Pointer) {
	target, _ := handlers.Load(pointer)
	switch err := done(handle); err {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS: // it tries again by itself
	default:
		target.(*Listener).handler(int(handle), err)
	}
}

//export fastsocketCall
func fastsocketCall(_ *C.struct_FastRing, closure unsafe.Pointer) {
	handle := cgo.Handle(uintptr(closure))
	function := handle.Value().(func())
	handle.Delete()
	function()
}

func done(result C.int) error {
	if result < 0 {
		return syscall.Errno(-result)
	}
	return nil
}

// Ring is the event loop. All but Post is called on its own goroutine.
type Ring struct{ pointer *C.struct_FastRing }

// NewRing locks the calling goroutine to its thread, which is the ring's.
func NewRing() (*Ring, error) {
	runtime.LockOSThread()
	pointer, err := C.CreateFastRing(0)
	if pointer == nil {
		return nil, err
	}
	return &Ring{pointer}, nil
}

// Wait runs one turn; handlers are called in it. What one of them panics with is an error here.
func (ring *Ring) Wait() (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("a handler: %v", reason)
		}
	}()
	return done(C.WaitForFastRing(ring.pointer, C.UINT32_MAX, nil))
}

// Run runs turns while a condition holds, or until one of them fails: it may be called again then.
func (ring *Ring) Run(condition func() bool) (err error) {
	for err == nil && condition() {
		err = ring.Wait()
	}
	return err
}

// Post has the ring call a function, from any goroutine.
func (ring *Ring) Post(function func()) error {
	handle := cgo.NewHandle(function)
	err := done(C.post(ring.pointer, C.uintptr_t(handle)))
	if err != nil {
		handle.Delete()
	}
	return err
}

// Pending tells how many sockets still have something to send or to close.
func (ring *Ring) Pending() int { return int(C.GetFastRingPending(ring.pointer)) }

// Features is a sum of FASTRING_FEATURE_*.
func (ring *Ring) Features() uint64 { return uint64(C.GetFastRingFeatures(ring.pointer)) }

// Close tells the sockets that are left; their output is dropped.
func (ring *Ring) Close() { C.ReleaseFastRing(ring.pointer) }

// Open makes a socket of a descriptor, which is the socket's from now on.
func (ring *Ring) Open(handle int, mode int, handler EventHandler) (*Socket, error) {
	pointer, err := C.OpenFastSocket(ring.pointer, C.int(handle), C.int(mode), C.HandleFastSocketEvent(C.fastsocketEvent), nil)
	return keep(pointer, err, handler)
}

// Connect makes a socket that connects to an address.
func (ring *Ring) Connect(address string, handler EventHandler) (*Socket, error) {
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	pointer, err := C.ConnectFastSocket(ring.pointer, text, 0, C.HandleFastSocketEvent(C.fastsocketEvent), nil)
	return keep(pointer, err, handler)
}

// Listen accepts connections at an address.
func (ring *Ring) Listen(address string, handler ConnectionHandler) (*Listener, error) {
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	pointer, err := C.ListenFastSocket(ring.pointer, text, 0, C.HandleFastListenerEvent(C.fastsocketConnection), nil)
	if pointer == nil {
		return nil, err
	}
	listener := &Listener{pointer, handler}
	handlers.Store(pointer, listener)
	return listener, nil
}

// Socket is a connection, or with ModeFileIO whatever can be read or written. Once it is released,
// every call gets EINVAL.
type Socket struct {
	pointer *C.struct_FastSocket
	handler EventHandler
}

func keep(pointer *C.struct_FastSocket, err error, handler EventHandler) (*Socket, error) {
	if pointer == nil {
		return nil, err
	}
	socket := &Socket{pointer, handler}
	handlers.Store(pointer, socket)
	return socket, nil
}

func (socket *Socket) forget() *C.struct_FastSocket {
	pointer := socket.pointer
	handlers.Delete(pointer)
	socket.pointer = nil
	return pointer
}

// Receive takes the next chunk of input, nil if there is none. POLLIN comes once: take all there is.
func (socket *Socket) Receive() []byte {
	buffer := C.ReceiveFastSocketBuffer(socket.pointer)
	if buffer == nil {
		return nil
	}
	defer C.ReleaseFastBuffer(buffer)
	return C.GoBytes(unsafe.Pointer(C.GetFastBufferData(buffer)), C.int(C.GetFastBufferLength(buffer)))
}

// Transmit queues a copy.
func (socket *Socket) Transmit(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	return done(C.TransmitFastSocketData(socket.pointer, nil, 0, unsafe.Pointer(&data[0]), C.size_t(len(data)), 0))
}

// Forward hands all input on to another socket, or back to this one; nothing is copied.
func (socket *Socket) Forward(other *Socket) error {
	return done(C.forward(socket.pointer, other.pointer))
}

// OutboundLength tells the bytes that are queued.
func (socket *Socket) OutboundLength() int {
	return int(C.GetFastSocketOutboundLength(socket.pointer))
}

// ErrorText tells why it has failed.
func (socket *Socket) ErrorText() string { return C.GoString(C.GetFastSocketErrorText(socket.pointer)) }

// Pause, Resume and Shutdown are the library's.
func (socket *Socket) Pause()    { C.PauseFastSocket(socket.pointer) }
func (socket *Socket) Resume()   { C.ResumeFastSocket(socket.pointer) }
func (socket *Socket) Shutdown() { C.ShutdownFastSocket(socket.pointer) }

// Release sends what is queued and closes, in the background. The handler is not called again.
func (socket *Socket) Release() { C.ReleaseFastSocket(socket.forget()) }

// Abort drops what is queued and resets the connection.
func (socket *Socket) Abort() { C.AbortFastSocket(socket.forget()) }

// Listener accepts connections.
type Listener struct {
	pointer *C.struct_FastListener
	handler ConnectionHandler
}

// Address tells where it listens.
func (listener *Listener) Address() string {
	var name C.struct_sockaddr_storage
	var text [C.FASTSOCKET_ADDRESS_SIZE]C.char
	length := C.socklen_t(C.sizeof_struct_sockaddr_storage)
	plain := (*C.struct_sockaddr)(unsafe.Pointer(&name))
	C.getsockname(C.GetFastListenerHandle(listener.pointer), plain, &length)
	C.FormatFastAddress(plain, length, &text[0], C.FASTSOCKET_ADDRESS_SIZE)
	return C.GoString(&text[0])
}

// Release ends it.
func (listener *Listener) Release() {
	pointer := listener.pointer
	handlers.Delete(pointer)
	listener.pointer = nil
	C.ReleaseFastListener(pointer)
}
