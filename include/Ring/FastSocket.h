/*
 * Ring/FastSocket.h: asynchronous sockets with callback events.
 *
 * A socket takes over a connected or connecting stream or seqpacket socket (TCP, MPTCP, AF_UNIX,
 * vsock, SCTP …), or a socket of datagrams (UDP, AF_UNIX, netlink, packets, raw ones …): see «Kinds
 * of sockets» below; with FASTSOCKET_MODE_FILE_IO also a pipe, a terminal or another file. Input
 * arrives in buffers that the kernel fills, is queued, and reported by POLLIN; output is copied or
 * handed over, queued, gathered and sent with the next turn (much of it may leave at once: see the
 * transmits).
 *
 * Rules that hold for every function here, unless its own comment says otherwise:
 *
 * Thread     The ring's own (see Ring/FastRing.h); callbacks may call everything. From another
 *            thread a function returns -EPERM, or NULL with errno EPERM; functions without a result
 *            do nothing.
 * Errors     Functions that return a pointer give NULL and set errno; the others return 0 or a
 *            count, or a negative errno. NULL for the socket gives EINVAL.
 * Defunct    When the ring is released before a socket, the socket becomes defunct: valid until
 *            ReleaseFastSocket; transmits give -EPIPE, every other call -ECANCELED.
 * Since      1.0, where nothing else is said.
 */
#ifndef RING_FASTSOCKET_H
#define RING_FASTSOCKET_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>

