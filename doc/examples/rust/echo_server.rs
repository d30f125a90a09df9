//! echo_server: sends back whatever it receives.
//!
//!     rustc --edition 2021 -O echo_server.rs -lfastsocket
//!     ./echo_server [HOST [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

mod fastsocket;

use fastsocket::{Ring, Socket, POLLHUP, POLLIN, POLLOUT};
use std::{cell::Cell, cell::RefCell, env, io, rc::Rc};

const LIMIT: usize = 1 << 20; // bytes queued at which we stop reading from a connection
const SHORTAGES: [i32; 4] = [12, 23, 24, 105]; // ENOMEM, ENFILE, EMFILE, ENOBUFS
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

type Connections = Rc<RefCell<Vec<Rc<Socket>>>>;

fn handle_event(connections: &Connections, connection: &Rc<Socket>, event: i32) {
    match event {
        POLLIN => {
            let _ = connection.forward(connection); // if the peer is gone, POLLHUP tells soon
            if connection.outbound_length() >= LIMIT {
                connection.pause(); // until POLLOUT
            }
        }
        POLLOUT => connection.resume(),
        POLLHUP => {
            connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
            connection.release(); // what is queued still leaves
        }
        _ => {}
    }
}

fn main() -> io::Result<()> {
    let host = env::args().nth(1).unwrap_or("127.0.0.1".into());
    let port = env::args().nth(2).unwrap_or("7000".into());
    let ring = Rc::new(Ring::new()?);
    let connections = Connections::default();
    let stopped = Rc::new(Cell::new(false));

    let (accepting, accepted) = (ring.clone(), connections.clone());
    let listener = ring.listen(&format!("{host}:{port}"), move |_, connection| {
        let ours = accepted.clone();
        match connection.and_then(|handle| accepting.open(handle, 0, move |socket, event, _| handle_event(&ours, socket, event))) {
            Ok(socket) => accepted.borrow_mut().push(socket),
            Err(error) => assert!(SHORTAGES.contains(&error.raw_os_error().unwrap()), "{error}"), // of these it tries again
        }
    })?;
    for number in [SIGINT, SIGTERM] {
        let stop = stopped.clone();
        ring.signal(number, move || stop.set(true))?;
    }
    println!("listening on {}", listener.address()?);
    ring.run(|| !stopped.get())?;

    listener.release();
    connections.take().iter().for_each(|connection| connection.release());
    ring.run(|| ring.pending() > 0)
}
