/*
 * What sockets may be: facts of descriptors that the kinds and what is above them ask for.
 */
#ifndef FASTSOCKET_SOCKET_TRAIT_H
#define FASTSOCKET_SOCKET_TRAIT_H

/* What is known of a socket since it has its descriptor. None is added later; one that proves wrong
 * is taken away. */
enum FastTrait
{
    FAST_TRAIT_READABLE = 1 << 0,       /* opened for reading; sockets are */
    FAST_TRAIT_WRITABLE = 1 << 1,       /* opened for writing; sockets are */
    FAST_TRAIT_CONNECTED = 1 << 2,      /* there is a connection, with a beginning and an end */
    FAST_TRAIT_WATCHED = 1 << 3,        /* a poll of its state shows what a receive does not see */
    FAST_TRAIT_FINDS_ROOM = 1 << 4,     /* a poll that waits for room may end without any */
    FAST_TRAIT_RECEIVES_EARLY = 1 << 5, /* a receive may be in flight before the connection is */
    FAST_TRAIT_FEELS_END = 1 << 6,      /* the end of input wakes an armed receive for certain */
    /* The state of a closed connection says whether an error has closed it. */
    FAST_TRAIT_STATE_TELLS_ERROR = 1 << 7,
    FAST_TRAIT_WAITS_FOR_ALL = 1 << 8, /* MSG_WAITALL works for sends */
    FAST_TRAIT_BUNDLES = 1 << 9,       /* a receive may fill several buffers at once */
    FAST_TRAIT_ZERO_COPIES = 1 << 10,  /* sends without a copy work */
    /* A receive tells a message's true length when asked by MSG_TRUNC. */
    FAST_TRAIT_TELLS_LENGTH = 1 << 11,
    FAST_TRAIT_OWN_SHORTAGE = 1 << 12, /* a receive's ENOBUFS may be the socket's own error */
    FAST_TRAIT_CORKS = 1 << 13,        /* MSG_MORE joins what follows to packets */
    /* Says that it doesn't wait, and does: only a thread of the kernel's may read or write it. */
    FAST_TRAIT_NEEDS_WORKER = 1 << 14,
    /* A thread of the kernel's may read or write it: an operation may need room for a trail. */
    FAST_TRAIT_BY_WORKER = 1 << 15,
    FAST_TRAIT_CANCELS_ITSELF = 1 << 16, /* -ECANCELED may be its own errno */
    /* What one read gives may be a packet: reads are not put together. */
    FAST_TRAIT_PACKETS = 1 << 17,
    /* A receive that has filled a buffer has brought bytes, without a header, and no more. */
    FAST_TRAIT_PLAIN = 1 << 18,
    /* Datagrams to one destination may be sent together, to be taken apart by the kernel. */
    FAST_TRAIT_JOINS = 1 << 19,
    /* A send that doesn't wait takes what there is room for, and fails without having taken any. */
    FAST_TRAIT_SENDS_AT_ONCE = 1 << 20,
    /* A receive that has filled a buffer has brought a message behind its header, in any case. */
    FAST_TRAIT_DATAGRAMS = 1 << 21,
    /* Several datagrams may be received in one buffer, to be taken apart here. */
    FAST_TRAIT_JOINED = 1 << 22,
    FAST_TRAIT_TCP = 1 << 24, /* for kind-*.c alone, like all that follow */
    FAST_TRAIT_MPTCP = 1 << 25,
    FAST_TRAIT_SCTP = 1 << 26,
    FAST_TRAIT_NETLINK = 1 << 27,
    FAST_TRAIT_LOCAL = 1 << 28, /* AF_UNIX */
    FAST_TRAIT_PIPE = 1 << 29,  /* with or without a name */
    FAST_TRAIT_TERMINAL = 1 << 30,
};

#endif