#ifdef __cplusplus
extern "C"
{
#endif

struct FastSocket;
struct FastListener;

/* Modes: how output is sent. Any sum of them. */
#define FASTSOCKET_MODE_REGULAR    0          /* copied by the kernel */
#define FASTSOCKET_MODE_ZERO_COPY  0x4000000  /* MSG_ZEROCOPY: large sends without a copy */
#define FASTSOCKET_MODE_AUTO_CORK  0x8000     /* MSG_MORE: bursts of TCP leave in full segments */
#define FASTSOCKET_MODE_FILE_IO    0x4        /* MSG_DONTROUTE: what is no socket, too */

/*
 * FASTSOCKET_MODE_FILE_IO takes pipes, FIFOs, terminals, eventfd, timerfd, signalfd and other
 * devices, regular files, and sockets too. What is no socket is a stream of bytes:
 *
 * Direction  As the descriptor was opened. Without reading: receives give -EBADF, and neither
 *            provider nor inbound is needed (but one pool of the two). Without writing: transmits
 *            give -EBADF.
 * The end    POLLHUP with 0: a pipe's last writer has closed, a regular file's end was met, a
 *            terminal gave an end of file (^D) or was hung up. Like every end of input it is
 *            reported behind what is unread, and after a pause. A job in the background that reads
 *            its terminal is not stopped: it gets nothing while it is there. What it writes is
 *            written, TOSTOP or not.
 * Packets    What one read of a pipe, a terminal or a device gave is one buffer of
 *            ReceiveFastSocketBuffer, however far behind the program is: a packet of a TUN or TAP
 *            device or of a pipe with O_DIRECT, a line of a terminal, a count of an eventfd. What
 *            is longer than the provider's buffers is cut by the file, as by a read of that size.
 *            ReceiveFastSocketData reads over the borders; of regular files and block devices there
 *            are none.
 * Errors     What a read gives is POLLERR with its errno, then POLLHUP: also the ECANCELED of a
 *            timerfd with TFD_TIMER_CANCEL_ON_SET whose clock was set (a watch tells it each time
 *            instead).
 * Writing    One write is in flight, short counts are resumed, and SIGPIPE is never raised: a pipe
 *            without a reader is POLLERR with EPIPE. Calls are gathered for pipes, terminals and
 *            regular files (limit 1 keeps them apart); elsewhere, as for an eventfd or a pipe that
 *            was opened with O_DIRECT, each is a write of its own. A regular file is read and
 *            written at its position.
 * Waiting    A pipe or a terminal whose other side does nothing stops neither the loop nor other
 *            files, and takes no thread of the kernel's. For that it may be opened once more
 *            (through /proc, with O_NONBLOCK and FD_CLOEXEC; closed at once in a child that fork(2)
 *            makes). Where it can't be opened (another user's file, no /proc, a pseudo-terminal's
 *            master) the same holds as long as nobody else reads, flushes or writes it between a
 *            poll and what follows; otherwise a thread of the kernel's waits, not the loop. So it
 *            does for a SPLICE, and for the server of a FUSE file.
 * Arguments  message must be NULL. Transmits take no address, no control data, and no flags but
 *            MSG_NOSIGNAL and MSG_MORE; of operations WRITE, WRITEV, WRITE_FIXED and SPLICE, and
 *            those without a buffer. The same holds for a socket in this mode, which otherwise
 *            works as it does without (operations as for sockets).
 * Left alone FD_CLOEXEC, O_NONBLOCK (but on epoll for the time of a call, where nothing else keeps
 *            it from waiting), and the settings of a terminal. ShutdownFastSocket is refused with
 *            -EOPNOTSUPP (release the socket to end its output). A release writes what is queued,
 *            reads nothing more, and closes.
 *
 * Contents   are bytes to the library. Descriptors in what a file is read as (fanotify's events)
 *            are the program's to close: also those in input that it never takes, so take all of
 *            it.
 *
 * With ZERO_COPY it is refused with EINVAL; AUTO_CORK has no effect on what is no TCP socket.
 */

/*
 * Kinds of sockets. The type says how one behaves. SOCK_STREAM is bytes; SOCK_SEQPACKET is messages
 * of a connection; SOCK_DGRAM, SOCK_RAW and SOCK_RDM are messages each on its own. Before 1.1 all
 * but TCP, UDP and AF_UNIX were refused with EOPNOTSUPP. Tried, beside these:
 *
 * MPTCP      like TCP, whether the peer has it or not.
 * vsock      stream and seqpacket.
 * SCTP       one-to-one (SOCK_STREAM): a seqpacket socket here, for it keeps the borders of
 *            messages. One-to-many (SOCK_SEQPACKET): a datagram socket here, for its messages have
 *            addresses; it may be listening. A message larger than a buffer comes in pieces; with a
 *            message header, the last one has MSG_EOR in its flags, and notifications have
 *            MSG_NOTIFICATION. ShutdownFastSocket ends both directions.
 * Netlink    ENOBUFS at POLLERR says that messages were lost, and nothing else: never a lack of
 *            buffers.
 * Packets    AF_PACKET, SOCK_RAW and SOCK_DGRAM; not those in rings that are mapped
 *            (PACKET_RX_RING).
 * Raw, ping  over IPv4 and IPv6: SOCK_RAW, and SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6.
 * UDP-Lite   like UDP.
 * TIPC       stream and seqpacket, as an example of those that the library doesn't know.
 *
 * A socket of a family that isn't known here is served by its type, with nothing that only some
 * families understand: no zero copy, no receive of several buffers at once, no waiting for all
 * bytes of a send. A connection of such a family that can neither be read nor written yet counts as
 * connecting. Refused with EOPNOTSUPP are AF_XDP, whose packets lie in rings of its own, and
 * AF_ALG, whose output is made by reading it. A message that its family refuses as too long is
 * reported by POLLERR with EMSGSIZE, which is fatal on a seqpacket socket.
 */

/*
 * TLS by the kernel (TCP_ULP "tls") is set up by the program, before or after CreateFastSocket.
 * What is transmitted becomes data records, or with TLS_SET_RECORD_TYPE as a message's control data
 * others. Of what is received
 *
 * with a message header   with room for control data (CMSG_SPACE(1) at least) each chunk has its
 *            records' type there (TLS_GET_RECORD_TYPE), alerts and handshake messages too.
 * without    a record that is no data stops receiving, behind what is queued: POLLERR with EIO,
 *            once. It is not fatal: GetFastSocketError gives 0, and sending goes on. The program
 *            reads the record by recvmsg(2) on GetFastSocketHandle and calls ResumeFastSocket;
 *            unread, it is reported again.
 *
 * POLLERR with EKEYEXPIRED in either case, in the same way, when receiving met a KeyUpdate whose
 * key was not set yet: set it, and call ResumeFastSocket. A socket that is paused hears of it after
 * its resume.
 */

/*
 * Called on the ring's thread, from inside WaitForFastRing only (and, for the last POLLHUP,
 * ReleaseFastRing). event is exactly one of
 *
 * POLLIN     new input was queued. parameter = unread payload bytes, at most INT_MAX; 0 only when
 *            nothing but empty datagrams is queued. At most once a turn; not repeated for data left
 *            unread.
 * POLLOUT    the socket became writable for the first time with nothing queued, or the kernel
 *            accepted the last queued byte, or more of the queue than is above
 *            FASTSOCKET_OPTION_OUTBOUND_LOW. parameter = 0. At most once a turn. The first one says
 *            that a connecting socket is connected; POLLIN may have come before it. A connection
 *            that waits for its first bytes (TCP_FASTOPEN_CONNECT) is writable at once: they make
 *            it, and a failure is reported behind them.
 * POLLERR    parameter = positive errno. On a stream or seqpacket socket it is fatal: reported
 *            once, queued output was dropped, POLLHUP follows (except after POLLHUP with 0: that
 *            was the only one). On a datagram socket it concerns one datagram, and the socket works
 *            on: one that could not be sent, which failedMessages counts, or one sent before, of
 *            which the kernel has heard since. What is queued behind is sent in either case.
 *            ENOBUFS on a netlink socket: messages were lost. On a TCP socket with kernel TLS see
 *            above.
 * POLLHUP    at most once. parameter = 0: the peer ended its output, sending still works; errno:
 *            the end after a POLLERR; ECANCELED: the ring is being released.
 *
 * in this order within a turn: POLLIN, POLLOUT, POLLERR, POLLHUP. Input that is queued stays
 * readable until the socket is released.
 */
typedef void (*HandleFastSocketEvent)(struct FastSocket* socket, int event, int parameter);

/* ---- life ---------------------------------------------------------------------------------- */

/*
 * Makes a socket of a descriptor, and starts to receive.
 *
 * ring       where it lives.
 * provider   buffers to receive into, of the same ring, made with AllocateRingFastBuffer, or, since
 *            1.1, with a function that calls it for each, with the same closure.
 * inbound    pool that replaces received buffers; of the same ring, or of none.
 * outbound   pool for copies of what is sent; NULL: TransmitFastSocketData and
 *            TransmitFastSocketMessage return -EINVAL.
 * handle     an open socket, blocking or not: connected, connecting, or of datagrams; with
 *            FASTSOCKET_MODE_FILE_IO any descriptor to read or write.
 * message    NULL: buffers hold payload alone. Otherwise input comes with its metadata as from
 *            recvmsg: msg_namelen and msg_controllen tell how much room for address and control
 *            data (all else is ignored); 16 + msg_namelen + msg_controllen must be less than the
 *            provider's buffer length. Control data is aligned where msg_namelen is 0 or a multiple
 *            of 8, as sizeof(struct sockaddr_storage) is; that of struct sockaddr_in6 (28) is not.
 *            See GetFastSocketMessageHeader.
 * flags      for receiving: 0 or any of MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, MSG_DONTWAIT and
 *            MSG_WAITALL, the last three without effect. Others give EINVAL.
 * mode       a sum of FASTSOCKET_MODE_*.
 * limit      most messages that are handed to the kernel at once; 0 = automatic; capped at 1024.
 * function   called for each event, or NULL for a program that polls.
 * closure    for GetFastSocketClosure.
 *
 * A plain datagram socket (message NULL) needs 16 bytes of each buffer for a header of the
 * kernel's: a buffer of length bytes receives datagrams up to length - 16 whole.
 *
 * UDP_GRO: the kernel may then join several datagrams of one source, up to 64 KiB, in one buffer.
 * Since 1.1 they are read one by one all the same, where the option is on at creation (it is not
 * asked later), message has no room for control data, and the provider's buffers have room for
 * all: 65 807 bytes and the room for a name, so give it buffers of 66 KiB. Otherwise they come as
 * the kernel has joined them; who gives room for control data finds their size there (UDP_GRO).
 *
 * Options set before control returns to the loop are in force before the first byte is received.
 *
 * Ownership: on success the socket owns handle, sets FD_CLOEXEC on it (not with FILE_IO) and closes
 *            it in the end. On failure the caller keeps it, unchanged. Provider and pools may be
 *            released before the socket.
 * Returns:   the socket, or NULL with EINVAL (an argument), EBADF (also a descriptor opened with
 *            O_PATH), ENOTSOCK (no socket, and no FILE_IO), ENOTCONN (a stream or seqpacket socket
 *            that was never connected), EOPNOTSUPP (a listening socket: see CreateFastListener; a
 *            directory; AF_XDP, AF_ALG), ENOMEM, EPERM, ECANCELED. A connect that
 *            has failed is no failure here: it is reported by POLLERR and POLLHUP in the first
 *            turn.
 */
struct FastSocket* CreateFastSocket(struct FastRing* ring, struct FastRingBufferProvider* provider,
                                    struct FastBufferPool* inbound, struct FastBufferPool* outbound,
                                    int handle, struct msghdr* message, int flags, int mode,
                                    uint32_t limit, HandleFastSocketEvent function, void* closure);

/*
 * Makes a socket of a descriptor as CreateFastSocket does, with a provider and pools of the ring's
 * own: made when they are first needed, of the size that FASTRING_OPTION_BUFFER_COUNT and
 * FASTRING_OPTION_BUFFER_LENGTH tell, and gone with the ring. A plain datagram socket receives
 * datagrams up to that length - 16 whole.
 *
 * handle, mode, function, closure: as there; message is NULL, flags and limit are 0.
 *
 * Ownership: as there.
 * Returns:   as CreateFastSocket; also NULL with what the creation of a provider or a pool gives.
 * Since:     1.1
 */
struct FastSocket* OpenFastSocket(struct FastRing* ring, int handle, int mode,
                                  HandleFastSocketEvent function, void* closure);

/*
 * Releases a socket, which may be NULL: nothing is called back afterwards (but those who wait by
 * NotifyFastSocketTransmit, once each, within the next turn), unread input is dropped, queued
 * output is still sent (see FASTSOCKET_OPTION_RELEASE_TIMEOUT), then the connection is ended and
 * the descriptor closed, in the background. On a stream or seqpacket socket that takes up to a
 * second after the last output (FASTSOCKET_OPTION_LINGER_TIMEOUT), until the peer ends its own: it
 * could miss the last bytes if the descriptor were closed with input unread. GetFastRingPending
 * counts it until the file is let go of too: until then its port, lock or name may still be taken.
 * The pointer is the library's from then on: using it, also for receiving, is undefined.
 */
void ReleaseFastSocket(struct FastSocket* socket);

/* Drops all input and output, resets the connection and releases the socket, which may be NULL. It
 * is closed within the next turns; GetFastRingPending counts it until then. */
void AbortFastSocket(struct FastSocket* socket);

/*
 * Sends what is queued, then tells the peer the end of output (SHUT_WR). Receiving goes on.
 *
 * Returns:   0 (also when repeated), -EINVAL, -EOPNOTSUPP (datagram socket, or no socket at all),
 *            -EPIPE (socket in error state), -EPERM, -ECANCELED. Later transmits give -EPIPE.
 */
int ShutdownFastSocket(struct FastSocket* socket);

/*
 * Changes who gets the events, to hand a connection to another protocol layer: from the next
 * event on, function and closure are the new ones. function may be NULL.
 *
 * Returns:   0, -EINVAL, -EPERM, -ECANCELED.
 */
int SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure);

