// What can go wrong between a library that calls back and Go: test/interop/bindings.py has the words that
// this must print. It is built in a copy of the examples' module.
package main

import (
	"fmt"
	"os"
	"runtime"

	"examples/fastsocket"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ring, err := fastsocket.NewRing()
	check(err)
	address := fmt.Sprintf("unix:@fastsocket-trial-%d", os.Getpid())
	served, raises := 0, true
	_, err = ring.Listen(address, func(handle int, err error) {
		check(err)
		served++
		_, err = ring.Open(handle, 0, func(socket *fastsocket.Socket, event int, _ int) {
			if event == fastsocket.POLLIN && raises {
				raises = false
				panic("told")
			}
			if event == fastsocket.POLLIN {
				check(socket.Forward(socket))
			} else if event == fastsocket.POLLHUP {
				served--
				socket.Release()
			}
		})
		check(err)
	})
	check(err)
	works := func() bool { return served > 0 || ring.Pending() > 0 }

	// A handler panics; afterwards everything is as if it had returned.
	text := ""
	client, err := ring.Connect(address, func(socket *fastsocket.Socket, event int, _ int) {
		if event == fastsocket.POLLIN {
			text += string(socket.Receive())
		}
	})
	check(err)
	check(client.Transmit([]byte("first")))
	fmt.Println("raised:", ring.Run(func() bool { return true }))
	check(client.Transmit([]byte("again")))
	check(ring.Run(func() bool { return len(text) < 10 }))
	fmt.Println("usable:", text)

	// A release inside the socket's own handler, of either side.
	client.Release()
	check(ring.Run(works))
	released := false
	other, err := ring.Connect(address, func(socket *fastsocket.Socket, event int, _ int) {
		if event == fastsocket.POLLIN {
			socket.Release()
			released = true
		}
	})
	check(err)
	check(other.Transmit([]byte("x")))
	check(ring.Run(func() bool { return !released || works() }))
	fmt.Println("released")

	// Nothing but the library knows the handlers, while the collector runs, and other goroutines post.
	count, posted := 0, 0
	for index := 0; index < 100; index++ {
		collects := index%10 == 0
		_, err := ring.Connect(address, func(socket *fastsocket.Socket, event int, _ int) {
			if collects {
				runtime.GC()
			}
			if event == fastsocket.POLLOUT && socket.OutboundLength() == 0 {
				check(socket.Transmit(make([]byte, 100)))
			} else if event == fastsocket.POLLIN {
				count++
				socket.Release()
			}
		})
		check(err)
		go func() { check(ring.Post(func() { posted++ })) }()
	}
	runtime.GC()
	check(ring.Run(func() bool { return count < 100 || posted < 100 || works() }))
	fmt.Println("collected:", count)

	// The end, with everything left as it is.
	last, err := ring.Connect(address, func(*fastsocket.Socket, int, int) {})
	check(err)
	check(last.Transmit(make([]byte, 1000000)))
	check(ring.Wait())
	fmt.Println("exit")
}
