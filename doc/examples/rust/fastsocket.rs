//! fastsocket: libfastsocket for Rust, without any crate.
//!
//!     rustc --edition 2021 echo_server.rs -lfastsocket
//!
//! What a binding has to take care of, and this one does (../README.md tells more):
//!
//! - A ring and what lives on it belong to one thread: none of these types is Send.
//! - A panic can't pass through C. The first one of a turn is kept, and goes on behind it.
//! - What C calls is found in a table by the pointer that called, which keeps handler and object from
//!   their creation to the release; it may come inside the handler itself.
//! - bindgen reads no number that is written by UINT64_C, as those of the features are: here they are.
#![allow(dead_code)] // not every program uses all

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_void, CStr, CString};
use std::io::{Error, Result};
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::raw::{c_char, c_int};
use std::os::unix::io::FromRawFd;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::rc::Rc;

pub const POLLIN: c_int = 1;
pub const POLLOUT: c_int = 4;
pub const POLLERR: c_int = 8;
pub const POLLHUP: c_int = 16;
pub const FASTSOCKET_MODE_REGULAR: c_int = 0;
pub const FASTSOCKET_MODE_ZERO_COPY: c_int = 0x4000000;
pub const FASTSOCKET_MODE_AUTO_CORK: c_int = 0x8000;
pub const FASTSOCKET_MODE_FILE_IO: c_int = 0x4;
pub const FASTRING_FEATURE_SINGLE_ISSUER: u64 = 1 << 0;
pub const FASTRING_FEATURE_DEFER_TASKRUN: u64 = 1 << 1;
pub const FASTRING_FEATURE_COOP_TASKRUN: u64 = 1 << 2;
pub const FASTRING_FEATURE_NO_SQARRAY: u64 = 1 << 3;
pub const FASTRING_FEATURE_NO_IOWAIT: u64 = 1 << 4;
pub const FASTRING_FEATURE_RECEIVE_MULTISHOT: u64 = 1 << 5;
pub const FASTRING_FEATURE_RECEIVE_BUNDLE: u64 = 1 << 6;
pub const FASTRING_FEATURE_RECEIVE_CAP: u64 = 1 << 7;
pub const FASTRING_FEATURE_ACCEPT_MULTISHOT: u64 = 1 << 8;
pub const FASTRING_FEATURE_SEND_ZERO_COPY: u64 = 1 << 9;
pub const FASTRING_FEATURE_SENDMSG_ZERO_COPY: u64 = 1 << 10;
pub const FASTRING_FEATURE_ZERO_COPY_REPORT: u64 = 1 << 11;
pub const FASTRING_FEATURE_READ_MULTISHOT: u64 = 1 << 12;
pub const FASTRING_FEATURE_WRITE_NO_SIGNAL: u64 = 1 << 13;
pub const FASTRING_FEATURE_NAPI: u64 = 1 << 14;
pub const FASTRING_FEATURE_MINIMUM_WAIT: u64 = 1 << 15;
pub const FASTRING_FEATURE_ACCEPT_AT_ONCE: u64 = 1 << 16;

type Pointer = *mut c_void;
type HandleEvent = extern "C" fn(Pointer, c_int, c_int);
type HandleConnection = extern "C" fn(Pointer, c_int, Pointer);
type HandleSignal = extern "C" fn(Pointer, c_int, c_int, c_int, c_int, Pointer);

#[rustfmt::skip]
extern "C" {
    fn CreateFastRing(length: u32) -> Pointer;
    fn ReleaseFastRing(ring: Pointer);
    fn WaitForFastRing(ring: Pointer, interval: u32, mask: Pointer) -> c_int;
    fn GetFastRingHandle(ring: Pointer) -> c_int;
    fn GetFastRingInterval(ring: Pointer) -> c_int;
    fn GetFastRingPending(ring: Pointer) -> usize;
    fn GetFastRingFeatures(ring: Pointer) -> u64;
    fn AddFastRingSignal(ring: Pointer, number: c_int, function: HandleSignal, closure: Pointer) -> Pointer;
    fn OpenFastSocket(ring: Pointer, handle: c_int, mode: c_int, function: HandleEvent, closure: Pointer) -> Pointer;
    fn ConnectFastSocket(ring: Pointer, address: *const c_char, mode: c_int, function: HandleEvent, closure: Pointer) -> Pointer;
    fn ListenFastSocket(ring: Pointer, address: *const c_char, flags: c_int, function: HandleConnection, closure: Pointer) -> Pointer;
    fn GetFastListenerHandle(listener: Pointer) -> c_int;
    fn ReleaseFastListener(listener: Pointer);
    fn ReleaseFastSocket(socket: Pointer);
    fn AbortFastSocket(socket: Pointer);
    fn ShutdownFastSocket(socket: Pointer) -> c_int;
    fn PauseFastSocket(socket: Pointer) -> c_int;
    fn ResumeFastSocket(socket: Pointer) -> c_int;
    fn GetFastSocketOutboundLength(socket: Pointer) -> usize;
    fn GetFastSocketErrorText(socket: Pointer) -> *const c_char;
    fn TransmitFastSocketData(socket: Pointer, address: Pointer, length: u32, data: *const u8, size: usize, flags: c_int) -> c_int;
    fn TransmitFastSocketBuffer(socket: Pointer, address: Pointer, length: u32, buffer: Pointer, offset: usize, size: usize, flags: c_int) -> c_int;
    fn ReceiveFastSocketBuffer(socket: Pointer) -> Pointer;
    fn GetFastBufferData(buffer: Pointer) -> *const u8;
    fn GetFastBufferLength(buffer: Pointer) -> usize;
    fn ReleaseFastBuffer(buffer: Pointer);
}