/* ---- connecting ------------------------------------------------------------------------------ */

/*
 * Makes a socket that connects to an address, and returns at once. Provider and pools are the
 * ring's own, as for OpenFastSocket.
 *
 * ring       where it lives.
 * address    "host:port" (TCP), "udp:host:port", "mptcp:host:port", "unix:path", "unix:@name",
 *            "vsock:cid:port": see ParseFastAddress; host and port may be names here. A copy is
 *            kept.
 * mode       a sum of FASTSOCKET_MODE_*.
 * function   called for each event, or NULL for a program that polls.
 * closure    for GetFastSocketClosure.
 *
 * Names      are looked up by getaddrinfo(3), on a thread of the library's, of which there are at
 *            most four, while there is something to look up. They have all signals blocked. A
 *            server that doesn't answer keeps such a thread, but never the ring, its end or that of
 *            the process.
 * Addresses  of a name are tried as RFC 8305 has it: IPv6 and IPv4 in turn, IPv6 first, each 250 ms
 *            after the one before or as soon as that has failed. The first to be connected is
 *            taken, the others are closed.
 * Meanwhile  transmits queue, and options can be set. There is no handle to get, and no address;
 *            what TransmitFastSocketDescriptor takes has no descriptor to name.
 * Connected  is told by POLLOUT, whatever is queued: the first one always means that, and comes
 *            before the first POLLIN. A datagram socket is connected when its peer is set.
 * Failure    is told by POLLERR and POLLHUP, of a datagram socket too, with the errno of the
 *            attempt that failed last. That of a name is ENOENT (there is no such host or service,
 *            or it has no address), EAGAIN (no server has answered: it may later), EHOSTUNREACH (a
 *            server has refused), EADDRNOTAVAIL (it has none that can be tried), EAFNOSUPPORT,
 *            ENOMEM, or what the system has told; GetFastSocketErrorText says more.
 * Release    of a socket that isn't connected yet drops it, but what is queued: then it is
 *            connected, and delivered as for any socket, within FASTSOCKET_OPTION_RELEASE_TIMEOUT.
 *            AbortFastSocket, and the end of the ring, drop it in any case.
 *
 * Returns:   the socket, or NULL with EINVAL (an argument, or an address that is nobody's: without
 *            a host, "*", "unix:"), ENAMETOOLONG, ENODEV (no interface of that name), EAGAIN (no
 *            thread can be made), ENOMEM, EPERM, ECANCELED, or what the creation of a provider
 *            gives.
 * Since:     1.1
 */
