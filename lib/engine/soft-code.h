/*
 * What each opcode does: a function tries the operation, completes it, or says why not.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_CODE_H
#define FASTSOCKET_ENGINE_SOFT_CODE_H

#include "engine/soft-operation.h"

typedef enum FastSoftOutcome (*FastSoftTry)(struct FastSoft* soft,
                                            struct FastSoftOperation* operation);

/* soft-receive.c */
enum FastSoftOutcome FastSoftReceive(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftReceiveMessages(struct FastSoft* soft,
                                             struct FastSoftOperation* operation);

/* Nothing is there: it waits, unless the caller wants to hear of it. */
enum FastSoftOutcome FastSoftOnNothing(struct FastSoft* soft, struct FastSoftOperation* operation);

/* The errno of a receive that there is no buffer for: a raw one is told of its descriptor first. */
int FastSoftLackOfBuffers(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* An end before all has come that was to come: what has is the result, where anything has. */
enum FastSoftOutcome FastSoftFinishPart(struct FastSoft* soft, struct FastSoftOperation* operation,
                                        int result);

/* Whether what comes by several receives is one, rather than each a message of its own. */
bool FastSoftIsJoined(struct FastSoft* soft, const struct FastSoftOperation* operation);

/* The buffer that is next, which has something, is the operation's from now on. */
void FastSoftTakeBuffer(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Reads what a receive of many needs of its header, which is not looked at again. Returns 0, or
 * what the kernel says of that. */
int FastSoftBeginMessages(struct FastSoft* soft, struct FastSoftOperation* operation);

/* soft-message.c */
enum FastSoftOutcome FastSoftReceiveMessage(struct FastSoft* soft,
                                            struct FastSoftOperation* operation);

/* soft-send.c */

/* Its result, and of one without a copy that its buffers are given back. */
enum FastSoftOutcome FastSoftFinishSend(struct FastSoft* soft, struct FastSoftOperation* operation,
                                        int result);

enum FastSoftOutcome FastSoftSend(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftSendMessage(struct FastSoft* soft,
                                         struct FastSoftOperation* operation);

/*
 * Entries that are about to be taken, from place on in the submission array: those that are
 * messages for one socket, with nothing linked, are sent by one call, and completed; if the first
 * fails, it alone. Returns how many; what is left is to be sent one by one.
 */
unsigned FastSoftSendTogether(struct FastSoft* soft, unsigned place);

/* Copies the header and its vectors. Returns 0, -ENOMEM, or what the kernel says of them. */
int FastSoftKeepMessage(struct FastSoft* soft, struct FastSoftOperation* operation);

/* soft-file.c */
enum FastSoftOutcome FastSoftReadOrWrite(struct FastSoft* soft,
                                         struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftSplice(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Whether it is a read or a write. */
static inline bool FastSoftIsTransfer(const struct FastSoftOperation* operation)
{
    return operation->opcode == IORING_OP_READ || operation->opcode == IORING_OP_READV ||
           operation->opcode == IORING_OP_WRITE || operation->opcode == IORING_OP_WRITEV;
}

/* A read or write up to its completion, which is the caller's to make: FAST_SOFT_OVER with a
 * result, -EAGAIN for what can't be done now, or FAST_SOFT_BEGUN. */
enum FastSoftOutcome FastSoftTransfer(struct FastSoft* soft, struct FastSoftOperation* operation,
                                      int* result);

/* What the system has done, with its result. */
void FastSoftFinishSlow(struct FastSoft* soft, struct FastSoftOperation* operation,
                        ssize_t result);

/* Copies the vectors. Returns 0, -ENOMEM, or what the kernel says of them. */
int FastSoftKeepVector(struct FastSoft* soft, struct FastSoftOperation* operation);

/* soft-connection.c */
enum FastSoftOutcome FastSoftAccept(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftConnect(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftShutdown(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftClose(struct FastSoft* soft, struct FastSoftOperation* operation);

/* soft-poll.c */
enum FastSoftOutcome FastSoftPoll(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftCancel(struct FastSoft* soft, struct FastSoftOperation* operation);
enum FastSoftOutcome FastSoftRemovePoll(struct FastSoft* soft,
                                        struct FastSoftOperation* operation);

#endif
