/*
 * Kernel interface that is newer than liburing 2.3's headers: values only, used when trying shows
 * that the running kernel has them.
 */
#ifndef FASTSOCKET_URING_COMPAT_H
#define FASTSOCKET_URING_COMPAT_H

#include <liburing.h>
#include <stdint.h>

/*
 * Macros of the system's header, where it is new enough, must agree; enumerators can't be asked
 * for.
 * NOLINTBEGIN(misc-redundant-expression): they agree to the letter.
 */
#define FAST_URING_SETUP_NO_SQARRAY (1U << 16)
#ifdef IORING_SETUP_NO_SQARRAY
_Static_assert(FAST_URING_SETUP_NO_SQARRAY == IORING_SETUP_NO_SQARRAY, "NO_SQARRAY");
#endif

#define FAST_URING_FEAT_REG_REG_RING (1U << 13) /* since 6.3 */
#ifdef IORING_FEAT_REG_REG_RING
_Static_assert(FAST_URING_FEAT_REG_REG_RING == IORING_FEAT_REG_REG_RING, "FEAT_REG_REG_RING");
#endif

#define FAST_URING_FEAT_RECVSEND_BUNDLE (1U << 14)
#ifdef IORING_FEAT_RECVSEND_BUNDLE
_Static_assert(FAST_URING_FEAT_RECVSEND_BUNDLE == IORING_FEAT_RECVSEND_BUNDLE, "FEAT_BUNDLE");
#endif

#define FAST_URING_FEAT_NO_IOWAIT (1U << 17)
#ifdef IORING_FEAT_NO_IOWAIT
_Static_assert(FAST_URING_FEAT_NO_IOWAIT == IORING_FEAT_NO_IOWAIT, "FEAT_NO_IOWAIT");
#endif

#define FAST_URING_FEAT_MIN_TIMEOUT (1U << 15)
#ifdef IORING_FEAT_MIN_TIMEOUT
_Static_assert(FAST_URING_FEAT_MIN_TIMEOUT == IORING_FEAT_MIN_TIMEOUT, "FEAT_MIN_TIMEOUT");
#endif

#define FAST_URING_ENTER_NO_IOWAIT (1U << 7)
#ifdef IORING_ENTER_NO_IOWAIT
_Static_assert(FAST_URING_ENTER_NO_IOWAIT == IORING_ENTER_NO_IOWAIT, "ENTER_NO_IOWAIT");
#endif

#define FAST_URING_RECVSEND_BUNDLE (1U << 4)
#ifdef IORING_RECVSEND_BUNDLE
_Static_assert(FAST_URING_RECVSEND_BUNDLE == IORING_RECVSEND_BUNDLE, "RECVSEND_BUNDLE");
#endif

#define FAST_URING_ACCEPT_DONTWAIT (1U << 1) /* since 6.10 */
#ifdef IORING_ACCEPT_DONTWAIT
_Static_assert(FAST_URING_ACCEPT_DONTWAIT == IORING_ACCEPT_DONTWAIT, "ACCEPT_DONTWAIT");
#endif

#define FAST_URING_SEND_ZC_REPORT_USAGE (1U << 3)
#ifdef IORING_SEND_ZC_REPORT_USAGE
_Static_assert(FAST_URING_SEND_ZC_REPORT_USAGE == IORING_SEND_ZC_REPORT_USAGE, "REPORT_USAGE");
#endif

#define FAST_URING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#ifdef IORING_NOTIF_USAGE_ZC_COPIED
_Static_assert(FAST_URING_NOTIF_USAGE_ZC_COPIED == IORING_NOTIF_USAGE_ZC_COPIED, "ZC_COPIED");
#endif

#define FAST_RWF_NOSIGNAL 0x100
#ifdef RWF_NOSIGNAL
_Static_assert(FAST_RWF_NOSIGNAL == RWF_NOSIGNAL, "RWF_NOSIGNAL");
#endif
/* NOLINTEND(misc-redundant-expression): no more of them. */

enum
{
    FAST_URING_OP_READ_MULTISHOT = 49,
    FAST_URING_REGISTER_PBUF_STATUS = 26, /* since 6.8 */
    FAST_URING_REGISTER_NAPI = 27,        /* since 6.9 */
    FAST_URING_UNREGISTER_NAPI = 28,
};

/* struct io_uring_getevents_arg, as it is since 6.12 */
struct FastUringWait
{
    uint64_t mask;
    uint32_t maskSize;
    uint32_t minimum; /* microseconds */
    uint64_t limit;   /* a struct __kernel_timespec */
};

/* struct io_uring_napi */
struct FastUringBusyPoll
{
    uint32_t microseconds;
    uint8_t prefer;
    uint8_t zero[11];
};

/* struct io_uring_buf_status */
struct FastUringBufferStatus
{
    uint32_t group;
    uint32_t head;
    uint32_t reserved[8];
};

#endif