struct FastSocket* ConnectFastSocket(struct FastRing* ring, const char* address, int mode,
                                     HandleFastSocketEvent function, void* closure);

/* ---- receiving ------------------------------------------------------------------------------- */

/*
 * Copies input out of the queue. A stream gives bytes over the borders of chunks; a datagram or
 * seqpacket socket gives one message, of which excess bytes are dropped. Metadata is skipped, and
 * descriptors in skipped control data (SCM_RIGHTS, SCM_PIDFD) are closed.
 *
 * data       not NULL.
 * size       bytes, at least 1.
 * flags      0 or any of MSG_PEEK (leave it queued), MSG_WAITALL (streams: all or nothing while
 *            more can come; a size beyond the high mark raises the marks), MSG_TRUNC (message
 *            sockets: return the true length), MSG_DONTWAIT and MSG_NOSIGNAL (no effect).
 *
 * Returns:   bytes copied; 0 = no data yet, or an empty message, or the end of input (POLLHUP
 *            tells); -EINVAL; -EBADF (FILE_IO: not open for reading); -ENOBUFS (MSG_WAITALL beyond
 *            the ring's inbound limit); -EPERM; -ECANCELED; once the queue is empty after a fatal
 *            error, that error, negative.
 */
ssize_t ReceiveFastSocketData(struct FastSocket* socket, void* data, size_t size, int flags);

/*
 * Takes the first chunk (of a stream) or message out of the queue, without copying.
 *
 * The bytes are GetFastBufferData()[0 .. GetFastBufferLength()). With a message header they are
 * laid out as struct io_uring_recvmsg_out (four uint32_t: lengths of name, control data and
 * payload; flags), name, control data, payload, with the room given at creation for name and
 * control data. Descriptors in the control data are the caller's from now on: those of SCM_RIGHTS,
 * and those of SCM_PIDFD where SO_PASSPIDFD is set.
 *
 * Ownership: the buffer is the caller's: ReleaseFastBuffer, in any thread.
 * A datagram that came joined with others (UDP_GRO, see CreateFastSocket) is copied, into a buffer
 * of its size.
 *
 * Returns:   the buffer; NULL with EAGAIN (nothing queued), EBADF (FILE_IO: not open for reading),
 *            EINVAL, EPERM, ECANCELED; ENOMEM (a joined datagram: it stays queued, and POLLIN is
 *            told again).
 */
struct FastBuffer* ReceiveFastSocketBuffer(struct FastSocket* socket);

/*
 * Returns the template that received buffers follow: msg_namelen and msg_controllen are the room
 * for name and control data, all else is zero; for liburing's io_uring_recvmsg_* helpers.
 *
 * Ownership: the socket's; address and content are constant until its release.
 * Returns:   the header; NULL for a socket created without one.
 */
struct msghdr* GetFastSocketMessageHeader(struct FastSocket* socket);

/* Stops receiving: no POLLIN until ResumeFastSocket. Input on its way is kept. The end of input is
 * reported after the resume. Returns 0, -EINVAL, -EPERM, -ECANCELED. */
int PauseFastSocket(struct FastSocket* socket);

/* Goes on receiving after PauseFastSocket, or behind a record of kernel TLS, and tells what is
 * queued by a new POLLIN. Returns 0, -EINVAL, -EPERM, -ECANCELED. */
int ResumeFastSocket(struct FastSocket* socket);

/* Returns the unread payload bytes in the queue; 0 where they aren't known: NULL, a defunct socket,
 * another thread. */
size_t GetFastSocketInboundLength(struct FastSocket* socket);

/* ---- transmitting ---------------------------------------------------------------------------- */

