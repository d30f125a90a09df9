/* The scene of scenarios whose calls may fail: each is made again where it was refused. */
#ifndef TEST_PLACE_H
#define TEST_PLACE_H

#include "points.h"

/* As openScene, with closeScene for its end. The pair is left out. */
void openPlace(struct SceneOptions options);

/* As openRecorded, on the scene. */
void openActor(int handle, struct msghdr* message, int mode, struct Recorder* recorder);

/* As openPairAs, on the scene. */
void openActors(enum Kind kind, struct msghdr* message, int mode);

/* Bytes of the pattern, from a position on: each call is made again until it is taken. */
void putData(struct FastSocket* socket, size_t size, uint64_t position);
void putMessage(struct FastSocket* socket, size_t size, uint64_t position);
void putBuffer(struct FastSocket* socket, size_t size, uint64_t position);
void putOperation(struct FastSocket* socket, size_t size, uint64_t position);

#endif
