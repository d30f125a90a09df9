/*
 * What most cases play on: a ring with its provider and pools, a socket of ours with a recorder,
 * and the plain descriptor of its peer.
 *
 *     SCENE_AREA(transmit, "transmit");
 *
 *     CASE(transmit, sendsInOrder)
 *     {
 *         openPair(KIND_TCP);
 *         transmitText(scene.ours.socket, "first");
 *         expectText(scene.peer, "first");
 *     }
 */
#ifndef TEST_SCENE_H
#define TEST_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

#include "pairs.h"
#include "recorder.h"
#include "suite.h"

/* How a scene is opened. What is left out is 0, the default. */
struct SceneOptions
{
    uint32_t ringLength;    /* as in CreateFastRing */
    uint16_t buffers;       /* of the provider; 0: 64 */
    uint32_t bufferLength;  /* of each; 0: 4096 */
    enum Kind kind;         /* of the pair; KIND_NONE: none is opened */
    int mode;               /* of our socket, as in CreateFastSocket */
    struct msghdr* message; /* the same */
};

struct Scene
{
    struct FastRing* ring;
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct Recorder ours; /* its socket is NULL before it is created, and after its release */
    union
    {
        int pair[2];
        struct
        {
            int handle; /* our socket was made of it, and has it */
            int peer;   /* open if not -1 */
        };
    };
    int descriptors; /* open before sceneOpen */
};

/* That of the running case. A case that needs a second ring has another one beside it. */
extern struct Scene scene;

void sceneOpen(struct Scene* stage, struct SceneOptions options);

/* Releases our socket and closes its peer, if they are still there, runs the ring until nothing
 * is pending, releases all, and checks that no buffer is live and that the same number of
 * descriptors is open as before sceneOpen. Members that the case released itself are set to NULL
 * by it, and skipped. */
void sceneClose(struct Scene* stage);

/* The same for the scene of the running case; openScene without options. */
void openScene(void);
void closeScene(void);

/* Closes the scene of the running case and opens it again: reopenScene(.buffers = 4). */
#define reopenScene(...) reopenSceneAs((struct SceneOptions){__VA_ARGS__})

void reopenSceneAs(struct SceneOptions options);

/* An area whose cases each find a scene open. */
#define SCENE_AREA(identifier, title) \
    AREA(identifier, title, .open = openScene, .close = closeScene)

/* The same with members of struct SceneOptions. */
#define SCENE_AREA_OF(identifier, title, ...)                     \
    static void identifier##Open(void)                            \
    {                                                             \
        sceneOpen(&scene, (struct SceneOptions){__VA_ARGS__});    \
    }                                                             \
    AREA(identifier, title, .open = identifier##Open, .close = closeScene)

/* Opens our socket and its peer; scene.ours.then and scene.ours.closure stay as they are. */
void openPair(enum Kind kind);

/* The same with members of struct SceneOptions; those of the ring are ignored:
 * openPairWith(.kind = KIND_TCP, .mode = FASTSOCKET_MODE_ZERO_COPY) */
#define openPairWith(...) openPairAs((struct SceneOptions){__VA_ARGS__})

void openPairAs(struct SceneOptions options);

/* Releases our socket and closes its peer, if they are still there. */
void closePair(void);

void closePeer(void); /* if it is still there */
void resetPeer(void); /* with a TCP reset */

/* Releases the ring; provider, pools and sockets stay, defunct. */
void endRing(void);

/* Runs turns until a release of the ring inside one of them has taken effect. */
void waitRingEnd(void);

/* Releases provider and pools; the ring and sockets that use them stay. */
void releaseParts(void);

/* Another socket of ours, beside that of the scene; its peer is returned. Both are the case's to
 * release and close. */
int openBeside(enum Kind kind, struct Recorder* recorder);

/* Creates a socket on the stage whose closure is the recorder, and fails the case if it can't.
 * Of the recorder, then and closure are kept and all else is zeroed. */
struct FastSocket* openRecorded(struct Scene* stage, int handle, struct msghdr* message, int mode,
                                struct Recorder* recorder);

/* Reads the pattern from a descriptor while the scene's ring runs. */
void expectPattern(int handle, uint64_t size, uint64_t position);

/* A buffer of the scene's outbound pool, as long as its data: the pattern from a position on. */
struct FastBuffer* makePattern(size_t size, uint64_t position);

/* Buffers that the scene's ring has lent. */
uint64_t liveBuffers(void);

/* A condition of runUntil: the scene's ring has so many bytes of memory for buffers, a uint64_t, or
 * fewer. */
bool hasMemoryWithin(void* closure);

/* For wrap.c: a socket is released now, whoever does it. */
void sceneForget(const struct FastSocket* socket);

#endif