/*
 * All transmits queue, and what is queued enters the kernel with the next turn. On a stream, bytes
 * arrive whole and in the order of the calls. 0 means accepted: a later failure is reported by
 * POLLERR.
 *
 * Since 1.1, TransmitFastSocketData and TransmitFastSocketMessage may send much data (32 KiB or
 * more) at once, where nothing is in flight: one system call inside the transmit, which never
 * waits, takes what is queued and then the caller's bytes, as far as there is room; the rest is
 * queued. GetFastSocketOutboundLength and GetFastRingPending say so at once. Events are the same:
 * POLLOUT or POLLERR, never from inside the transmit.
 *
 * Returns of all:
 *   0           accepted
 *  -EINVAL      an argument, a flag that is not allowed, or no outbound pool
 *  -EBADF       FILE_IO: not open for writing
 *  -EMSGSIZE    more than 1 GiB, or more than a datagram can hold
 *  -EISCONN     an address on a connected stream
 *  -ENOMEM      no memory
 *  -EAGAIN      FASTSOCKET_OPTION_OUTBOUND_LIMIT is reached; POLLOUT follows
 *  -EPIPE       the socket is in error state, or ShutdownFastSocket was called
 *  -EPERM       another thread than the ring's
 *
 * Flags of all: MSG_MORE, MSG_EOR, MSG_OOB (streams), MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY (ask
 * for zero copy for this call); MSG_NOSIGNAL, MSG_WAITALL, MSG_DONTWAIT have no effect.
 */

/*
 * Copies data and queues it.
 *
 * address    destination, or NULL on a connected socket.
 * length     bytes of address, at most sizeof(struct sockaddr_storage).
 * data       may be NULL if size is 0.
 * size       bytes, at most 1 GiB. 0 sends an empty datagram; on a stream it sends nothing and
 *            gives one POLLOUT when everything before was accepted.
 *
 * Ownership: address and data are copied; the caller keeps them either way.
 */
int TransmitFastSocketData(struct FastSocket* socket, struct sockaddr* address, socklen_t length,
                           const void* data, size_t size, int flags);

/*
 * Copies a message and queues it: msg_name, the bytes of msg_iov, and msg_control.
 *
 * message    descriptors in SCM_RIGHTS are duplicated now and the duplicates closed after the send;
 *            msg_flags is ignored.
 *
 * Ownership: everything is copied; the caller keeps it either way.
 * Returns:   also -EBADF (a descriptor in SCM_RIGHTS), -EMFILE.
 */
int TransmitFastSocketMessage(struct FastSocket* socket, struct msghdr* message, int flags);

/*
 * Queues bytes of a buffer without copying (small pieces are copied all the same).
 *
 * address    as for TransmitFastSocketData.
 * buffer     any FastBuffer, received ones included. Its bytes must not change before they are
 *            sent.
 * offset     first byte.
 * size       bytes; offset + size is at most the buffer's size.
 *
 * Ownership: one reference of buffer is consumed in every case, also on error.
 */
int TransmitFastSocketBuffer(struct FastSocket* socket, const struct sockaddr* address,
                             socklen_t length, struct FastBuffer* buffer, size_t offset,
                             size_t size, int flags);

/*
 * Queues a prepared operation in the order of the other transmits.
 *
 * descriptor of the same ring, not in flight, with a submission entry whose fd is the socket's.
 *            With a buffer: SEND, SENDMSG, SEND_ZC, SENDMSG_ZC, WRITE, WRITEV, WRITE_FIXED or
 *            SPLICE; its function is not called, short counts are resumed, failures are the
 *            socket's. With buffer NULL: POLL_ADD (one shot), URING_CMD, NOP or SHUTDOWN; it starts
 *            when everything before was accepted, later sends wait for it, and its own function
 *            gets the completion.
 * buffer     owns the memory that the entry points to; released when the kernel is done with it.
 *            Bytes that may go without a copy (SEND_ZC, SENDMSG_ZC, MSG_ZEROCOPY,
 *            FASTSOCKET_MODE_ZERO_COPY) lie in it, and not in the descriptor's own data, which ends
 *            before the kernel has read them all.
 *
 * Ownership: descriptor and buffer are consumed in every case, also on error, except that with
 *            -EPERM, -EXDEV and -EBUSY the descriptor is left alone (the buffer is released).
 * Returns:   also -EXDEV (descriptor of another ring), -EBUSY (descriptor in flight).
 */
int TransmitFastSocketDescriptor(struct FastSocket* socket, struct FastRingDescriptor* descriptor,
                                 struct FastBuffer* buffer);

/* Returns the bytes accepted from the caller and not yet by the kernel; after a fatal error, those
 * that were dropped; 0 where they aren't known: NULL, a defunct socket, another thread. */
size_t GetFastSocketOutboundLength(struct FastSocket* socket);

/* ---- what has left --------------------------------------------------------------------------- */

/*
 * Called once, on the ring's thread, behind the events of its socket in that turn. result is 0: the
 * kernel has accepted everything that was queued when it was asked for; or a positive errno, as in
 * POLLERR: something of that was dropped. The socket's, when it has failed; that of the first
 * message which was lost, on a datagram socket; ECANCELED: the socket was released or aborted, or
 * its ring was. What a released socket still sends nobody is told of; then the socket is to be
 * compared only. */
typedef void (*HandleFastSocketTransmit)(struct FastSocket* socket, int result, void* closure);