fn found(pointer: Pointer) -> Result<Pointer> {
    if pointer.is_null() { Err(Error::last_os_error()) } else { Ok(pointer) }
}

fn done(result: c_int) -> Result<c_int> {
    if result < 0 { Err(Error::from_raw_os_error(-result)) } else { Ok(result) }
}

// ---- the callbacks

thread_local! {
    static SOCKETS: RefCell<HashMap<Pointer, Rc<Socket>>> = RefCell::default();
    static LISTENERS: RefCell<HashMap<Pointer, Rc<Listener>>> = RefCell::default();
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = RefCell::default();
}

fn guard(function: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(function)) {
        PANIC.with(|kept| {
            kept.borrow_mut().get_or_insert(panic);
        });
    }
}

extern "C" fn handle_event(pointer: Pointer, event: c_int, parameter: c_int) {
    guard(|| {
        let socket = SOCKETS.with(|sockets| sockets.borrow()[&pointer].clone());
        (socket.handler)(&socket, event, parameter);
    });
}

extern "C" fn handle_connection(pointer: Pointer, handle: c_int, _: Pointer) {
    guard(|| {
        let listener = LISTENERS.with(|listeners| listeners.borrow()[&pointer].clone());
        (listener.handler)(&listener, done(handle));
    });
}

extern "C" fn handle_signal(_: Pointer, _: c_int, _: c_int, _: c_int, _: c_int, closure: Pointer) {
    guard(|| unsafe { (*(closure as *const Box<dyn Fn()>))() });
}

// ---- the objects

/// The event loop. Its end tells the sockets that are left; their output is dropped.
pub struct Ring(Pointer);

impl Ring {
    pub fn new() -> Result<Ring> {
        unsafe { Ok(Ring(found(CreateFastRing(0))?)) }
    }

    /// Runs one turn; handlers are called in it. None waits for something to happen.
    pub fn wait(&self, milliseconds: Option<u32>) -> Result<()> {
        let result = unsafe { WaitForFastRing(self.0, milliseconds.unwrap_or(u32::MAX), null_mut()) };
        if let Some(panic) = PANIC.with(|kept| kept.borrow_mut().take()) {
            resume_unwind(panic);
        }
        done(result).map(drop)
    }

    /// Turns while a condition holds.
    pub fn run(&self, condition: impl Fn() -> bool) -> Result<()> {
        while condition() {
            self.wait(None)?;
        }
        Ok(())
    }

    /// For a foreign loop: readable when a turn is due, and milliseconds until one is all the same.
    pub fn handle(&self) -> Result<(c_int, Option<u32>)> {
        let interval = unsafe { GetFastRingInterval(self.0) };
        Ok((done(unsafe { GetFastRingHandle(self.0) })?, u32::try_from(interval).ok()))
    }

    /// Sockets that still have something to send or to close.
    pub fn pending(&self) -> usize {
        unsafe { GetFastRingPending(self.0) }
    }

    /// A sum of FASTRING_FEATURE_*.
    pub fn features(&self) -> u64 {
        unsafe { GetFastRingFeatures(self.0) }
    }

    /// Where this thread is the only one; else the others block the signal. The handler stays.
    pub fn signal(&self, number: c_int, handler: impl Fn() + 'static) -> Result<()> {
        let closure: *mut Box<dyn Fn()> = Box::into_raw(Box::new(Box::new(handler)));
        unsafe { found(AddFastRingSignal(self.0, number, handle_signal, closure.cast())).map(drop) }
    }

    /// The descriptor is the socket's from now on. handler: socket, event, parameter.
    pub fn open(&self, handle: c_int, mode: c_int, handler: impl Fn(&Rc<Socket>, c_int, c_int) + 'static) -> Result<Rc<Socket>> {
        Socket::keep(unsafe { OpenFastSocket(self.0, handle, mode, handle_event, null_mut()) }, Box::new(handler))
    }

