/* Plain connections for raw operations: the bytes of each direction tell where they belong. */
#ifndef TEST_SIMULATION_WIRE_H
#define TEST_SIMULATION_WIRE_H

#include "chance.h"
#include "memory-file.h"

enum
{
    WIRE_CAPACITY = 700,
};

/* Both ends are the test's. */
struct Wire
{
    struct MemoryFile* peer; /* NULL: there is none */
    int handle;
    uint32_t number;
    bool lost; /* nobody knows what is where */
    bool receiving;
    bool sending;
    uint64_t written; /* by the peer */
    uint64_t taken;
    uint64_t sent;
    uint64_t arrived;
};

/* Before the first of a schedule. */
void forgetWires(void);

void openWire(struct Wire* wire, struct Chance* chance);
void closeWire(struct Wire* wire);

/* The peer writes, or reads what has come. */
void writeWire(struct Wire* wire, size_t size);
void readWire(struct Wire* wire);

/* An operation has received this; what the next one sends begins here. */
void takeFromWire(struct Wire* wire, const uint8_t* data, size_t size);
uint64_t wirePlaceOut(const struct Wire* wire);

#endif