/*
 * Has a function called when all that is queued so far has left: when a buffer's owner, or whoever
 * waits before he transmits more, can go on. Bytes that are queued later don't delay it. With
 * nothing queued it is called in the next turn, with 0.
 *
 * Several are called in the order in which they were asked for, each once, also when nothing of the
 * socket is told any more: after a release or an abort within the next turn. Only where the ring's
 * thread has exited before the ring's release is nobody called. Sends without a copy: the kernel
 * has accepted the bytes, and may still read them; so keep the buffer by a reference of its own.
 *
 * function   not NULL. It may do whatever an event's may, also ask for the next one.
 *
 * Returns:   0, -EINVAL, -EBADF (FILE_IO: not open for writing), -EPIPE (the socket has failed:
 *            what was queued is dropped), -ENOMEM (nothing is changed), -EPERM, -ECANCELED.
 * Since      1.1
 */
int NotifyFastSocketTransmit(struct FastSocket* socket, HandleFastSocketTransmit function,
                             void* closure);

/* ---- questions and settings ------------------------------------------------------------------ */

/* Return what the socket was created with, or its handler was set with; the handle stays the
 * socket's: never close it; -ENOTCONN before ConnectFastSocket has one. NULL gives NULL, or
 * -EINVAL. A defunct one still has its closure and ring, in any thread; its handle is -ECANCELED,
 * and -EPERM in another thread. */
void* GetFastSocketClosure(struct FastSocket* socket);
int GetFastSocketHandle(struct FastSocket* socket);
struct FastRing* GetFastSocketRing(struct FastSocket* socket);

/* Returns the first fatal errno of the socket, positive, also of a defunct one; 0 = none, or
 * NULL. */
int GetFastSocketError(struct FastSocket* socket);

/* Returns what that error means, in words; of a name that could not be looked up those of
 * gai_strerror(3), of a timeout of the socket's which of them it was. The text is the library's, or
 * the C library's, and stays. NULL = none, or NULL. Since 1.1. */
const char* GetFastSocketErrorText(struct FastSocket* socket);

/*
 * Writes the address of a socket as text, so that ConnectFastSocket or ListenFastSocket would read
 * it: as FormatFastAddress, with "udp:" or "mptcp:" in front where the socket is one. A socket of
 * AF_UNIX without a name is "unix:".
 *
 * peer       0: its own address; else that of its peer.
 * text       written on success only; FASTSOCKET_ADDRESS_SIZE bytes do for any.
 * size       bytes of text.
 *
 * Returns:   0, -ENOSPC (size), -ENOTCONN (it has no peer, or ConnectFastSocket has not connected
 *            it), -ENOTSOCK (no socket, in FILE_IO), -EAFNOSUPPORT (of another family), -EINVAL
 *            (also a name that has no text), -EPERM, -ECANCELED.
 * Since:     1.1
 */
int GetFastSocketAddress(struct FastSocket* socket, int peer, char* text, size_t size);

/*
 * Options of a socket.
 *
 * INBOUND_HIGH         bytes unread at which receiving stops, from 1, default 1 MiB
 * INBOUND_LOW          bytes unread at which it goes on, below the high mark, default 256 KiB
 * OUTBOUND_LIMIT       bytes queued at which transmits return -EAGAIN, default 0 = unlimited
 * ZERO_COPY_THRESHOLD  bytes of an operation from which zero copy is tried, default 16 KiB
 * RELEASE_TIMEOUT      milliseconds without progress after which a released socket gives up
 *                      flushing, default 30000, 0 = at once
 * TURN_LIMIT           bytes received per turn before others get theirs, from 1, default 256 KiB
 *
 * Since 1.1:
 *
 * CONNECT_TIMEOUT      milliseconds until a connecting socket must be connected, default 0 = any.
 *                      They count from the first time that it is set: set it behind the creation.
 * IDLE_TIMEOUT         milliseconds in which something must come or be sent, default 0 = any
 * TRANSMIT_TIMEOUT     milliseconds in which the kernel must take something of what is queued,
 *                      default 0 = any. It also bounds the flushing of a released socket.
 * LINGER_TIMEOUT       milliseconds that a released stream waits for its peer's end, default 1000
 * OUTBOUND_LOW         bytes queued at which POLLOUT is told as well, when the queue falls to as
 *                      few, default 0. Below OUTBOUND_LIMIT, a program refills before it is empty.
 *
 * Timeouts are never early, and late by the coarseness at most (beside what keeps the loop busy):
 * an eighth of the shortest timeout on the ring, but at least 10 ms, and at most 1 s. What is over
 * tells POLLERR with ETIMEDOUT, which is as fatal as any other: on a stream or seqpacket socket, a
 * pipe, a terminal or another file POLLHUP follows. On a datagram socket it is told once, again
 * only after a datagram has come or gone, and drops nothing. A message costs nothing more; a ring
 * without such sockets has no timer for them.
 *
 * The time of IDLE begins with the connection, and does not run while the program has paused the
 * socket (it begins again with the resume), nor while what it has not read holds up what follows
 * (at the high mark, or the ring's limit), nor once both directions have ended. That of TRANSMIT
 * runs while anything is queued, also during the connecting, but not while an operation without a
 * buffer (TransmitFastSocketDescriptor) is the first. Setting one begins its time again, but for
 * CONNECT's; 0 ends it. A send that is on its way shows its bytes when it ends: before the time is
 * over it is interrupted, and has up to a second to tell.
 */
