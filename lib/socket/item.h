/*
 * What is queued for sending, one by one.
 *
 * An item lies at the start of a pool's buffer (home), before the bytes that were copied for it, if
 * any: no allocation of its own. What is sent by an operation of its own is a message, which starts
 * with an item.
 */
#ifndef FASTSOCKET_SOCKET_ITEM_H
#define FASTSOCKET_SOCKET_ITEM_H

#include "memory/pool.h"
#include "ring/ring.h"

#include <sys/socket.h>
#include <sys/uio.h>

enum FastItemKind
{
    /* Of a stream: gathered with its neighbours. These and markers are no struct FastMessage. */
    FAST_ITEM_BYTES,
    FAST_ITEM_MESSAGE, /* a datagram, a record, bytes with control data, or the user's own send */
    FAST_ITEM_SPLICE,  /* the user's own splice into the socket */
    FAST_ITEM_BARRIER, /* the user's own operation that is no send */
    FAST_ITEM_MARKER,  /* nothing: gives a POLLOUT when everything before it is accepted */
};

enum FastItemState
{
    FAST_ITEM_QUEUED,
    FAST_ITEM_IN_FLIGHT, /* by an operation of its own */
    FAST_ITEM_DONE,      /* to be taken off when it is the first */
};

/* What goes out before a message. */
enum FastItemOrder
{
    FAST_ORDER_QUEUE,       /* all that stands before it in the queue, and nothing behind it */
    FAST_ORDER_DESTINATION, /* what goes to the same destination: see destination.h */
};

/* Flags that make bytes an operation of their own kind: neighbours must have the same. */
enum
{
    FAST_ITEM_KIND_FLAGS = MSG_EOR | MSG_OOB | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY,
};

struct FastItem
{
    struct FastItem* next;
    struct FastBuffer* home;
    struct FastBuffer* payload; /* owns the bytes; may be home */
    uint8_t* data;              /* the first byte that was not accepted */
    size_t length;              /* bytes that were not accepted */
    uint32_t room;              /* bytes free behind them, for more of the same kind */
    uint32_t messages;          /* that end in it */
    int flags;                  /* of sending */
    uint8_t kind;               /* enum FastItemKind */
    uint8_t state;              /* enum FastItemState */
    uint8_t order;              /* enum FastItemOrder */
    uint8_t noted;              /* 1: somebody waits for its end, see notice.h */
};

struct FastSocket;
struct FastMessage;
struct FastLoan;

/* One send in flight: bytes from the head of a stream's queue, messages, or the user's own
 * operation. */
struct FastFlight
{
    struct FastOperation operation;
    struct FastSocket* socket;
    struct FastMessage* message; /* the first; NULL: bytes, which are accepted as far as they go */
    struct FastLoan* loan;       /* of the memory, to be sent without a copy; NULL: copied */
    size_t bytes;                /* that were asked for */
    uint32_t count;              /* messages, in the order of the queue */
};

/* Where a datagram goes. All zero: where its socket is connected to. */
struct FastDestination
{
    uint8_t address[16]; /* of IPv6, or an IPv4 one mapped into it */
    uint16_t port;
    uint16_t named;
};

/* One, or a run: several datagrams behind each other, to one destination. */
struct FastMessage
{
    struct FastItem item;
    struct FastFlight flight;
    struct FastRingDescriptor* descriptor; /* the user's own, whose operation this is */
    struct sockaddr* name;
    void* control;
    socklen_t nameLength;
    uint32_t controlLength; /* 0 when it was sent */
    struct iovec* vector;   /* of a descriptor: our copy, advanced; NULL: data */
    uint32_t vectorFirst;
    uint32_t vectorCount;
    uint64_t position; /* of the user's own write to a file; UINT64_MAX: the file's own */
    int writeFlags;    /* RWF_*, of the same */
    /* The last errno that may have been an earlier datagram's: sent again, it tells whose. */
    int doubt;
    uint8_t doubts; /* how many there were */
    uint8_t tries;
    bool ownsRights;  /* descriptors in the control data are our duplicates */
    uint8_t together; /* datagrams that may go out by one send */
    uint16_t segment; /* bytes of each datagram but the last; 0: this one stays alone */
    uint16_t refused; /* the errno of several together, if that may be why; 0: none */
    uint32_t epoch;   /* of the queue, when it was appended */
    /* Of a run: control data that has it taken apart. The kernel reads it whenever it tries to
     * send, maybe long after it entered. */
    _Alignas(struct cmsghdr) uint8_t cut[CMSG_SPACE(sizeof(uint16_t))];
    struct FastDestination destination;
    struct FastMessage* ahead;  /* the one before it to the same destination; NULL: it has left */
    struct FastMessage* behind; /* the one behind it */
    struct FastMessage* next;   /* in its bucket */
    struct FastMessage** place; /* what points to it there; NULL: it is in none */
};

/* The message that an item of any kind but BYTES and MARKER is. */
static inline struct FastMessage* FastItemMessage(struct FastItem* item)
{
    return FAST_CONTAINER(item, struct FastMessage, item);
}

/* Makes an item of a buffer with that much room behind it. */
static inline struct FastItem* FastItemPlace(struct FastBuffer* home, uint8_t kind, size_t room)
{
    struct FastItem* item = (struct FastItem*)FastBufferData(home);
    *item = (struct FastItem){
        .home = home,
        .payload = home,
        .data = (uint8_t*)(item + 1),
        .room = (uint32_t)room,
        .kind = kind,
        .messages = 1,
    };
    return item;
}

/* An item, or a message, in a buffer of its own with room for size bytes behind it; NULL without
 * memory. */
struct FastItem* FastItemMake(struct FastBufferPool* pool, uint8_t kind, size_t size);
struct FastMessage* FastMessageMake(struct FastBufferPool* pool, uint8_t kind, size_t size);

/* Frees it with all that it owns; the user of a descriptor hears nothing. */
void FastItemFree(struct FastItem* item);

/* The same of bytes. */
static inline void FastItemFreeBytes(struct FastItem* item)
{
    struct FastBuffer* home = item->home;
    if (item->payload == home)
        FastPoolRelease(FastBufferHome(home), home);
    else
        FastItemFree(item);
}

/* Moves an item's beginning over bytes that the kernel accepted. */
void FastItemAdvance(struct FastItem* item, size_t count);

/* The bytes of so many datagrams at the beginning of a run; of any other message its bytes. */
size_t FastMessageLength(const struct FastMessage* message, uint32_t count);

/* Moves a run's beginning over datagrams with so many bytes, of which some are left. What the first
 * had met with is over. */
void FastMessageShorten(struct FastMessage* message, size_t bytes);

/* Those of a call's flags that its item keeps. */
int FastItemFlags(int flags);

/* Duplicates the descriptors in a message's control data, or closes the duplicates again, once they
 * were sent or will not be. Duplicating: 0, -EBADF, -EMFILE, -EINVAL. */
int FastMessageOwnRights(struct FastMessage* message);
void FastMessageCloseRights(struct FastMessage* message);

/* How many vectors describe the bytes of a message, and where these are, until it is freed; NULL:
 * there is one, of its bytes. */
size_t FastMessageCountVectors(const struct FastMessage* message);
struct iovec* FastMessageVector(const struct FastMessage* message);

#endif
