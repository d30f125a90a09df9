/*
 * What the tests share, all together: cases, scenes, recorders, pairs, patterns.
 *
 * Linking with it puts a layer between the test and the library (ld --wrap, see meson.build): each
 * handler given to CreateFastSocket or SetFastSocketHandler runs behind the automaton of
 * automaton.h, whether the test knows it or not, and fails the case at the first event that breaks
 * a rule.
 */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

#include "countdown.h"
#include "pairs.h"
#include "pattern.h"
#include "recorder.h"
#include "scene.h"
#include "suite.h"
#include "turns.h"
#include "wrap.h"

#endif
