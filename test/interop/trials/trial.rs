//! What can go wrong between a library that calls back and Rust: test/interop/bindings.py has the words
//! that this must print. It is compiled beside fastsocket.rs.

mod fastsocket;

use fastsocket::{Ring, Socket, POLLHUP, POLLIN, POLLOUT};
use std::{cell::Cell, cell::RefCell, io::Result, panic, process, rc::Rc};

fn main() -> Result<()> {
    let ring = Rc::new(Ring::new()?);
    let address = format!("unix:@fastsocket-trial-{}", process::id());
    let served = Rc::new(Cell::new(0));
    let raises = Rc::new(Cell::new(true));

    let (opening, count, bad) = (ring.clone(), served.clone(), raises.clone());
    ring.listen(&address, move |_, handle| {
        let (count, bad) = (count.clone(), bad.clone());
        count.set(count.get() + 1);
        let serve = move |socket: &Rc<Socket>, event, _| {
            if event == POLLIN && bad.replace(false) {
                panic!("told");
            }
            if event == POLLIN {
                socket.forward(socket).unwrap();
            } else if event == POLLHUP {
                count.set(count.get() - 1);
                socket.release();
            }
        };
        opening.open(handle.unwrap(), 0, serve).unwrap();
    })?;
    let rests = || served.get() == 0 && ring.pending() == 0;

    // A handler panics; afterwards everything is as if it had returned.
    let text = Rc::new(RefCell::new(Vec::new()));
    let sink = text.clone();
    let client = ring.connect(&address, move |socket, event, _| {
        if event == POLLIN {
            sink.borrow_mut().extend(socket.receive().unwrap());
        }
    })?;
    client.transmit(b"first")?;
    let result = panic::catch_unwind(panic::AssertUnwindSafe(|| ring.run(|| true)));
    println!("raised: {}", result.unwrap_err().downcast_ref::<&str>().unwrap());
    client.transmit(b"again")?;
    ring.run(|| text.borrow().len() < 10)?;
    println!("usable: {}", String::from_utf8_lossy(&text.borrow()));

    // A release inside the socket's own handler, of either side.
    client.release();
    ring.run(|| !rests())?;
    let released = Rc::new(Cell::new(false));
    let mark = released.clone();
    let other = ring.connect(&address, move |socket, event, _| {
        if event == POLLIN {
            socket.release();
            mark.set(true);
        }
    })?;
    other.transmit(b"x")?;
    drop(other);
    ring.run(|| !released.get() || !rests())?;
    println!("released");

    // Nothing but the library knows the handlers.
    let count = Rc::new(Cell::new(0));
    for _ in 0..100 {
        let count = count.clone();
        ring.connect(&address, move |socket, event, _| {
            if event == POLLOUT && socket.outbound_length() == 0 {
                socket.transmit(&[b'x'; 100]).unwrap();
            } else if event == POLLIN {
                count.set(count.get() + 1);
                socket.release();
            }
        })?;
    }
    ring.run(|| count.get() < 100 || !rests())?;
    println!("collected: {}", count.get());

    // The end, with everything left as it is.
    ring.connect(&address, |_, _, _| {})?.transmit(&[b'x'; 1000000])?;
    ring.wait(None)?;
    println!("exit");
    process::exit(0)
}