#define FASTSOCKET_OPTION_INBOUND_HIGH         1
#define FASTSOCKET_OPTION_INBOUND_LOW          2
#define FASTSOCKET_OPTION_OUTBOUND_LIMIT       3
#define FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD  4
#define FASTSOCKET_OPTION_RELEASE_TIMEOUT      5
#define FASTSOCKET_OPTION_TURN_LIMIT           6
#define FASTSOCKET_OPTION_CONNECT_TIMEOUT      7  /* this and those below since 1.1 */
#define FASTSOCKET_OPTION_IDLE_TIMEOUT         8
#define FASTSOCKET_OPTION_TRANSMIT_TIMEOUT     9
#define FASTSOCKET_OPTION_LINGER_TIMEOUT      10
#define FASTSOCKET_OPTION_OUTBOUND_LOW        11

/*
 * Sets an option. The marks count unread bytes; on a socket of messages, or with a message header,
 * they count the memory of the queue beyond one turn's share (TURN_LIMIT) where that is more, so
 * that many small messages don't hold a multiple of the mark; of a pipe, a terminal or a device in
 * FILE_IO, whose reads are kept apart, a sixteenth of that memory. Setting the high mark below the
 * low one lowers that to a quarter of it; a low mark at or above the high one is -EINVAL.
 *
 * Returns:   0, -EINVAL (value out of range, or beyond 1 TiB), -ENOPROTOOPT (unknown option, so
 *            that newer programs can ask older libraries), -ENOMEM (it is as it was), -EPERM,
 *            -ECANCELED.
 */
int SetFastSocketOption(struct FastSocket* socket, int option, uint64_t value);

/* Reads an option into value, which is written on success only. Returns as SetFastSocketOption. */
int GetFastSocketOption(struct FastSocket* socket, int option, uint64_t* value);

/* Counters since creation. Later versions append fields. */
struct FastSocketStatistics
{
    uint64_t receivedBytes;       /* payload */
    uint64_t receivedMessages;    /* datagrams or records; chunks of a stream */
    uint64_t receivedTruncated;   /* datagrams that did not fit their buffer, wholly or in part */
    uint64_t receiveStarvations;  /* times receiving lacked buffers, and none came at once */
    uint64_t receivePauses;       /* times receiving stopped at the high mark or the ring's limit */
    uint64_t sentBytes;           /* payload that the kernel accepted */
    uint64_t sentOperations;      /* send operations completed */
    uint64_t sentZeroCopy;        /* of these, with zero copy */
    uint64_t copiedZeroCopy;      /* of these, copied by the kernel after all */
    uint64_t failedMessages;      /* datagrams that could not be sent */
    uint64_t droppedBytes;        /* output dropped after a fatal error */
};

/*
 * Reads the statistics.
 *
 * statistics written up to size bytes; bytes beyond what this library knows are zeroed.
 * size       sizeof(struct FastSocketStatistics) as the caller knows it.
 *
 * Returns:   0, -EINVAL, -EPERM, -ECANCELED.
 */
int GetFastSocketStatistics(struct FastSocket* socket, struct FastSocketStatistics* statistics,
                            size_t size);

/* ---- a stream of the C library --------------------------------------------------------------- */

/*
 * Makes a FILE* of a stream socket: fgets, getline, fread, fprintf and fwrite read from and add to
 * the socket's queues, in any mixture. Events go on as before; POLLIN tells when to read.
 *
 * A read with nothing queued fails with EAGAIN: ferror() is set, feof() is not, and a later read
 * works without clearerr(), but for getline(): the C library lets that fail at once while ferror()
 * is set, so call clearerr() before it. A line that has come only in part is read in part: use the
 * line's end to tell, or keep what getline() gave. feof() is set at the peer's end. A write takes
 * all or fails (EAGAIN at the outbound limit, EPIPE, ENOMEM). fileno() is -1.
 *
 * own        non-zero: fclose() releases the socket, as ReleaseFastSocket does. One stream of a
 *            socket may own it.
 *
 * Ownership: the stream is the caller's, for fclose(). The socket may be released before: calls on
 *            the stream then fail with EPIPE, and fclose() is still due.
 * Thread:    the ring's, also for every use of the stream.
 * Returns:   the stream; NULL with EINVAL (also a socket of messages), EBUSY (owned already),
 *            ENOMEM, EPERM, ECANCELED.
 */
FILE* GetFastSocketStream(struct FastSocket* socket, int own);

/* ---- accepting connections ------------------------------------------------------------------- */

/*
 * handle >= 0: a new connection, the callee's to keep. Negative: an errno. -EMFILE, -ENFILE,
 * -ENOMEM and -ENOBUFS are reported once, the listener waits 100 ms and tries again by itself; any
 * other is final: the socket can't accept any more (-EINVAL: it was shut down). What accept(2)
 * calls a network error, and what a firewall refuses, is the end of one connection only, and is not
 * reported.
 */
typedef void (*HandleFastListenerEvent)(struct FastListener* listener, int handle, void* closure);

/*
 * Accepts connections on a listening socket.
 *
 * handle     a listening stream or seqpacket socket of any family, blocking or not: on epoll it
 *            becomes non-blocking, and stays so. A listening one-to-many socket of SCTP has no
 *            connections to accept (EOPNOTSUPP): it is for CreateFastSocket.
 * flags      for the new connections: 0, SOCK_NONBLOCK, SOCK_CLOEXEC (always added).
 * function   not NULL.
 *
 * Ownership: handle is the listener's on success, the caller's on failure.
 * Returns:   the listener, or NULL with EINVAL (argument, or not listening), EBADF, ENOTSOCK,
 *            EOPNOTSUPP, ENOMEM, EPERM, ECANCELED.
 */
