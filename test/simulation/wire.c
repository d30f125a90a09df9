#include "wire.h"

#include "memory-handle.h"
#include "pattern.h"
#include "schedule.h"

static uint32_t count;

void forgetWires(void)
{
    count = 0;
}

static uint64_t placeIn(const struct Wire* wire)
{
    return (uint64_t)wire->number << 40 | UINT64_C(1) << 38;
}

uint64_t wirePlaceOut(const struct Wire* wire)
{
    return placeIn(wire) | UINT64_C(1) << 37;
}

void openWire(struct Wire* wire, struct Chance* chance)
{
    static const enum MemoryKind kinds[] = {MEMORY_TCP, MEMORY_LOCAL};
    struct MemoryFile* ours = memoryOpen(kinds[draw(chance, 2)], WIRE_CAPACITY);

    *wire = (struct Wire){.number = ++count};
    wire->peer = memoryOpen(ours->kind, WIRE_CAPACITY);
    memoryJoin(ours, wire->peer);
    wire->handle = handleOpen(ours);
    if (wire->handle >= 0)
        return;
    memoryDrop(ours);
    memoryDrop(wire->peer);
    wire->peer = NULL;
}

/* Operations in flight go on with the file. */
void closeWire(struct Wire* wire)
{
    tell("wire %d is closed", wire->handle);
    if (handleClose(wire->handle) < 0)
        wrong("a wire is not open");
    memoryDrop(wire->peer);
    wire->peer = NULL;
    wire->lost = true;
}

void writeWire(struct Wire* wire, size_t size)
{
    uint8_t data[WIRE_CAPACITY];
    struct iovec vector = {data, size};

    fillPattern(data, size, placeIn(wire) + wire->written);
    ssize_t result = memorySend(wire->peer, &vector, 1, NULL);
    if (result > 0)
        wire->written += (uint64_t)result;
}

void readWire(struct Wire* wire)
{
    uint8_t data[WIRE_CAPACITY];
    struct iovec vector = {data, sizeof(data)};
    ssize_t result = memoryReceive(wire->peer, &vector, 1, false, NULL);

    if (result <= 0)
        return;
    if (!wire->lost && !checkPattern(data, (size_t)result, wirePlaceOut(wire) + wire->arrived))
        wrong("wire %d: what a raw operation has sent is wrong", wire->handle);
    wire->arrived += (uint64_t)result;
}

void takeFromWire(struct Wire* wire, const uint8_t* data, size_t size)
{
    if (!wire->lost && !checkPattern(data, size, placeIn(wire) + wire->taken))
        wrong("wire %d: what a raw operation has received is wrong", wire->handle);
    wire->taken += size;
}
