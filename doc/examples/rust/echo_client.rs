//! echo_client: sends its input over a connection and writes what comes back, until the peer ends.
//!
//!     rustc --edition 2021 -O echo_client.rs -lfastsocket
//!     ./echo_client HOST PORT < data > same-data
//!
//! Input and output are sockets, too (FASTSOCKET_MODE_FILE_IO): buffers are handed on.

mod fastsocket;
use fastsocket::{Ring, Socket, FASTSOCKET_MODE_FILE_IO, POLLERR, POLLHUP, POLLIN, POLLOUT};
use std::{cell::Cell, cell::RefCell, env, io, rc::Rc};

const LIMIT: usize = 1 << 20; // bytes queued at which we stop reading the other side

#[derive(Default)]
struct Client {
    sockets: RefCell<Vec<Rc<Socket>>>, // as below
    error: RefCell<Option<String>>,
    ended: Cell<bool>,
}
const CONNECTION: usize = 0;
const INPUT: usize = 1;
const OUTPUT: usize = 2;

fn handle_event(client: &Client, which: usize, socket: &Rc<Socket>, event: i32) {
    let at = |index: usize| client.sockets.borrow()[index].clone();
    let other = at(if which == CONNECTION { OUTPUT } else { CONNECTION });
    match (which, event) {
        (CONNECTION | INPUT, POLLIN) => {
            let _ = socket.forward(&other); // POLLERR and POLLHUP tell of a failure
            if other.outbound_length() >= LIMIT {
                socket.pause();
            }
        }
        (CONNECTION, POLLOUT) => at(INPUT).resume(),
        (OUTPUT, POLLOUT) => at(CONNECTION).resume(),
        (CONNECTION | OUTPUT, POLLERR) => *client.error.borrow_mut() = socket.error_text(),
        (CONNECTION | OUTPUT, POLLHUP) => client.ended.set(true),
        (INPUT, POLLHUP) => other.shutdown(),
        _ => {}
    }
}

fn main() -> io::Result<()> {
    let ring = Ring::new()?;
    let client = Rc::new(Client::default());
    let handler = |which| {
        let client = client.clone();
        move |socket: &Rc<Socket>, event, _| handle_event(&client, which, socket, event)
    };
    let address = env::args().skip(1).collect::<Vec<_>>().join(":");
    let connection = ring.connect(&address, handler(CONNECTION))?;
    let input = ring.open(0, FASTSOCKET_MODE_FILE_IO, handler(INPUT))?;
    let output = ring.open(1, FASTSOCKET_MODE_FILE_IO, handler(OUTPUT))?;
    output.pause(); // a terminal is read, too: by the input alone
    client.sockets.replace(vec![connection, input, output]);
    ring.run(|| !client.ended.get())?;
    client.sockets.borrow().iter().for_each(|socket| socket.release());
    ring.run(|| ring.pending() > 0)?;
    client.error.take().map_or(Ok(()), |error| Err(io::Error::new(io::ErrorKind::Other, error)))
}