struct FastListener* CreateFastListener(struct FastRing* ring, int handle, int flags,
                                        HandleFastListenerEvent function, void* closure);

/* Stops listening and closes the socket. listener may be NULL. The port is free on return, unless
 * somebody shares the socket: then connections that were not handed over wait in the backlog for
 * him, also when this is called in the listener's own function. (Only a kernel that has no memory
 * for the cancellation lets go of the socket later, in one of the next turns.) */
void ReleaseFastListener(struct FastListener* listener);

/*
 * Listens at an address.
 *
 * address    as for ConnectFastSocket, but "udp:"; also "*:port" and ":port", which are all
 *            addresses of this host, by IPv6 and IPv4 where there is IPv6. Port 0: the kernel
 *            chooses (GetFastListenerHandle and getsockname(2) tell it). SO_REUSEADDR is set. Of a
 *            name that has several addresses the first that can be had is taken. Numeric ones are
 *            taken at once; a name is looked up by getaddrinfo(3) inside the call, which may wait
 *            for a server.
 * flags      a sum of FASTLISTENER_*.
 * function   not NULL. What it gets is close-on-exec, and blocks.
 *
 * A path of AF_UNIX is removed when the listener is released, or its ring ends, if it still leads
 * to this socket's file.
 *
 * Returns:   the listener, or NULL with EINVAL (an argument, or "unix:"), ENAMETOOLONG, ENODEV (no
 *            interface of that name), EOPNOTSUPP ("udp:"), EADDRINUSE, EADDRNOTAVAIL, EACCES and
 *            others of bind(2) and socket(2); of a name ENOENT, EAGAIN, EHOSTUNREACH and
 *            EAFNOSUPPORT, as of ConnectFastSocket; ENOMEM, EPERM, ECANCELED.
 * Since:     1.1
 */
struct FastListener* ListenFastSocket(struct FastRing* ring, const char* address, int flags,
                                      HandleFastListenerEvent function, void* closure);

/* Flags of ListenFastSocket. Others give EINVAL; those that don't suit the address say nothing. */
#define FASTLISTENER_REUSE_PORT  1  /* SO_REUSEPORT: others may listen there, too */
#define FASTLISTENER_ONLY_V6     2  /* IPV6_V6ONLY: no IPv4 on an IPv6 address */
#define FASTLISTENER_REPLACE     4  /* a path of AF_UNIX that nobody listens at is taken over */

/* Takes no more connections: they wait in the backlog. One that the kernel has given at that moment
 * is kept, and handed over after the resume. Returns 0, -EINVAL, -EPERM, -ECANCELED. Since 1.1. */
int PauseFastListener(struct FastListener* listener);

/* Goes on after PauseFastListener; harmless without it. Returns 0, -EINVAL, -EPERM, -ECANCELED.
 * Since 1.1. */
int ResumeFastListener(struct FastListener* listener);

/* Returns the listening socket, which stays the listener's: never close it; -EINVAL, -EPERM, or
 * -ECANCELED. Since 1.1. */
int GetFastListenerHandle(struct FastListener* listener);

/* ---- addresses as text ----------------------------------------------------------------------- */

#define FASTSOCKET_ADDRESS_SIZE  128  /* bytes that any text of FormatFastAddress fits in */

/*
 * Reads an address, without waiting for anything.
 *
 * text       "192.0.2.1:80"         IPv4
 *            "[2001:db8::1]:80"     IPv6; a scope is an interface: "[fe80::1%eth0]:80"
 *            "*:80", ":80"          any address of this host, as [::]
 *            "udp:", "mptcp:"       in front of one of these: the address is the same
 *            "unix:/run/name"       a path, of 108 bytes at most
 *            "unix:@name"           an abstract name, of 107 bytes at most
 *            "unix:"                AF_UNIX without a name
 *            "vsock:2:1024"         context and port; "*" is any
 *            Numbers are digits alone. A name of a host or a service is none of these.
 * address    written on success only, as length is.
 *
 * Thread:    any.
 * Returns:   0, -EINVAL, -ENAMETOOLONG, -ENODEV (no interface of that name).
 * Since:     1.1
 */
int ParseFastAddress(const char* text, struct sockaddr_storage* address, socklen_t* length);

/*
 * Writes an address, so that ParseFastAddress would read it. What is not the address itself is left
 * out: the flow label of IPv6, zeros behind a path. A path that begins with "@" gets "./" in front.
 *
 * address    of AF_INET, AF_INET6, AF_UNIX or AF_VSOCK.
 * length     its bytes, as from getsockname(2).
 * text       written on success only; FASTSOCKET_ADDRESS_SIZE bytes do for any.
 * size       bytes of text.
 *
 * Thread:    any.
 * Returns:   0, -ENOSPC (size), -EAFNOSUPPORT (another family), -EINVAL (also an abstract name that
 *            has zeros in it, or is empty: it has no text).
 * Since:     1.1
 */
int FormatFastAddress(const struct sockaddr* address, socklen_t length, char* text, size_t size);

/* ---- version --------------------------------------------------------------------------------- */

#define FASTSOCKET_VERSION_MAJOR 1
#define FASTSOCKET_VERSION_MINOR 1
#define FASTSOCKET_VERSION_PATCH 0

/* Returns the version of the loaded library, as "1.1.0". Thread: any. */
const char* GetFastSocketVersion(void);

#ifdef __cplusplus
}
#endif

#endif