    pub fn connect(&self, address: &str, handler: impl Fn(&Rc<Socket>, c_int, c_int) + 'static) -> Result<Rc<Socket>> {
        let address = CString::new(address)?;
        Socket::keep(unsafe { ConnectFastSocket(self.0, address.as_ptr(), 0, handle_event, null_mut()) }, Box::new(handler))
    }

    /// handler gets each connection's descriptor, or an error.
    pub fn listen(&self, address: &str, handler: impl Fn(&Rc<Listener>, Result<c_int>) + 'static) -> Result<Rc<Listener>> {
        let address = CString::new(address)?;
        let pointer = found(unsafe { ListenFastSocket(self.0, address.as_ptr(), 0, handle_connection, null_mut()) })?;
        let listener = Rc::new(Listener { pointer: Cell::new(pointer), handler: Box::new(handler) });
        LISTENERS.with(|listeners| listeners.borrow_mut().insert(pointer, listener.clone()));
        Ok(listener)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        unsafe { ReleaseFastRing(self.0) }
    }
}

/// A connection, or with FASTSOCKET_MODE_FILE_IO whatever can be read or written. Once released, every
/// call gets EINVAL.
pub struct Socket {
    pointer: Cell<Pointer>,
    handler: Box<dyn Fn(&Rc<Socket>, c_int, c_int)>,
}

impl Socket {
    fn keep(pointer: Pointer, handler: Box<dyn Fn(&Rc<Socket>, c_int, c_int)>) -> Result<Rc<Socket>> {
        let socket = Rc::new(Socket { pointer: Cell::new(found(pointer)?), handler });
        SOCKETS.with(|sockets| sockets.borrow_mut().insert(pointer, socket.clone()));
        Ok(socket)
    }

    fn forget(&self) -> Pointer {
        let pointer = self.pointer.replace(null_mut());
        let _kept = SOCKETS.with(|sockets| sockets.borrow_mut().remove(&pointer));
        pointer
    }

    /// The next chunk of input. POLLIN comes once: take all there is.
    pub fn receive(&self) -> Option<Vec<u8>> {
        unsafe {
            let buffer = ReceiveFastSocketBuffer(self.pointer.get());
            if buffer.is_null() {
                return None;
            }
            let data = std::slice::from_raw_parts(GetFastBufferData(buffer), GetFastBufferLength(buffer)).to_vec();
            ReleaseFastBuffer(buffer);
            Some(data)
        }
    }

    pub fn transmit(&self, data: &[u8]) -> Result<()> {
        done(unsafe { TransmitFastSocketData(self.pointer.get(), null_mut(), 0, data.as_ptr(), data.len(), 0) }).map(drop)
    }

    /// Hands all input on to another socket, or back to this one; nothing is copied.
    pub fn forward(&self, other: &Socket) -> Result<()> {
        unsafe {
            loop {
                let buffer = ReceiveFastSocketBuffer(self.pointer.get());
                if buffer.is_null() {
                    return Ok(());
                }
                let length = GetFastBufferLength(buffer);
                done(TransmitFastSocketBuffer(other.pointer.get(), null_mut(), 0, buffer, 0, length, 0))?;
            }
        }
    }

    pub fn outbound_length(&self) -> usize {
        unsafe { GetFastSocketOutboundLength(self.pointer.get()) }
    }

    /// Why it has failed.
    pub fn error_text(&self) -> Option<String> {
        let text = unsafe { GetFastSocketErrorText(self.pointer.get()) };
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }

    pub fn pause(&self) {
        unsafe { PauseFastSocket(self.pointer.get()) };
    }

    pub fn resume(&self) {
        unsafe { ResumeFastSocket(self.pointer.get()) };
    }

    pub fn shutdown(&self) {
        unsafe { ShutdownFastSocket(self.pointer.get()) };
    }

    /// Sends what is queued and closes, in the background. The handler is not called again.
    pub fn release(&self) {
        unsafe { ReleaseFastSocket(self.forget()) }
    }

    pub fn abort(&self) {
        unsafe { AbortFastSocket(self.forget()) }
    }
}

pub struct Listener {
    pointer: Cell<Pointer>,
    handler: Box<dyn Fn(&Rc<Listener>, Result<c_int>)>,
}

impl Listener {
    pub fn address(&self) -> Result<SocketAddr> {
        let handle = done(unsafe { GetFastListenerHandle(self.pointer.get()) })?;
        ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(handle) }).local_addr() // stays open
    }

    pub fn release(&self) {
        let pointer = self.pointer.replace(null_mut());
        let _kept = LISTENERS.with(|listeners| listeners.borrow_mut().remove(&pointer));
        unsafe { ReleaseFastListener(pointer) }
    }
}
